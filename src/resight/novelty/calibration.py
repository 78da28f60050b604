"""Gallery encounters stand in for unknown animals: their scores without, and for, their own animal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.rank.params import RankParams
from resight.rank.stage import rank_all

COMPARISON_SCHEMA = pa.schema(
    [
        ("encounter_id", pa.string()),
        ("individual_id", pa.string()),
        ("candidate_id", pa.string()),
        ("score", pa.float64()),
        ("genuine", pa.bool_()),
    ]
)
MAXIMA_SCHEMA = pa.schema(
    [
        ("encounter_id", pa.string()),
        ("individual_id", pa.string()),
        ("impostor_maximum", pa.float64()),
        ("genuine_score", pa.float64()),
        ("n_impostors", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Calibration:
    """Scores of the calibration pairs.

    Attributes:
        comparisons: `COMPARISON_SCHEMA`, a row per gallery encounter and animal that it was compared with; ``genuine``
            where that is its own animal, seen in another encounter.
        maxima: `MAXIMA_SCHEMA`, a row per gallery encounter; see `impostor_maxima`.
        met_again: Individuals with at least two gallery encounters: each of these should be identified.
    """

    comparisons: pa.Table
    maxima: pa.Table
    met_again: frozenset[str] = frozenset()


def calibrate(scores: pa.Table, crops_info: pa.Table, params: RankParams) -> Calibration:
    """Rank every calibration encounter as if it were a query, by the same rule.

    Args:
        scores: The ``scores`` table; only rows with purpose ``calibrate`` count. Pairs within one encounter are never
            planned.
        crops_info: See `rank.photo_pairs`; here both crops of a pair belong to a known animal.
        params: The rule by which photos vote.
    """
    ranked = rank_all(scores, crops_info, params, purpose="calibrate")
    ranked = ranked.filter(pc.equal(ranked["level"], "encounter"))
    crops = crops_info.select(["encounter_id", "individual_id"]).to_pylist()
    meetings = {(crop["encounter_id"], crop["individual_id"]) for crop in crops if crop["individual_id"]}
    owner_of = dict(sorted(meetings, reverse=True))  # of several animals in an encounter, the alphabetically first
    owner = [owner_of.get(e) for e in ranked["encounter_id"].to_pylist()]
    rows = pa.table(
        [ranked["encounter_id"], pa.array(owner, pa.string()), ranked["individual_id"], ranked["score"]],
        names=COMPARISON_SCHEMA.names[:4],
    )
    rows = rows.append_column("genuine", pc.equal(rows["individual_id"], rows["candidate_id"])).cast(COMPARISON_SCHEMA)
    met = Counter(individual for _, individual in meetings)
    return Calibration(rows, impostor_maxima(rows), frozenset(name for name, count in met.items() if count > 1))


def impostor_maxima(comparisons: pa.Table) -> pa.Table:
    """Per encounter the best score after its own animal has been deleted, and the score for its own animal.

    Returns:
        `MAXIMA_SCHEMA` sorted by encounter. ``impostor_maximum`` is missing where there was no other animal to compare
        with, ``genuine_score`` where the animal was not met in another encounter that could be compared.
    """
    maxima: dict[str, dict[str, Any]] = {}
    empty = {"impostor_maximum": None, "genuine_score": None, "n_impostors": 0}
    for row in comparisons.to_pylist():
        encounter = {name: row[name] for name in ("encounter_id", "individual_id")}
        maximum = maxima.setdefault(row["encounter_id"], encounter | empty)
        kind = "genuine_score" if row["genuine"] else "impostor_maximum"
        maximum[kind] = row["score"] if maximum[kind] is None else max(maximum[kind], row["score"])
        maximum["n_impostors"] += not row["genuine"]
    return pa.Table.from_pylist([maxima[e] for e in sorted(maxima)], schema=MAXIMA_SCHEMA)


def shares(individuals: np.ndarray) -> np.ndarray:
    """(N,) weight of each row so that the rows of every individual sum to 1."""
    _, group, sizes = np.unique(individuals, return_inverse=True, return_counts=True)
    return 1.0 / sizes[group]
