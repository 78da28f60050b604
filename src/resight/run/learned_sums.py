"""The sums of what gallery crops score with each animal, in files: most are those of an earlier gallery, and only the others are written.

A gallery has as many as crops times animals, and a new name changes those of one animal. Sums that have changed little since an earlier
set are written as changes of that one's: rows that are new or other, and with no pair (``n`` is 0) those that are not there any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.store.parts import write_part
from resight.store.selective import read_columns

POWERS = [(name, pa.float64()) for name in ("n", "first", "second")]
KEYS = ("crop_id", "individual_id")
PARTS = pa.schema([*((key, pa.string()) for key in KEYS), *POWERS])
SHARE_CHANGED = 0.25  # more than that, and all are written


def write_parts(folder: Path, parts: Mapping[str, pa.Table], upon: Mapping[str, pa.Table]) -> bool:
    """Write sums by animal, as changes where they are few.

    Args:
        folder: Which is there.
        parts: By name, `PARTS`.
        upon: The same of an earlier set, all of them written there; empty if there is none.

    Returns:
        Whether changes were written.
    """
    changes = {name: changes_of(upon[name], rows) for name, rows in parts.items()} if upon else {}
    is_little = bool(changes) and all(
        changes[name].num_rows <= SHARE_CHANGED * rows.num_rows for name, rows in parts.items()
    )
    for name, rows in (changes if is_little else parts).items():
        write_part(folder, file_of(name, is_little), rows)
    return is_little


def read_parts(folder: Path, name: str, upon: Path | None) -> pa.Table:
    """Sums by animal, `PARTS`, sorted by crop and animal.

    Args:
        folder: Where they or their changes lie.
        name: Of which sums.
        upon: Where those lie that they change; None where all of them lie in ``folder``.

    Raises:
        DamagedError: They are not what was written.
        FileNotFoundError: They are not there.
    """
    rows = read_columns(folder / f"{file_of(name, upon is not None)}.parquet", PARTS)
    if upon is None:
        return rows
    return changed(read_columns(upon / f"{file_of(name, False)}.parquet", PARTS), rows)


def file_of(name: str, are_changes: bool) -> str:
    """Name of the file without its suffix."""
    return f"{name}-{'changes' if are_changes else 'parts'}"


def changes_of(before: pa.Table, now: pa.Table) -> pa.Table:
    """What makes ``now`` of ``before``; bits that differ are a change."""
    keys = [_keys(table) for table in (before, now)]
    at = pc.index_in(keys[1], keys[0])
    there = np.asarray(pc.is_valid(at))
    place = np.asarray(pc.fill_null(at, 0))
    same = there.copy()
    for name, _ in POWERS if before.num_rows else ():
        same &= before[name].to_numpy()[place] == now[name].to_numpy()
    lost = before.filter(pc.is_null(pc.index_in(keys[0], keys[1])))
    none = pa.array(np.zeros(lost.num_rows))
    gone = pa.table([lost["crop_id"], lost["individual_id"], none, none, none], schema=PARTS)
    return pa.concat_tables([now.filter(pa.array(~same)).cast(PARTS), gone])


def changed(before: pa.Table, changes: pa.Table) -> pa.Table:
    """`changes_of`, applied; sorted by crop and animal."""
    others = before.filter(pc.is_null(pc.index_in(_keys(before), _keys(changes))))
    rows = pa.concat_tables([others, changes.filter(pc.greater(changes["n"], 0))])
    return rows.sort_by([(key, "ascending") for key in KEYS])


def _keys(rows: pa.Table) -> pa.Array:
    return pc.binary_join_element_wise(*(rows[key].combine_chunks() for key in KEYS), "\0")
