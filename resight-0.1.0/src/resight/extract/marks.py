"""Marks beside an unfinished batch of features: one for each shard that is there, with the digests of its arrays."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from resight.errors import DamagedError
from resight.store.damage import set_aside

AGAIN = "its features are computed again"


def marks_of(folder: Path) -> Path:
    """Folder of the marks of a batch."""
    return folder.with_suffix(".marks")


def mark_path(folder: Path, start: int) -> Path:
    """Mark of the shard that begins with this row, beside an unfinished batch."""
    return marks_of(folder) / f"{start:08d}.json"


def read_mark(path: Path, rows: tuple[int, int], names: Collection[str]) -> dict[str, Any] | None:
    """What the mark of a shard says; None where there is none, or another thing.

    Args:
        rows: (start, stop) of the shard.
        names: Arrays of which it has digests.
    """
    try:
        mark = json.loads(path.read_bytes())
        fits = mark["rows"] == [*rows] and isinstance(mark["failed"], dict) and mark["sha256"].keys() == set(names)
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return mark if fits else None


def gathered(folder: Path, shards: Collection[tuple[int, int]], names: Collection[str]) -> list[dict[str, Any]]:
    """The marks of all these shards that have one.

    Raises:
        DamagedError: A mark is not what was written. It is set aside, so that its shard is computed again.
    """
    marks = []
    for rows in shards:
        path = mark_path(folder, rows[0])
        if path.exists():
            mark = read_mark(path, rows, names)
            if mark is None:
                damage = DamagedError(path, "it is no mark of a shard")
                set_aside(damage, AGAIN)
                raise damage
            marks.append(mark)
    return marks
