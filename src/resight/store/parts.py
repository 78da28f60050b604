"""Immutable part files: a file that is there is whole, and it is never changed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resight.store.fingerprint import digest_ids

PARTS_HELD = 64
BYTES_OF_A_LARGE_PART = 32 << 20


def write_part(folder: Path, name: str, table: pa.Table) -> Path:
    """Write ``table`` to ``folder/name.parquet`` in one rename; whoever reads sees all of it or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.parquet"
    temporary = folder / f".{name}.{uuid.uuid4().hex}.tmp"
    try:
        pq.write_table(table, temporary, compression="zstd", compression_level=3)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` in one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_parts(folder: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """All parts of ``folder`` as one table in order of file name; an empty table where there are none.

    A column that an older part lacks reads as missing values.
    """
    wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns])
    files = part_files(folder)
    return pa.concat_tables([read_columns(file, wanted) for file in files]) if files else wanted.empty_table()


def read_columns(file: Path, wanted: pa.Schema) -> pa.Table:
    """One file with exactly the columns of ``wanted``; those that an older file lacks are missing values."""
    have = pq.read_schema(file).names
    found = pq.read_table(file, columns=[name for name in wanted.names if name in have], partitioning=None)
    arrays = [
        found.column(f.name).cast(f.type) if f.name in found.column_names else pa.nulls(found.num_rows, f.type)
        for f in wanted
    ]
    return pa.table(arrays, schema=pa.schema([pa.field(f.name, f.type) for f in wanted]))


def part_files(folder: Path) -> list[Path]:
    """Whole parts in order of name; none where there is no folder."""
    return sorted(folder.glob("[!.]*.parquet"))


def compact(folder: Path, schema: pa.Schema, keys: Sequence[str], most: int | None = None) -> None:
    """Put many small parts together into one, so that years of nights stay a handful of files.

    The whole is there before a part of it goes; whoever is stopped in between leaves rows that stand twice, which a reader
    must bear. Call it with the workspace locked.

    Args:
        folder: Of the parts.
        schema: Of the whole; columns that an older part lacks are missing values.
        keys: Columns that tell rows apart; of rows that agree in all of them one is kept, sorted by them.
        most: Small parts that may stay; None: `PARTS_HELD`.
    """
    small = [file for file in part_files(folder) if file.stat().st_size < BYTES_OF_A_LARGE_PART]
    if len(small) <= (PARTS_HELD if most is None else most):
        return
    table = pa.concat_tables([read_columns(file, schema) for file in small])
    texts = [table[key].cast(pa.string()).combine_chunks() for key in keys]
    joined = pc.binary_join_element_wise(*texts, " ", null_handling="replace", null_replacement="")
    order = pc.array_sort_indices(joined)
    ordered = joined.take(order)
    first = np.append(True, np.asarray(pc.not_equal(ordered[1:], ordered[:-1])))[: len(ordered)]
    chosen = order.filter(pa.array(first))
    whole = write_part(folder, digest_ids(joined.take(chosen).to_pylist()), table.combine_chunks().take(chosen))
    for file in small:
        if file != whole:
            file.unlink()
