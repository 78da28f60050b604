"""What `run.verify` does to see whether a file is whole.

Each function gives a look: it returns True where the file proves that it is whole, False where it was read without a digest, and
raises `DamagedError` where it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from resight.errors import DamagedError
from resight.segment.store import what_is_wrong
from resight.shortlist.store import open_index
from resight.store import sealed
from resight.store.damage import MISSING
from resight.store.digests import digest_of
from resight.store.generations import Generation
from resight.store.tables import check_parts

Look = Callable[[], bool]


def look_at_table(file: Path) -> Look:
    """At a Parquet file."""
    return partial(sealed.check_or_read, file)


def look_at_parts(table: Path) -> Look:
    """At the parts of a table together; damage within one of them is said of that one."""

    def look() -> bool:
        try:
            check_parts(table)
        except DamagedError as damage:
            if damage.path == table:
                raise
        return True

    return look


def look_at_current(generation: Generation, name: str) -> Look:
    """At a file of the current generation, which may have its digest."""
    path, digest = generation.folder / name, generation.files.get(name)

    def look() -> bool:
        try:
            if digest is None:
                return sealed.check_or_read(path)
            if digest_of(path) != digest:
                raise DamagedError(path, sealed.DIFFERS)
        except FileNotFoundError:
            raise DamagedError(path, MISSING) from None
        return True

    return look


def look_at_json(path: Path) -> Look:
    """At a JSON file with its digest in it."""
    return lambda: bool(sealed.read_json(path) or True)


def look_at_index(path: Path) -> Look:
    """At the folder of an index."""
    return lambda: bool(open_index(path, verify=True))


def look_at_crop(path: Path) -> Look:
    """At a PNG."""

    def look() -> bool:
        why = what_is_wrong(path.read_bytes())
        if why:
            raise DamagedError(path, why)
        return True

    return look


def missing(path: Path) -> Look:
    """At what is not there."""
    return raising(DamagedError(path, MISSING))


def raising(damage: DamagedError) -> Look:
    """At what is known to be damaged."""

    def look() -> bool:
        raise damage

    return look
