"""Immutable part files: a file that is there is whole, and it is never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import DamagedError
from resight.store import sealed
from resight.store.damage import set_aside
from resight.store.durable import write_bytes as write_bytes
from resight.store.fingerprint import digest_ids
from resight.store.listing import matching
from resight.store.selective import read_columns

BYTES_OF_A_LARGE_PART = 32 << 20
ALIKE = 1.25  # two nights' parts are alike, but never of one size


def write_part(folder: Path, name: str, table: pa.Table) -> Path:
    """Write ``table`` to ``folder/name.parquet`` in one rename; whoever reads sees all of it or nothing."""
    target = folder / f"{name}.parquet"
    sealed.write_table(target, table)
    return target


def read_parts(folder: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """All whole parts of ``folder`` as one table in order of file name; an empty table where there are none.

    A column that an older part lacks reads as missing values. A damaged part is set aside, so that what it held is done again.
    """
    wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns])
    tables = [table for _, table in whole_parts(part_files(folder), wanted)]
    return pa.concat_tables(tables) if tables else wanted.empty_table()


def whole_parts(files: Iterable[Path], wanted: pa.Schema) -> Iterator[tuple[Path, pa.Table]]:
    """Each part and its columns; damaged ones are set aside and left out."""
    for file in files:
        try:
            table = read_columns(file, wanted)
        except DamagedError as damage:
            set_aside(damage)
            continue
        yield file, table


def part_files(folder: Path) -> list[Path]:
    """Whole parts in order of name; none where there is no folder."""
    return matching(folder, "[!.]*.parquet")


def compact(
    folder: Path, schema: pa.Schema, keys: Sequence[str], of_use: Callable[[pa.Table], pa.Table] = lambda rows: rows
) -> None:
    """Put small parts together, so that years of nights stay a handful of files; see `together` for which.

    The whole is there before a part of it goes; whoever is stopped in between leaves rows that stand twice, which a reader
    must bear. Call it with the workspace locked.

    Args:
        folder: Of the parts.
        schema: Of the whole; columns that an older part lacks are missing values.
        keys: Columns that tell rows apart; of rows that agree in all of them one is kept, sorted by them.
        of_use: Rows that are still wanted.
    """
    size_of = {file: file.stat().st_size for file in part_files(folder)}
    whole_ones = dict(whole_parts(together(size_of), schema))
    if len(whole_ones) < 2:
        return
    table = of_use(pa.concat_tables(list(whole_ones.values())))
    texts = [table[key].cast(pa.string()).combine_chunks() for key in keys]
    joined = pc.binary_join_element_wise(*texts, " ", null_handling="replace", null_replacement="")
    order = pc.array_sort_indices(joined)
    ordered = joined.take(order)
    first = np.append(True, np.asarray(pc.not_equal(ordered[1:], ordered[:-1])))[: len(ordered)]
    chosen = order.filter(pa.array(first))
    whole = write_part(folder, digest_ids(joined.take(chosen).to_pylist()), table.combine_chunks().take(chosen))
    for file in whole_ones:
        if file != whole:
            file.unlink()


def together(size_of: Mapping[Path, int]) -> list[Path]:
    """Which parts to put together: the smallest ones, up to the last that is not much larger than all before it.

    What stays is then larger than all smaller parts together, so that n parts of about one size become at most log2(n) + 1,
    and a row is written again only when its part nearly doubles. Large parts stay as they are.
    """
    small = sorted((size, file) for file, size in size_of.items() if size < BYTES_OF_A_LARGE_PART)
    before, n = 0, 0
    for place, (size, _) in enumerate(small):
        if size <= ALIKE * before:
            n = place + 1
        before += size
    return sorted(file for _, file in small[:n])
