"""What lies in a folder. `Path.glob` takes a folder that may not be listed for an empty one, and what was in it for lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

NOT_OURS = "lost+found"  # where a folder is a disk of its own; only the system may enter it


def matching(folder: Path, pattern: str) -> list[Path]:
    """What `Path.glob` finds with this pattern, without ``**``, sorted; nothing where there is no such folder.

    Raises:
        OSError: A folder is there and cannot be listed.
    """
    return sorted(_matching(folder, pattern.split("/")))


def _matching(folder: Path, parts: list[str]) -> Iterator[Path]:
    first, *rest = parts
    try:
        if not set(first) & set("*?["):
            os.lstat(folder / first)
            names = [first]
        else:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if fnmatchcase(entry.name, first)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if not rest:
            yield folder / name
        elif name != NOT_OURS:
            yield from _matching(folder / name, rest)
