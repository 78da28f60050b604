"""The rows behind the calibration pairs of a gallery: what earlier sets have written is referred to, and only what is new is written.

A set, ``store/calibration/<name>/``, has a part of its own (``pairs-<digest>.parquet``) with the rows that no set before it has, and
lists the parts of other sets that have the rest. Rows of those that do not count any more are named in ``gone.parquet``. A part has twice
the rows of all smaller ones together and at least half of them count, so that years of new names leave a handful of parts, and a row is
written again only when what lies beside it has grown to half its part. A part's name says what is in it: nothing is ever written over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.errors import BrokenCountError, DamagedError
from resight.match.cache import CropCodes
from resight.pairs.plan import PLANNED
from resight.rank.photos import codes
from resight.score.distribution import VOTES
from resight.status import PairStatus
from resight.store.columns import digest_of_table
from resight.store.parts import write_part
from resight.store.selective import opened, read_columns
from resight.store.tables import write_table

PAIRS, GONE, VIEWS = "pairs", "gone", "views"
GONE_SCHEMA = pa.schema([("part", pa.string()), ("row", pa.int64())])
VIEWS_SCHEMA = pa.schema([("crop_id", pa.string()), ("viewpoint", pa.string())])
KEYS = ("query_crop_id", "gallery_crop_id")
PLANNED_AS = (*KEYS, "query_photo_id", "gallery_photo_id", "status", "reason", *VOTES)
COMPARED = (*PLANNED_AS, "n_inliers")


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


@dataclass(frozen=True)
class Planned:
    """Calibration pairs as a run has planned them.

    Attributes:
        rows: `pairs.plan.PLAN` with the columns of votes; every pair of crops once.
        views: The side that each crop shows, where the rows of its pairs depend on it; no row where they do not.
        made_by: Names of matcher and vectors.
    """

    rows: pa.Table
    views: pa.Table
    made_by: tuple[str, str]


@dataclass(frozen=True)
class There:
    """What earlier sets have of planned pairs.

    Attributes:
        planned: (N,) bool, which rows of the plan are there as they would be now.
        parts: That have them; what else these have is gone.
        ends: How many are there by status.
        tried: A geometry was fitted to all that were matched.
        voted: Columns of votes that any has.
    """

    planned: np.ndarray
    parts: tuple[Part, ...] = ()
    ends: tuple[tuple[str, int], ...] = ()
    tried: bool = True
    voted: frozenset[str] = frozenset()

    @staticmethod
    def nothing(planned: Planned) -> There:
        """No set before has any."""
        return There(np.zeros(planned.rows.num_rows, bool))


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
    number = _numbers(crops, asked)
    order = np.argsort(number)
    places, tables = [np.zeros(0, np.int64)], [_plain(names).empty_table()]
    for part in parts:
        row, place = _met(_numbers(crops, part.read(KEYS)), number[order])
        places.append(order[place])
        tables.append(part.take(names, np.flatnonzero(part.counting)[row]))
    whole, place = pa.concat_tables(tables), np.concatenate(places)
    if not np.array_equal(np.sort(place), np.arange(asked.num_rows)):
        raise BrokenCountError(
            f"of {asked.num_rows} calibration pairs {len(place)} are in the store; run the same command again"
        )
    return whole.take(pa.array(np.argsort(place)))


def find(planned: Planned, parts: Sequence[Part], views: pa.Table) -> There:
    """Which rows of a plan are in these parts, and are what they would be if they were made now.

    A row follows from its two crops, how they were planned, their votes and, where they have vectors, from the sides that they show;
    matcher and vectors are those of the plan.

    Args:
        planned: The plan.
        parts: Of a set.
        views: The sides that were shown then, as in `Planned`.

    Raises:
        DamagedError, FileNotFoundError: As of `read_rows`.
    """
    rows, plan_of = planned.rows, CropCodes.of(*(planned.rows[key] for key in KEYS))
    number = _numbers(plan_of, rows)
    order = np.argsort(number)
    turned = _turned(views, planned.views)
    there, found, ends = np.zeros(rows.num_rows, bool), [], dict[str, int]()
    tried, voted = True, set[str]()
    for part in parts:
        stored = part.read(COMPARED)
        row, place = _met(_numbers(plan_of, stored), number[order])
        still = ~_any_of(stored, turned)[row]
        row, place = row[still], order[place[still]]
        same = _agree(rows.take(pa.array(place)), stored.take(pa.array(row)))
        row, place = row[same], place[same]
        there[place] = True
        kept, counting = stored.take(pa.array(row)), np.flatnonzero(part.counting)
        found.append(replace(part, gone=np.setdiff1d(np.arange(part.rows), counting[row], assume_unique=True)))
        for status, n in _counted(kept["status"]).items():
            ends[status] = ends.get(status, 0) + n
        scored = kept.filter(pc.equal(kept["status"], PairStatus.SCORED.value))
        tried &= not scored["n_inliers"].null_count
        voted |= {name for name in VOTES if kept[name].null_count < kept.num_rows}
    return There(there, tuple(part for part in found if part.n), tuple(sorted(ends.items())), tried, frozenset(voted))


def to_merge(parts: Sequence[Part], n_new: int) -> list[Part]:
    """Parts of which the rows are written again, together with ``n_new`` new ones: the small ones, and those of which little counts."""
    merged, together = [], n_new
    for part in sorted(parts, key=lambda part: part.n):
        if part.n < 2 * together or 2 * part.n < part.rows:
            merged.append(part)
            together += part.n
    return merged


def write_set(folder: Path, there: There, rows: pa.Table, views: pa.Table) -> list[dict[str, Any]]:
    """Write what a set has of its own.

    Args:
        folder: Of the set, which is there.
        there: What other sets have.
        rows: The others, in columns of the catalog.
        views: See `Planned`.

    Returns:
        The parts of the set: ``file`` within ``store/calibration``, its ``rows``, how many of them are ``gone``.
    """
    merged = to_merge(there.parts, rows.num_rows)
    others = [part for part in there.parts if part not in merged]
    whole = conformed(PAIRS, pa.concat_tables([rows, *(_like(part, rows.schema) for part in merged)]))
    for name, table in ((GONE, _gone(others)), (VIEWS, views)):
        if table.num_rows:
            write_part(folder, name, table)
    told = [{"file": part.name, "rows": part.rows, "gone": len(part.gone)} for part in others]
    if whole.num_rows or not others:
        name = f"{PAIRS}-{digest_of_table(whole.drop_columns('confidence_histogram'))[:16]}"
        write_table(folder, PAIRS, whole, name)
        told.append({"file": f"{folder.name}/{name}.parquet", "rows": whole.num_rows, "gone": 0})
    return told


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


def conformed(name: str, rows: pa.Table) -> pa.Table:
    """Rows in the columns and types of a table of the catalog and sorted by its key; values may be missing, as there is no run yet."""
    spec = catalog_table(name)
    columns = [
        rows[f.name].cast(f.type) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type)
        for f in spec.schema
    ]
    free = pa.schema([f.with_nullable(True) for f in spec.schema], metadata=spec.schema.metadata)
    return pa.table(columns, schema=free).sort_by([(key, "ascending") for key in spec.key])


def files_of(folder: Path, told: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Every file that the parts of a set need."""
    files = [folder.parent / str(one["file"]) for one in told]
    return [*files, *([folder / f"{GONE}.parquet"] if any(one["gone"] for one in told) else [])]


