"""Reading the columns and rows of a Parquet file that are asked for, and comparing what is read with its digests.

A file that has digests of its chunks (`store.chunks`) is read in the chunks that are needed. One that an earlier version
wrote is compared whole, if it has a digest at all, and then read.
"""

from __future__ import annotations

import bisect
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resight.store import sealed
from resight.store.chunks import Footer, Range, read_range
from resight.store.durable import errors_naming

T = TypeVar("T")

ROWS_WITH_THREADS = 1 << 17  # fewer are decoded sooner than threads are woken


@dataclass(frozen=True)
class Opened:
    """A Parquet file, whose footer was compared with its digest where it has one; `opened` gives one.

    Attributes:
        file: The file.
        footer: With digests of its chunks; None in a file of before, which was compared whole.
        is_seen: It was compared whole in this process and is not compared again.
        has_digest: What is read is what was written, or comparing says that it is not.
    """

    file: Path
    footer: Footer | None
    is_seen: bool
    has_digest: bool

    @cached_property
    def metadata(self) -> pq.FileMetaData:
        """Its footer."""
        return pq.read_metadata(self.file) if self.footer is None else self.footer.metadata

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of its columns, with their metadata."""
        return self.metadata.schema.to_arrow_schema()

    def read(self, names: Sequence[str], row_groups: Sequence[int] | None = None, **options: Any) -> pa.Table:
        """Columns of some row groups, or of all.

        Args:
            names: Of columns that it has.
            row_groups: Their numbers, in order.
            options: Of `pyarrow.parquet.ParquetFile`.

        Raises:
            DamagedError: A chunk and its digest differ, or there is no such column.
        """
        return self.naming_damage(lambda: self._read(names, row_groups, options))

    def naming_damage(self, work: Callable[[], T]) -> T:
        """`sealed.naming_damage` of this file."""
        return sealed.naming_damage(self.file, work, self.has_digest)

    def _read(self, names: Sequence[str], row_groups: Sequence[int] | None, options: Mapping[str, Any]) -> pa.Table:
        asked = range(self.metadata.num_row_groups) if row_groups is None else row_groups
        groups = [number for number in asked if self.metadata.row_group(number).num_rows]
        if not groups:
            return self.schema.empty_table().select(list(names))
        source: Any = self.file if self.footer is None else pa.PythonFile(self._pieces(self.footer, names, groups))
        threads = sum(self.metadata.row_group(i).num_rows for i in groups) > ROWS_WITH_THREADS
        with pq.ParquetFile(source, metadata=self.metadata, pre_buffer=False, **options) as parquet:
            found = parquet.read_row_groups(groups, columns=list(names), use_threads=threads)
        return found.select(list(names))

    def groups_with(self, column: str, values: Sequence[str]) -> list[int]:
        """Row groups that may hold one of these texts, by the statistics of the column; ``values`` are sorted."""
        leaf = self.schema.names.index(column)
        if [self.metadata.schema.column(leaf).path] != [column]:  # a list column stands before it
            leaf = next(i for i in range(self.metadata.num_columns) if self.metadata.schema.column(i).path == column)
        found = []
        for number in range(self.metadata.num_row_groups):
            statistics = self.metadata.row_group(number).column(leaf).statistics
            if statistics is not None and statistics.has_min_max:
                first = bisect.bisect_left(values, statistics.min)
                if first == len(values) or values[first] > statistics.max:
                    continue
            found.append(number)
        return found

    def _pieces(self, footer: Footer, names: Sequence[str], row_groups: Sequence[int]) -> _Pieces:
        """The chunks that are needed, each compared with its digest; what lies together is read together."""
        leaves = footer.leaves(names)
        chunks = [(number, leaf, footer.chunk(number, leaf)) for number in row_groups for leaf in leaves]
        pieces: list[tuple[int, memoryview]] = []
        with errors_naming(self.file), self.file.open("rb") as file:
            for start, stop in _joined([place for _, _, place in chunks]):
                pieces.append((start, memoryview(read_range(file, start, stop))))
        found = _Pieces(pieces)
        if not self.is_seen:
            for number, leaf, (start, stop) in chunks:
                footer.compare(number, leaf, found.between(start, stop))
        return found


def opened(file: Path) -> Opened:
    """A Parquet file, to read some of it.

    Raises:
        DamagedError: It is no whole Parquet file, or its footer and the digest of that differ.
        OSError: It is not there, may not be read, or the disk fails.
    """
    seen = sealed.is_seen(file)
    footer = sealed.footer_of(file)
    return Opened(file, footer, seen, footer is not None or sealed.check(file))


def read_columns(file: Path, wanted: pa.Schema, **options: Any) -> pa.Table:
    """One file with exactly the columns of ``wanted``; those that an older file lacks are missing values.

    Raises:
        DamagedError: What was read is not what was written.
    """
    parquet = opened(file)
    names = _names(parquet, wanted)
    return parquet.naming_damage(lambda: conformed(parquet.read(names, **options), wanted))


def rows_where(file: Path, wanted: pa.Schema, column: str, values: Sequence[str]) -> pa.Table:
    """The rows whose ``column`` is one of ``values``, in the file's order, with the columns of ``wanted``.

    Only row groups whose statistics allow one of the values are read, and of those only the ones that have one are read in
    all columns.

    Raises:
        DamagedError: What was read is not what was written.
    """
    asked, parquet = sorted(set(values)), opened(file)
    names = _names(parquet, wanted)

    def read() -> pa.Table:
        tables = [conformed(parquet.read(names, []), wanted)]
        for number in parquet.groups_with(column, asked):
            hit = pc.is_in(parquet.read([column], [number])[column].cast(pa.string()), pa.array(asked, pa.string()))
            rows = np.flatnonzero(np.asarray(hit))
            if rows.size:
                first, last = int(rows[0]), int(rows[-1]) + 1
                part = conformed(parquet.read(names, [number]), wanted)
                together = last - first == rows.size  # as in a file that is sorted by the column
                tables.append(part.slice(first, last - first) if together else part.take(pa.array(rows)))
        return pa.concat_tables(tables)

    return parquet.naming_damage(read)


def conformed(found: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Exactly the columns of ``wanted``, in its types; those that are not there are missing values."""
    have = set(found.column_names)
    arrays = [found.column(f.name).cast(f.type) if f.name in have else pa.nulls(found.num_rows, f.type) for f in wanted]
    return pa.table(arrays, schema=pa.schema([pa.field(f.name, f.type) for f in wanted]))


