"""Reading and writing the tables of the catalog, never anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resight.catalog import TABLES
from resight.catalog import table as catalog_table
from resight.errors import BrokenCountError, DamagedError, WorkspaceError
from resight.store import sealed, selective
from resight.store.selective import read_columns
from resight.store.table_files import ENDING, files_of

ROWS_OF_A_GROUP = 1 << 15
BYTES_OF_A_PAGE = 1 << 17
TWICE = "rows stand in two of its parts, so one of them is of another run"


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
    table, was_in_order = _shaped(name, rows, run_id)
    _check(name, table, schema, spec.key, was_in_order)
    return table.cast(schema)


def shaped(name: str, rows: pa.Table, run_id: str | None = None) -> pa.Table:
    """Rows in the catalog's columns, order and types, sorted by key; values may be missing, the run's name where there is no run."""
    return _shaped(name, rows, run_id)[0]


def _shaped(name: str, rows: pa.Table, run_id: str | None) -> tuple[pa.Table, bool]:
    """`shaped`, and whether `_is_in_order` held before."""
    spec = catalog_table(name)
    schema = spec.schema
    arrays = [_column(rows, f, run_id) for f in schema]
    table = pa.table(arrays, schema=pa.schema([f.with_nullable(True) for f in schema], metadata=schema.metadata))
    is_in_order = _is_in_order(table, spec.key)
    return table if is_in_order else table.sort_by([(k, "ascending") for k in spec.key]), is_in_order


def _is_in_order(table: pa.Table, key: Sequence[str]) -> bool:
    """Whether rows are sorted by their key, each of another one; False, too, where that takes as long to see as sorting them."""
    texts = all(pa.types.is_string(table[column].type) and not table[column].null_count for column in key)
    numbers = Keys(table, key).numbers if texts and table.num_rows else np.zeros(0 if not table.num_rows else 2)
    return bool((numbers[1:] > numbers[:-1]).all())


def _column(rows: pa.Table, field: pa.Field, run_id: str | None) -> pa.ChunkedArray | pa.Array:
    if field.name == "run_id" and run_id is not None:
        return pa.repeat(pa.scalar(run_id, field.type), rows.num_rows)
    if field.name not in rows.column_names:
        return pa.nulls(rows.num_rows, field.type)
    return rows.column(field.name).cast(field.type)


def _check(name: str, table: pa.Table, schema: pa.Schema, key: tuple[str, ...], is_in_order: bool) -> None:
    for field in schema:
        if not field.nullable and table.column(field.name).null_count:
            raise BrokenCountError(f"table {name}: {table.column(field.name).null_count} rows have no {field.name}")
    in_order = is_in_order or _is_in_order(table, key)
    distinct = table.num_rows if in_order else table.group_by(list(key)).aggregate([]).num_rows
    if distinct != table.num_rows:
        raise BrokenCountError(f"table {name}: {table.num_rows} rows but only {distinct} different {' + '.join(key)}")


def write_table(folder: Path, name: str, table: pa.Table, file: str = "") -> Path:
    """Write a conformed table into a (staging) folder; its file is called like the table unless ``file`` names it."""
    path, spec = folder / f"{file or name}.parquet", catalog_table(name)
    order = [(key, "ascending") for key in spec.key]
    sealed.write_table(
        path,
        table,
        row_group_size=ROWS_OF_A_GROUP,
        data_page_size=BYTES_OF_A_PAGE,
        write_page_index=True,
        sorting_columns=pq.SortingColumn.from_ordering(table.schema, order),
    )
    return path


def read_table(path: Path, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table written by this or an older version, sorted by its key; columns that it lacks are missing values.

    Args:
        path: Its file, or the folder of its parts (see `store.table_files`).
        name: In the catalog.
        columns: Which of its columns; all if not given. Others are not read, but for the key of a table in parts.

    Raises:
        WorkspaceError: A newer version wrote it.
        DamagedError: What was read is not what was written, a part is missing, or a row stands in two parts.
    """
    return _read(path, name, columns, read_columns)


def rows_where(
    path: Path, name: str, column: str, values: Sequence[str], columns: Sequence[str] | None = None
) -> pa.Table:
    """As `read_table`, but only the rows whose ``column`` is one of ``values``, and of the files little more than these.

    A table is sorted by its key (`catalog.Table.key`), so that for its first column that is little indeed.
    """
    return _read(path, name, columns, lambda file, wanted: selective.rows_where(file, wanted, column, values))


