"""Writing a large table so that it goes on with the files of the run before, and only what is new is written.

Which rows are new is found by looking: a part of the run before whose rows are all among those of the new table, value for value, is
taken over by a hard link, and the remaining rows are a new part. So every run has all of its rows, and an older one may be removed.
Where as many alike parts would lie side by side as `ALIKE`, their rows are written again as one, so that a year of nights leaves a
few dozen files, and a row is written again only when there are `ALIKE` times as many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from resight.catalog import table as catalog_table
from resight.errors import DamagedError
from resight.store import sealed
from resight.store.durable import link_or_copy
from resight.store.selective import Opened, opened
from resight.store.table_files import ENDING, files_of, part_name
from resight.store.tables import Keys, write_table

ALIKE = 8
ROWS_OF_A_SMALL_PART = 512


@dataclass(frozen=True, eq=False)
class _Kept:
    """A part of the run before whose rows are as they were.

    Attributes:
        file: It.
        places: (N,) int64, where its rows are in the new table.
    """

    file: Path
    places: np.ndarray


def write_parts(folder: Path, name: str, table: pa.Table, before: Path | None = None) -> list[Path]:
    """Write a conformed table into a (staging) folder, as a folder of parts called like the table.

    Args:
        folder: Of the run that is being written.
        name: In the catalog.
        table: All rows, sorted by the key.
        before: That of the run to go on from, if there is one; it may lack the table, or have it as one file.

    Returns:
        The parts, those that were taken over first.
    """
    kept = _taken_over(name, table, before / f"{name}{ENDING}") if before is not None else []
    kept = _apart([part for part in kept if len(part.places)], table.num_rows)
    new = np.ones(table.num_rows, bool)
    for part in kept:
        new[part.places] = False
    target, of = folder / f"{name}{ENDING}", len(kept) + bool(new.any() or not kept)
    target.mkdir()
    parts = [target / part_name(number, of) for number in range(1, of + 1)]
    for part, file in zip(kept, parts, strict=False):
        link_or_copy(part.file, file)
    if of > len(kept):
        rows = table if new.all() else table.filter(pa.array(new))
        write_table(target, name, rows, parts[-1].name.removesuffix(ENDING))
    return parts


def _taken_over(name: str, table: pa.Table, before: Path) -> list[_Kept]:
    """Parts of the run before with nothing but rows of the new table; what is damaged is none, and its rows are written anew."""
    if not before.is_dir():
        return []
    try:
        files = files_of(before)
    except DamagedError:
        return []
    compared, kept, taken = _Compared(name, table), list[_Kept](), np.zeros(table.num_rows, bool)
    for file in files:
        try:
            # All of it, not the columns alone that are compared: the new run, and what is current after it, would have the damage too.
            places = compared.places(opened(file)) if sealed.check(file) else None
        except DamagedError:
            continue
        if (
            places is not None and not taken[places].any()
        ):  # else a part of another run lies there, with rows of this one
            taken[places] = True
            kept.append(_Kept(file, places))
    return kept


class _Compared:
    """A table whose rows are looked up by their key, and compared."""

    def __init__(self, name: str, table: pa.Table) -> None:
        self._spec = catalog_table(name)
        self._names = [column for column in table.column_names if column != "run_id"]
        self._keys = Keys(table, self._spec.key)
        self._rows = _exact(table.select(self._names))

    def places(self, part: Opened) -> np.ndarray | None:
        """(N,) int64, where the rows of a part are; None if one is not there, is another one now, or was written by another version.

        Raises:
            DamagedError: The part is not what was written.
        """
        schema = part.naming_damage(lambda: part.schema)
        if (schema.metadata or {}).get(b"resight_version") != str(self._spec.version).encode():
            return None
        found = [np.zeros(0, np.int64)]
        for group in range(part.metadata.num_row_groups):
            rows = part.read(self._names, [group])
            places = self._keys.places(rows)
            if (places < 0).any() or not self._rows.take(pa.array(places)).equals(_exact(rows)):
                return None
            found.append(places)
        return np.concatenate(found)


def _exact(rows: pa.Table) -> pa.Table:
    """Rows whose numbers are compared by their bits: one that is not a number is then like itself, and 0.0 is not -0.0."""
    return pa.table(dict(zip(rows.column_names, map(_bits, rows.columns), strict=True)))


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_float64(column.type):
        return column
    return pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())


def _apart(kept: Sequence[_Kept], n_rows: int) -> list[_Kept]:
    """Those parts that stay files of their own, beside the new one."""
    n_new, stay = n_rows - sum(len(part.places) for part in kept), list(kept)
    if not n_new:
        return stay
    while True:
        size = _size(n_new)
        alike = [part for part in stay if _size(len(part.places)) <= size]
        if sum(_size(len(part.places)) == size for part in alike) + 1 < ALIKE:
            return stay
        n_new += sum(len(part.places) for part in alike)
        stay = [part for part in stay if part not in alike]


def _size(n_rows: int) -> int:
    """Parts of one size are put together; each is `ALIKE` times the one before."""
    return max(0, math.floor(math.log(n_rows / ROWS_OF_A_SMALL_PART, ALIKE)) + 1) if n_rows else 0
