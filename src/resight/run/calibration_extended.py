"""Which calibration pairs earlier sets have already, and the writing of those that they have not; see `resight.run.calibration_parts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.match.cache import CropCodes
from resight.pairs.plan import PLANNED
from resight.run.calibration_parts import GONE, GONE_SCHEMA, KEYS, PAIRS, Part, met, numbered
from resight.score.distribution import VOTES
from resight.status import PairStatus
from resight.store.columns import digest_of_table
from resight.store.parts import write_part
from resight.store.tables import shaped, write_table

VIEWS = "views"
VIEWS_SCHEMA = pa.schema([("crop_id", pa.string()), ("viewpoint", pa.string())])
PLANNED_AS = (*KEYS, "query_photo_id", "gallery_photo_id", "status", "reason", *VOTES)
COMPARED = (*PLANNED_AS, "n_inliers")


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
    number = numbered(plan_of, rows)
    order = np.argsort(number)
    turned = _turned(views, planned.views)
    there, found, ends = np.zeros(rows.num_rows, bool), [], dict[str, int]()
    tried, voted = True, set[str]()
    for part in parts:
        stored = part.read(COMPARED)
        row, place = met(numbered(plan_of, stored), number[order])
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
    whole = shaped(PAIRS, pa.concat_tables([rows, *(_like(part, rows.schema) for part in merged)]))
    for name, table in ((GONE, _gone(others)), (VIEWS, views)):
        if table.num_rows:
            write_part(folder, name, table)
    told = [{"file": part.name, "rows": part.rows, "gone": len(part.gone)} for part in others]
    if whole.num_rows or not others:
        name = f"{PAIRS}-{digest_of_table(whole.drop_columns('confidence_histogram'))[:16]}"
        write_table(folder, PAIRS, whole, name)
        told.append({"file": f"{folder.name}/{name}.parquet", "rows": whole.num_rows, "gone": 0})
    return told


def _like(part: Part, schema: pa.Schema) -> pa.Table:
    """The rows of a part that count, in these columns."""
    return part.read(schema.names).cast(schema)


def _gone(parts: Sequence[Part]) -> pa.Table:
    names = [name for part in parts for name in [part.name] * len(part.gone)]
    rows = np.concatenate([np.zeros(0, np.int64), *(part.gone for part in parts)])
    return pa.table([pa.array(names, pa.string()), pa.array(rows, pa.int64())], schema=GONE_SCHEMA)


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
