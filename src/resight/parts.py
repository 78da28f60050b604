"""Immutable part files: a file that is there is whole, and it is never changed."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


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
    files = sorted(folder.glob("[!.]*.parquet")) if folder.exists() else []
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
