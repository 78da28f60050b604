"""Gallery encounters stand in for unknown animals: their scores without, and for, their own animal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.novelty.yardstick import EMPTY, Yardstick
from resight.rank.levels import by_photos, photo_places
from resight.rank.params import RankParams
from resight.rank.photos import codes, starts
from resight.rank.stage import candidate_scores, moment_pairs
from resight.status import PairStatus
from resight.store.columns import mapped

MONTHS = 31
GAPS = (1, MONTHS, 366)  # fewest days between two meetings: days, months, years

_OWNER = [("encounter_id", pa.string()), ("individual_id", pa.string())]
COMPARISON_SCHEMA = pa.schema(
    [
        *_OWNER,
        ("candidate_id", pa.string()),
        ("score", pa.float64()),
        ("n_pairs", pa.int64()),
        ("genuine", pa.bool_()),
    ]
)
MAXIMA_SCHEMA = pa.schema(
    [*_OWNER, ("impostor_maximum", pa.float64()), ("genuine_score", pa.float64()), ("n_impostors", pa.int64())]
)


@dataclass(frozen=True)
class Calibration:
    """Scores of the calibration pairs.

    Attributes:
        comparisons: `COMPARISON_SCHEMA`, a row per gallery encounter and animal that it was compared with, by ``n_pairs`` pairs of
            photos; ``genuine`` where that is its own animal, met on another day.
        maxima: `MAXIMA_SCHEMA`, a row per gallery encounter; see `impostor_maxima`.
        levels: The impostor maximum of each encounter from its first few photos.
        genuine: By fewest days between, the score of each encounter for its own animal from its first few photos; minus infinity
            where the shortlist or the choice of photos left its own animal out.
    """

    comparisons: pa.Table
    maxima: pa.Table
    levels: Yardstick = EMPTY
    genuine: Mapping[int, Yardstick] = field(default_factory=dict)


def calibrate(scores: pa.Table, crops_info: pa.Table, params: RankParams, pairs: pa.Table | None = None) -> Calibration:
    """Rank every calibration encounter as if it were a query, by the same rule.

    Args:
        scores: The ``scores`` table; only rows with purpose ``calibrate`` count. Pairs within one encounter, and of one animal on
            one day, are never planned.
        crops_info: See `rank.photo_pairs`; here both crops of a pair belong to a known animal. Without ``taken_on`` nobody was
            met again.
        params: The rule by which photos vote.
        pairs: The ``pairs`` table, which says what the shortlist left out; without it nothing was.
    """
    voting = moment_pairs(scores, crops_info, params, "calibrate")
    ranked = candidate_scores(voting, "query_encounter_id", params.rule)
    encounters = ranked["query_encounter_id"].to_pylist()
    owner_of = owners(crops_info)
    owner = pa.array([owner_of.get(e) for e in encounters], pa.string())
    columns = [ranked["query_encounter_id"], owner, *(ranked[name] for name in ("individual_id", "score", "n_pairs"))]
    rows = pa.table(columns, names=COMPARISON_SCHEMA.names[:5]).cast(pa.schema(list(COMPARISON_SCHEMA)[:5]))
    rows = rows.append_column("genuine", pc.equal(rows["individual_id"], rows["candidate_id"])).cast(COMPARISON_SCHEMA)
    levels = by_photos(voting, photo_places(crops_info), params.rule)
    return Calibration(
        rows,
        impostor_maxima(rows),
        _impostors(levels, owner_of),
        met_again(voting, levels, crops_info, params.rule, pairs),
    )


def owners(crops_info: pa.Table) -> dict[str, str]:
    """The animal of each encounter; of several animals in an encounter, the alphabetically first."""
    crops = crops_info.select(["encounter_id", "individual_id"]).to_pylist()
    meetings = {(crop["encounter_id"], crop["individual_id"]) for crop in crops if crop["individual_id"]}
    return dict(sorted(meetings, reverse=True))


def _impostors(levels: pa.Table, owner_of: Mapping[str, str]) -> Yardstick:
    """The best score of each encounter after its own animal has been deleted, for each number of photos."""
    owner = mapped(levels["encounter_id"], owner_of, pa.string())
    other = pc.fill_null(pc.not_equal(owner, levels["individual_id"]), False)  # missing where nobody owns the encounter
    rows = levels.filter(other)
    encounter, n = codes(rows["encounter_id"]), rows["n_photos"].to_numpy()
    order = np.lexsort((n, encounter))
    first = starts(encounter[order], n[order])
    best = np.maximum.reduceat(rows["score"].to_numpy()[order], first) if len(first) else np.zeros(0)
    shown = rows.take(pa.array(order[first])).select(["encounter_id", "n_photos"]).to_pydict()
    return Yardstick(
        tuple((e, owner_of[e], k, score) for e, k, score in zip(*shown.values(), best.tolist(), strict=True))
    )


def met_again(
    voting: pa.Table, levels: pa.Table, crops_info: pa.Table, rule: str, pairs: pa.Table | None
) -> dict[int, Yardstick]:
    """The score of each encounter for its own animal, by the fewest days between the two (`GAPS`).

    Args:
        voting: From `rank.stage.moment_pairs`, of purpose ``calibrate``.
        levels: All scores of the encounters, by number of photos.
        crops_info, pairs: As for `calibrate`.
        rule: The rule by which photos vote.
    """
    if "taken_on" not in crops_info.column_names:
        return {}
    owner_of, levels_of, place = owners(crops_info), _levels(levels), photo_places(crops_info)
    days = days_between(voting, crops_info)
    could = _could_be_compared(pairs if pairs is not None else voting, crops_info)
    yardsticks = {}
    for gap in GAPS:
        own = by_photos(voting, place, rule, keep=days >= gap)
        score = dict(zip(zip(*(own[c].to_pylist() for c in ("encounter_id", "n_photos")), strict=True), own["score"].to_pylist(), strict=True))  # fmt: skip
        rows = [
            (e, owner_of[e], n, score.get((e, n), -math.inf))
            for e, most in sorted(could.items())
            if most >= gap and e in owner_of
            for n in levels_of.get(e, (1,))
        ]
        yardsticks[gap] = Yardstick(tuple(rows))
    return yardsticks


def days_between(pairs: pa.Table, crops_info: pa.Table) -> np.ndarray:
    """(N,) days between the photos of pairs of one animal; -1 for pairs of two animals, and where a day is not known."""
    ids = crops_info["photo_id"].combine_chunks()
    animals = crops_info["individual_id"].combine_chunks().cast(pa.string()).dictionary_encode().indices
    facts = pa.table({"individual_id": animals, "taken_on": crops_info["taken_on"]})
    sides = [facts.take(pc.index_in(pairs[f"{side}_photo_id"].combine_chunks(), ids)) for side in ("query", "gallery")]
    day, other = (side["taken_on"].cast(pa.date32()).cast(pa.int32()) for side in sides)
    same = pc.equal(sides[0]["individual_id"], sides[1]["individual_id"])
    days = pc.abs(pc.subtract(day, other))
    return np.asarray(pc.if_else(pc.fill_null(same, False), pc.fill_null(days, -1), -1)).astype(np.int64)


def _could_be_compared(pairs: pa.Table, crops_info: pa.Table) -> dict[str, int]:
    """By encounter, the most days to a photo of its own animal that it was compared with, or would have been but for the shortlist."""
    if "status" in pairs.column_names:
        could = pc.is_in(pairs["status"], pa.array([PairStatus.SCORED.value, PairStatus.NOT_SHORTLISTED.value]))
        pairs = pairs.filter(pc.and_(could, pc.equal(pairs["purpose"], "calibrate")))
    days = days_between(pairs, crops_info)
    encounter_of = dict(zip(crops_info["photo_id"].to_pylist(), crops_info["encounter_id"].to_pylist(), strict=True))
    again = days > 0
    photos = pairs["query_photo_id"].filter(pa.array(again)).to_pylist()
    most: dict[str, int] = {}
    for photo, gap in zip(photos, days[again].tolist(), strict=True):
        most[encounter_of[photo]] = max(gap, most.get(encounter_of[photo], 0))
    return most


def _levels(levels: pa.Table) -> dict[str, tuple[int, ...]]:
    numbers: dict[str, list[int]] = {}
    once = levels.group_by(["encounter_id", "n_photos"]).aggregate([]).to_pydict()
    for encounter, n in sorted(zip(once["encounter_id"], once["n_photos"], strict=True)):
        numbers.setdefault(encounter, []).append(n)
    return {encounter: tuple(of) for encounter, of in numbers.items()}


def impostor_maxima(comparisons: pa.Table) -> pa.Table:
    """Per encounter the best score after its own animal has been deleted, and the score for its own animal.

    Returns:
        `MAXIMA_SCHEMA` sorted by encounter. ``impostor_maximum`` is missing where there was no other animal to compare
        with, ``genuine_score`` where the animal was not met in another encounter that could be compared.
    """
    if not comparisons.num_rows:
        return MAXIMA_SCHEMA.empty_table()
    rows = comparisons.take(pa.array(np.argsort(codes(comparisons["encounter_id"]), kind="stable")))
    first, score = starts(codes(rows["encounter_id"])), rows["score"].to_numpy()
    genuine = np.asarray(rows["genuine"]).astype(bool)
    best = [np.maximum.reduceat(np.where(kind, score, -np.inf), first) for kind in (~genuine, genuine)]
    n = [np.add.reduceat(kind.astype(np.int64), first) for kind in (~genuine, genuine)]
    columns = [pa.array(value, pa.float64(), mask=count == 0) for value, count in zip(best, n, strict=True)]
    shown = rows.take(pa.array(first))
    return pa.table([shown["encounter_id"], shown["individual_id"], *columns, pa.array(n[0])], schema=MAXIMA_SCHEMA)


def shares(individuals: np.ndarray) -> np.ndarray:
    """(N,) weight of each row so that the rows of every individual sum to 1."""
    _, group, sizes = np.unique(individuals, return_inverse=True, return_counts=True)
    return 1.0 / sizes[group]
