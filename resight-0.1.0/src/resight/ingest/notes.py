"""Warnings for people: equal ones become one sentence with a count and the first few names."""

from __future__ import annotations

from resight.ingest.addresses import text_of

SHOWN = 5
ITEM_CHARS = 200


class Notes:
    """Collects warnings in the order in which they first came up."""

    def __init__(self) -> None:
        self._items: dict[str, list[str]] = {}
        self.not_read: list[str] = []

    def add(self, sentence: str, item: str = "", not_read: str = "") -> None:
        """Keep a warning.

        Args:
            sentence: May hold ``{n}`` (how often it came up) and ``{items}`` (the first few). Braces of other origin,
                such as those in file names, belong in ``item``.
            item: What it is about this time.
            not_read: A source or a label file that is there and cannot be read, so that nobody knows what is missing.
        """
        self._items.setdefault(sentence, []).append(item)
        self.not_read += [not_read] if not_read else []

    def sentences(self) -> tuple[str, ...]:
        """One sentence for each kind of warning."""
        return tuple(_render(sentence, items) for sentence, items in self._items.items())


def printable(text: str) -> str:
    """Text in one line, also of a file name with line breaks or control characters in it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text_of(text))


def shortened(text: str) -> str:
    """Text as it is unless it is very long, such as a cell of a table that holds a whole file."""
    return text if len(text) <= ITEM_CHARS else f"{text[:ITEM_CHARS]} and {len(text) - ITEM_CHARS} characters more"


def _render(sentence: str, items: list[str]) -> str:
    named = [shortened(item) for item in dict.fromkeys(item for item in items if item)]
    listed = ", ".join(named[:SHOWN]) + (f" and {len(named) - SHOWN} more" if len(named) > SHOWN else "")
    return printable(sentence.replace("{n}", str(len(items))).replace("{items}", listed))
