"""The rows behind the calibration pairs of a gallery: what earlier sets have written is referred to, and only what is new is written.

A set, ``store/calibration/<name>/``, has a part of its own (``pairs-<digest>.parquet``) with the rows that no set before it has, and
lists the parts of other sets that have the rest. Rows of those that do not count any more are named in ``gone.parquet``. A part has twice
the rows of all smaller ones together and at least half of them count, so that years of new names leave a handful of parts, and a row is
written again only when what lies beside it has grown to half its part. A part's name says what is in it: nothing is ever written over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from resight.catalog import table as catalog_table
from resight.errors import BrokenCountError, DamagedError
from resight.match.cache import CropCodes
from resight.rank.photos import codes
from resight.store.selective import opened, read_columns

PAIRS, GONE = "pairs", "gone"
GONE_SCHEMA = pa.schema([("part", pa.string()), ("row", pa.int64())])
KEYS = ("query_crop_id", "gallery_crop_id")


@dataclass(frozen=True)
class Part:
    """Rows that a set has written.

    Attributes:
        file: Where they lie, in the folder of that set.
        rows: How many there are.
        gone: (G,) int64, sorted numbers of those that do not count.
    """

    file: Path
    rows: int
    gone: np.ndarray

    @property
    def name(self) -> str:
        """Of the file, within ``store/calibration``."""
        return f"{self.file.parent.name}/{self.file.name}"

    @property
    def counting(self) -> np.ndarray:
        """(rows,) bool, which count."""
        mask = np.ones(self.rows, bool)
        mask[self.gone] = False
        return mask

    @property
    def n(self) -> int:
        """How many count."""
        return self.rows - len(self.gone)

    def read(self, names: Sequence[str]) -> pa.Table:
        """Columns of the rows that count; texts as dictionaries.

        Raises:
            DamagedError: They are not what was written.
            FileNotFoundError: They are not there.
        """
        wanted = narrow(names)
        texts = [field.name for field in wanted if pa.types.is_dictionary(field.type)]
        table = read_columns(self.file, wanted, read_dictionary=texts)
        if table.num_rows != self.rows:
            raise DamagedError(self.file, f"it has {table.num_rows} rows where {self.rows} were written")
        return table.filter(pa.array(self.counting)) if len(self.gone) else table

    def take(self, names: Sequence[str], rows: np.ndarray) -> pa.Table:
        """Columns of some rows of the file, by their sorted numbers; no more than a row group of it is in memory at once.

        Raises:
            DamagedError: They are not what was written.
            FileNotFoundError: They are not there.
        """
        wanted = _plain(names)
        parquet, tables, first = opened(self.file), [wanted.empty_table()], 0
        for number in range(parquet.metadata.num_row_groups):
            stop = first + parquet.metadata.row_group(number).num_rows
            some = rows[np.searchsorted(rows, first) : np.searchsorted(rows, stop)] - first
            if len(some):
                tables.append(parquet.read(names, [number]).take(pa.array(some)).cast(wanted))
            first = stop
        return pa.concat_tables(tables)


def narrow(names: Sequence[str]) -> pa.Schema:
    """Columns of the catalog's ``pairs``, texts as dictionaries: a million rows are some megabytes then."""
    fields = [catalog_table(PAIRS).schema.field(name) for name in names]
    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([pa.field(f.name, text if pa.types.is_string(f.type) else f.type) for f in fields])


def read_rows(parts: Iterable[Part], names: Sequence[str]) -> pa.Table:
    """Columns of the rows of all parts that count, sorted by query and gallery crop; texts as dictionaries.

    Raises:
        DamagedError: They are not what was written.
        FileNotFoundError: They are not there.
    """
    wanted = narrow(names)
    tables = [part.read(list(dict.fromkeys((*KEYS, *names)))) for part in parts]
    if not tables:
        return wanted.empty_table()
    whole = pa.concat_tables(tables)
    if len(tables) > 1:
        order = np.lexsort([codes(whole[key]) for key in reversed(KEYS)])
        whole = whole.unify_dictionaries().combine_chunks().take(pa.array(order))
    return whole.select(list(names))


def rows_of(parts: Iterable[Part], asked: pa.Table, names: Sequence[str]) -> pa.Table:
    """Columns of the pairs that a table has, in its order.

    Args:
        parts: Of a set, which has them all.
        asked: Query and gallery crop of each.
        names: Of the columns.

    Raises:
        BrokenCountError: Some are not in the store.
        DamagedError: They are not what was written.
    """
    crops = CropCodes.of(*(asked[key] for key in KEYS))
    number = numbered(crops, asked)
    order = np.argsort(number)
    places, tables = [np.zeros(0, np.int64)], [_plain(names).empty_table()]
    for part in parts:
        row, place = met(numbered(crops, part.read(KEYS)), number[order])
        places.append(order[place])
        tables.append(part.take(names, np.flatnonzero(part.counting)[row]))
    whole, place = pa.concat_tables(tables), np.concatenate(places)
    if not np.array_equal(np.sort(place), np.arange(asked.num_rows)):
        raise BrokenCountError(
            f"of {asked.num_rows} calibration pairs {len(place)} are in the store; run the same command again"
        )
    return whole.take(pa.array(np.argsort(place)))


def parts_of(folder: Path, told: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    """The parts of a set, from what its record says of them.

    Raises:
        DamagedError: What says which rows are gone is not what was written.
        FileNotFoundError: That is not there.
    """
    gone = dict.fromkeys((str(one["file"]) for one in told), np.zeros(0, np.int64))
    if any(one["gone"] for one in told):
        table = read_columns(folder / f"{GONE}.parquet", GONE_SCHEMA)
        names = np.array(table["part"].to_pylist())
        gone = {name: table["row"].to_numpy()[names == name] for name in gone}
    for one in told:
        rows = gone[str(one["file"])]
        if len(rows) != one["gone"] or (len(rows) and not 0 <= rows[0] <= rows[-1] < one["rows"]):
            raise DamagedError(folder / f"{GONE}.parquet", f"it does not name {one['gone']} rows of {one['file']}")
    return tuple(Part(folder.parent / one["file"], int(one["rows"]), gone[str(one["file"])]) for one in told)


def files_of(folder: Path, told: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Every file that the parts of a set need."""
    files = [folder.parent / str(one["file"]) for one in told]
    return [*files, *([folder / f"{GONE}.parquet"] if any(one["gone"] for one in told) else [])]


def _plain(names: Sequence[str]) -> pa.Schema:
    return pa.schema([catalog_table(PAIRS).schema.field(name).with_nullable(True) for name in names])


def numbered(crops: CropCodes, rows: pa.Table) -> np.ndarray:
    """(N,) int64, a number per query and gallery crop; -1 where either is not among ``crops``."""
    q, g = (crops.encode(rows[key]) for key in KEYS)
    return np.where((q < 0) | (g < 0), -1, q * len(crops.ids) + g)


def met(numbers: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) rows of ``numbers`` that are among ``wanted`` (sorted), and (M,) where there."""
    if not len(wanted):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at = np.searchsorted(wanted, numbers).clip(max=len(wanted) - 1)
    hit = np.flatnonzero((numbers >= 0) & (wanted[at] == numbers))
    return hit, at[hit]
