"""How a command's result reaches the user: as one JSON object, or as lines and tables for people."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

screen = Console()


def print_result(result: dict[str, Any], as_json: bool, show: Callable[[Console, dict[str, Any]], None]) -> None:
    """Print ``result`` as JSON (paths and dates as text), or let ``show`` put it on the screen."""
    if as_json:
        print(json.dumps(result, default=str, allow_nan=False))
    else:
        show(screen, result)


def line(console: Console, text: str) -> None:
    """A line that rich neither colours nor breaks, so that paths in it can be copied."""
    console.print(text, highlight=False, soft_wrap=True)


def linked(text: str, address: str) -> str:
    """Markup of a link (OSC 8): terminals that know links show one, others and files get the text alone."""
    return f"[link={address}]{escape(text)}[/link]" if address else escape(text)


def place(path: str | Path) -> str:
    """Markup of a file or folder, with a link to it."""
    return linked(str(path), Path(path).absolute().as_uri())


def with_links(text: str, addresses: Mapping[str, str]) -> str:
    """Markup of a sentence in which each key of ``addresses`` is a link."""
    here = sorted((name for name in addresses if name and name in text), key=len, reverse=True)
    if not here:
        return escape(text)
    parts = re.split("(" + "|".join(map(re.escape, here)) + ")", text)
    return "".join(linked(part, addresses[part]) if k % 2 else escape(part) for k, part in enumerate(parts))


def print_notes(console: Console, result: dict[str, Any], addresses: Mapping[str, str] | None = None) -> None:
    """What people should know about a result, a line each; photos in it are linked where ``addresses`` has them by uri."""
    for note in result["notes"]:
        line(console, f"[yellow]Note:[/] {with_links(note, addresses or {})}")


def accuracy_line(measured: Mapping[str, Any] | None, accepted: bool = True) -> str:
    """How often the right animal came first, with its interval; `resight accuracy` measures the ``accepted`` model alone."""
    if measured is None or measured["value"] is None:
        return "not measured yet (`resight accuracy`)" if accepted else "not measured"
    ends = [f"{100 * measured[name]:.0f}" for name in ("ci_low", "ci_high") if measured[name] is not None]
    interval = f" ({' to '.join(ends)} %)" if ends else ""
    return f"right at once {100 * measured['value']:.0f} %{interval} of {measured['n']} encounters"