def _plain(names: Sequence[str]) -> pa.Schema:
    return pa.schema([catalog_table(PAIRS).schema.field(name).with_nullable(True) for name in names])


def _like(part: Part, schema: pa.Schema) -> pa.Table:
    """The rows of a part that count, in these columns."""
    return part.read(schema.names).cast(schema)


def _gone(parts: Sequence[Part]) -> pa.Table:
    names = [name for part in parts for name in [part.name] * len(part.gone)]
    rows = np.concatenate([np.zeros(0, np.int64), *(part.gone for part in parts)])
    return pa.table([pa.array(names, pa.string()), pa.array(rows, pa.int64())], schema=GONE_SCHEMA)


def _numbers(crops: CropCodes, rows: pa.Table) -> np.ndarray:
    """(N,) int64, a number per query and gallery crop; -1 where either is not among ``crops``."""
    q, g = (crops.encode(rows[key]) for key in KEYS)
    return np.where((q < 0) | (g < 0), -1, q * len(crops.ids) + g)


def _met(numbers: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) rows of ``numbers`` that are among ``wanted`` (sorted), and (M,) where there."""
    if not len(wanted):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at = np.searchsorted(wanted, numbers).clip(max=len(wanted) - 1)
    hit = np.flatnonzero((numbers >= 0) & (wanted[at] == numbers))
    return hit, at[hit]


def _turned(before: pa.Table, now: pa.Table) -> pa.Array:
    """Crops that show another side than before."""
    sides = [dict(zip(*(table[name].to_pylist() for name in VIEWS_SCHEMA.names), strict=True)) for table in (before, now)]  # fmt: skip
    return pa.array([crop for crop, side in sides[1].items() if sides[0].get(crop, "not there") != side], pa.string())


def _any_of(rows: pa.Table, crops: pa.Array) -> np.ndarray:
    """(N,) bool, which pairs have one of these crops."""
    if not len(crops):
        return np.zeros(rows.num_rows, bool)
    return np.asarray(pc.or_(*(pc.is_in(rows[key].cast(pa.string()), crops) for key in KEYS)))


def _agree(planned: pa.Table, stored: pa.Table) -> np.ndarray:
    """(N,) bool, whether a stored row is how the planned one beside it ends."""
    same = np.ones(planned.num_rows, bool)
    for name in PLANNED_AS:
        a, b = (table[name].combine_chunks() for table in (planned, stored))
        if name not in VOTES:
            a, b = a.cast(pa.string()), b.cast(pa.string())
        if name == "status":
            a = pc.if_else(pc.equal(a, PLANNED), PairStatus.SCORED.value, a)
        both_missing = pc.and_(pc.is_null(a), pc.is_null(b))
        same &= np.asarray(pc.or_(pc.fill_null(pc.equal(a, b), False), both_missing))
    return same


def _counted(status: pa.ChunkedArray) -> dict[str, int]:
    texts = status.cast(pa.string()).combine_chunks()
    return {row["values"]: row["counts"] for row in pc.value_counts(texts).to_pylist()}
