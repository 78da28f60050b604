"""Reading and writing the tables of the catalog, never anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resight.catalog import table as catalog_table
from resight.errors import BrokenCountError, WorkspaceError
from resight.store import sealed
from resight.store.parts import read_columns


def conform(name: str, rows: pa.Table | Sequence[Mapping[str, Any]], run_id: str) -> pa.Table:
    """Give ``rows`` exactly the catalog's columns, order and types, sorted by key, with ``run_id`` filled in.

    Raises:
        BrokenCountError: A key is missing or stands twice, or a column that must be filled is not.
        KeyError: There is a column that the catalog does not know.
    """
    spec = catalog_table(name)
    schema = spec.schema
    if not isinstance(rows, pa.Table):
        rows = pa.Table.from_pylist(list(rows), schema=pa.schema([f for f in schema if f.name != "run_id"]))
    unknown = set(rows.column_names) - set(schema.names)
    if unknown:
        raise KeyError(f"table {name} has no columns {sorted(unknown)}")
    arrays = [_column(rows, f, run_id) for f in schema]
    table = pa.table(arrays, schema=pa.schema([f.with_nullable(True) for f in schema], metadata=schema.metadata))
    _check(name, table, schema, spec.key)
    sorted_table = table.sort_by([(k, "ascending") for k in spec.key]) if table.num_rows else table
    return sorted_table.cast(schema)


def _column(rows: pa.Table, field: pa.Field, run_id: str) -> pa.ChunkedArray | pa.Array:
    if field.name == "run_id":
        return pa.repeat(pa.scalar(run_id, field.type), rows.num_rows)
    if field.name not in rows.column_names:
        return pa.nulls(rows.num_rows, field.type)
    return rows.column(field.name).cast(field.type)


def _check(name: str, table: pa.Table, schema: pa.Schema, key: tuple[str, ...]) -> None:
    for field in schema:
        if not field.nullable and table.column(field.name).null_count:
            raise BrokenCountError(f"table {name}: {table.column(field.name).null_count} rows have no {field.name}")
    distinct = table.group_by(list(key)).aggregate([]).num_rows if table.num_rows else 0
    if distinct != table.num_rows:
        raise BrokenCountError(f"table {name}: {table.num_rows} rows but only {distinct} different {' + '.join(key)}")


def write_table(folder: Path, name: str, table: pa.Table) -> Path:
    """Write a conformed table into a (staging) folder."""
    path = folder / f"{name}.parquet"
    sealed.write_table(path, table, row_group_size=1_000_000)
    return path


def read_table(path: Path, name: str) -> pa.Table:
    """Read a table written by this or an older version; columns that it lacks are missing values.

    Raises:
        WorkspaceError: A newer version wrote it.
        DamagedError: It is not what was written.
    """
    spec = catalog_table(name)
    metadata = sealed.read(path, pq.read_schema).metadata or {}
    version = int(metadata.get(b"resight_version", b"0"))
    if version > spec.version:
        raise WorkspaceError(
            f"{path} was written by a newer Resight (table version {version}, known {spec.version}); update Resight."
        )
    return read_columns(path, spec.schema)


def status_counts(table: pa.Table) -> dict[str, int]:
    """How many rows have which status."""
    counts = pc.value_counts(table.column("status").combine_chunks()).to_pylist() if table.num_rows else []
    return {one["values"]: one["counts"] for one in sorted(counts, key=lambda c: c["values"])}


def empty_table(name: str) -> pa.Table:
    """A table of the catalog without rows."""
    return catalog_table(name).schema.empty_table()