def _read(
    path: Path, name: str, columns: Sequence[str] | None, read: Callable[[Path, pa.Schema], pa.Table]
) -> pa.Table:
    """What is read of the one file, or of all parts, sorted by the key as each of them is."""
    spec, files = catalog_table(name), files_of(path)
    names = spec.schema.names if columns is None else list(columns)
    asked = names if len(files) == 1 else list(dict.fromkeys((*names, *spec.key)))
    for file in files:
        _refuse_newer(file, spec.version)
    tables = [read(file, pa.schema([spec.schema.field(column) for column in asked])) for file in files]
    if len(files) == 1:
        return tables[0]
    rows = pa.concat_tables(tables).combine_chunks()
    return rows.select(names).take(pa.array(_order(path, rows, spec.key)))


def check_parts(table: Path) -> None:
    """Whether the parts of a table belong together, as far as their keys tell; nothing to see where it is one file.

    Raises:
        DamagedError: A row stands in two of them, or one cannot be read.
    """
    spec = next((one for one in TABLES if f"{one.name}{ENDING}" == table.name and one.in_parts), None)
    files = files_of(table)
    if spec is None or len(files) == 1:
        return
    keys = pa.schema([spec.schema.field(column) for column in spec.key])
    _order(table, pa.concat_tables([read_columns(file, keys) for file in files]).combine_chunks(), spec.key)


def _order(table: Path, rows: pa.Table, key: Sequence[str]) -> np.ndarray:
    """(N,) int64 that sorts rows of several parts by their key.

    Raises:
        DamagedError: A row stands in two parts.
    """
    numbers = Keys(rows, key).numbers
    order = np.argsort(numbers, kind="stable")
    if (np.diff(numbers[order]) == 0).any():
        raise DamagedError(table, TWICE)
    return order


class Keys:
    """Keys of the rows of a table, as numbers that are in the order of the keys.

    Args:
        rows: Of a table.
        key: Its columns, all of them texts that are never missing.
    """

    def __init__(self, rows: pa.Table, key: Sequence[str]) -> None:
        self._known = {column: _sorted_texts(rows[column]) for column in key}
        self.numbers = self._numbered(rows)
        is_sorted = bool((self.numbers[1:] > self.numbers[:-1]).all())
        self._order = None if is_sorted else np.argsort(self.numbers, kind="stable")

    def places(self, rows: pa.Table) -> np.ndarray:
        """(N,) int64, where the keys of other rows are; -1 for one that is not among them."""
        wanted, numbers = self._numbered(rows), self.numbers if self._order is None else self.numbers[self._order]
        if not len(numbers):
            return np.full(len(wanted), -1, np.int64)
        found = np.searchsorted(numbers, wanted).clip(max=len(numbers) - 1)
        places = found if self._order is None else self._order[found]
        return np.where((wanted >= 0) & (numbers[found] == wanted), places, -1)

    def _numbered(self, rows: pa.Table) -> np.ndarray:
        """(N,) int64; -1 for a key with a text that is not known."""
        number, known = np.zeros(rows.num_rows, np.int64), np.ones(rows.num_rows, bool)
        for column, texts in self._known.items():
            code = np.asarray(pc.fill_null(pc.index_in(rows[column].cast(pa.string()), texts), -1), np.int64)
            number, known = number * max(1, len(texts)) + code, known & (code >= 0)
        return np.where(known, number, -1)


def _sorted_texts(column: pa.ChunkedArray) -> pa.Array:
    texts = pc.unique(column.cast(pa.string()))
    return texts.take(pc.array_sort_indices(texts))


def _refuse_newer(file: Path, known: int) -> None:
    parquet = selective.opened(file)
    metadata = parquet.naming_damage(lambda: parquet.schema.metadata) or {}
    version = int(metadata.get(b"resight_version", b"0"))
    if version > known:
        raise WorkspaceError(
            f"{file} was written by a newer Resight (table version {version}, known {known}); update Resight."
        )


def status_counts(table: pa.Table) -> dict[str, int]:
    """How many rows have which status."""
    counts = pc.value_counts(table.column("status").combine_chunks()).to_pylist() if table.num_rows else []
    return {one["values"]: one["counts"] for one in sorted(counts, key=lambda c: c["values"])}


def empty_table(name: str) -> pa.Table:
    """A table of the catalog without rows."""
    return catalog_table(name).schema.empty_table()