def _names(parquet: Opened, wanted: pa.Schema) -> list[str]:
    """The wanted columns that a file has."""
    have = set(parquet.naming_damage(lambda: parquet.schema.names))
    return [name for name in wanted.names if name in have]


def _joined(places: Sequence[Range]) -> list[Range]:
    """Ranges, of which those that touch are one."""
    found: list[Range] = []
    for start, stop in sorted(places):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found


class _Pieces(io.RawIOBase):
    """What was read of a file, at its places in the file, for a reader that takes no other places."""

    def __init__(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        self._starts = [start for start, _ in pieces]
        self._data = [data for _, data in pieces]
        self._at = 0
        self._size = self._starts[-1] + len(self._data[-1]) if pieces else 0

    def between(self, start: int, stop: int) -> memoryview:
        """Bytes that were read."""
        if start >= stop:
            return memoryview(b"")
        number = bisect.bisect_right(self._starts, start) - 1
        if number < 0 or stop - self._starts[number] > len(self._data[number]):
            raise ValueError(f"bytes {start} to {stop} were not read")
        return self._data[number][start - self._starts[number] : stop - self._starts[number]]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> memoryview:
        stop = self._size if size < 0 else min(self._size, self._at + size)
        data = self.between(self._at, stop)
        self._at += len(data)
        return data
