"""Outcomes of all queries by a method's scores, and their figures: the same rule for all methods, no calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from resight.compare.base import MethodScores
from resight.evaluate.bootstrap import interval
from resight.evaluate.metrics import auroc
from resight.evaluate.outcomes import CLOSED, ENCOUNTER, PHOTO, PhotoFacts, TrialResult, outcome_rows
from resight.evaluate.specs import ALL, TOP_K, Spec, animals_of, level_specs
from resight.pairs.cohort import Cohort
from resight.rank.params import RankParams
from resight.rank.stage import rank_all
from resight.store.tables import empty_table

METRICS = (*(f"top{k}_photo" for k in TOP_K), *(f"top{k}_encounter" for k in TOP_K), "map_photo", "novelty_auroc")
Figure = tuple[float | None, float | None, float | None]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class MethodOutcomes:
    """Rows of `evaluate.outcomes.outcome_rows` of all queries whose animal is in the gallery, in the order of their ids."""

    photos: Sequence[Row]
    encounters: Sequence[Row]


def method_outcomes(scored: MethodScores, cohort: Cohort, photos: pa.Table, rule: RankParams) -> MethodOutcomes:
    """Rank the animals for every query photo and every query encounter, as stage ``rank`` does.

    Rows have one column more, ``score_without_own``: what the best animal would score if the query's own were not in the gallery.
    """
    ranked = rank_all(scored.scores, scored.info, rule, cohort.truth) if scored.ranked is None else scored.ranked
    result = TrialResult(
        CLOSED, cohort.labels, cohort.truth, ranked, empty_table("novelty"), scores=scored.scores, crops_info=scored.info
    )  # fmt: skip
    facts = PhotoFacts.of(photos)
    found = outcome_rows(result, facts)
    apart = found
    if scored.without_own is not None:
        apart = outcome_rows(replace(result, ranked=scored.without_own, scores=None), facts)
    best_other = {(row["level"], row["query_id"]): row["score_wrong"] for row in apart}
    rows = [row | {"score_without_own": best_other[row["level"], row["query_id"]]} for row in found if row["known"]]
    return MethodOutcomes(*([row for row in rows if row["level"] == level] for level in (PHOTO, ENCOUNTER)))


def figures(outcomes: MethodOutcomes) -> dict[str, Figure]:
    """`METRICS` with their 95 % intervals: value, lower and upper end; None where it cannot be computed.

    ``novelty_auroc`` judges every encounter twice, with its animal in the gallery (known) and without it (new), by its
    best score alone: the probability that a known one scores higher than a new one. An encounter that could not be
    compared counts as new.
    """
    specs = [
        *level_specs(outcomes.photos, PHOTO, ALL),
        *level_specs(outcomes.encounters, ENCOUNTER, ALL),
        _novelty(outcomes.encounters),
    ]
    return {s.metric: (s.value, *interval(s.statistic, s.individuals)) if s.individuals else (None,) * 3 for s in specs}


def _novelty(encounters: Sequence[Row]) -> Spec:
    columns = ("score_wrong", "score_right", "score_without_own")
    wrong, right, new = (_or_least(encounters, column) for column in columns)
    known = np.maximum(wrong, right)
    return Spec("novelty_auroc", ALL, lambda w: auroc(known, new, w, w), animals_of(encounters))


def _or_least(rows: Sequence[Row], column: str) -> np.ndarray:
    """(N,) scores; minus infinity where nothing could be compared."""
    return np.array([-math.inf if row[column] is None else row[column] for row in rows], np.float64)
