"""What a method's scores say about every query, and the figures that follow: one rule for all methods, no calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.compare.base import Scored
from resight.evaluate.bootstrap import interval
from resight.evaluate.metrics import auroc, average_precision, hits, weighted_mean
from resight.pairs.cohort import Cohort
from resight.rank.params import RankParams
from resight.rank.photos import photo_pairs
from resight.rank.stage import rank_all

TOP_K = (1, 3, 5)
METRICS = (
    *(f"top{k}_photo" for k in TOP_K),
    *(f"top{k}_encounter" for k in TOP_K),
    "map_photo",
    "novelty_auroc",
)
Figure = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Asked:
    """A query photo or encounter whose animal is in the gallery.

    Attributes:
        rank: Place of the right animal; None where it could not be compared.
        precision: Average precision over the gallery photos (photos only).
        best: Best score of any animal; minus infinity where nothing could be compared.
        best_other: Best score once its own animal is taken out of the gallery.
    """

    individual_id: str
    rank: int | None
    precision: float = 0.0
    best: float = -math.inf
    best_other: float = -math.inf


@dataclass(frozen=True)
class Outcomes:
    """All queries, in the order of their ids."""

    photos: list[Asked]
    encounters: list[Asked]


def outcomes(scored: Scored, cohort: Cohort, photos: pa.Table, rule: RankParams) -> Outcomes:
    """Rank the animals for every query photo and every query encounter, as stage ``rank`` does."""
    ranked = rank_all(scored.scores, scored.info, rule, cohort.truth)
    encounter = dict(zip(photos["photo_id"].to_pylist(), photos["encounter_id"].to_pylist(), strict=True))
    animals = set(cohort.labels.values())
    truth = {p: name for p, name in sorted(cohort.truth.items()) if name in animals}
    met = dict(sorted((encounter[p], name) for p, name in truth.items()))
    precision = _precisions(scored, cohort.truth)
    by_photo, by_encounter = (_asked(ranked, level, names) for level, names in (("photo", truth), ("encounter", met)))
    exact = [Asked(a.individual_id, a.rank, precision.get(p, 0.0)) for p, a in by_photo.items()]
    return Outcomes(exact, list(by_encounter.values()))


def figures(found: Outcomes) -> dict[str, Figure]:
    """`METRICS` with their 95 % intervals: value, lower and upper end; None where it cannot be computed.

    ``novelty_auroc`` judges every encounter twice, with its animal in the gallery (known) and without it (new), by its
    best score alone: the probability that a known one scores higher than a new one. One that could not be compared
    looks new.
    """
    photos, encounters = found.photos, found.encounters
    rows: dict[str, Figure] = {}
    for level, asked in (("photo", photos), ("encounter", encounters)):
        for k in TOP_K:
            rows[f"top{k}_{level}"] = _mean(hits([a.rank for a in asked], k), asked)
    rows["map_photo"] = _mean(np.array([a.precision for a in photos]), photos)
    return rows | {"novelty_auroc": _novelty(encounters)}


def _mean(values: np.ndarray, asked: Sequence[Asked]) -> Figure:
    if not len(asked):
        return None, None, None
    individuals = np.array([a.individual_id for a in asked])
    low, high = interval(lambda w: weighted_mean(values, w), individuals)
    return weighted_mean(values, np.ones(len(values))), low, high


def _novelty(asked: Sequence[Asked]) -> Figure:
    if not asked:
        return None, None, None
    known, new = np.array([a.best for a in asked]), np.array([a.best_other for a in asked])
    individuals = np.array([a.individual_id for a in asked])
    low, high = interval(lambda w: auroc(known, new, w, w), individuals)
    return auroc(known, new), low, high


def _asked(ranked: pa.Table, level: str, truth: Mapping[str, str]) -> dict[str, Asked]:
    """By query, in the order of ``truth`` (individual by query)."""
    chosen = ranked.filter(pc.equal(ranked["level"], level)).sort_by("rank")
    rows: dict[str, list[tuple[str, int, float]]] = {}
    for r in chosen.select(["query_id", "individual_id", "rank", "score"]).to_pylist():
        rows.setdefault(r["query_id"], []).append((r["individual_id"], r["rank"], r["score"]))
    return {q: _one(name, rows.get(q, [])) for q, name in truth.items()}


def _one(name: str, candidates: Sequence[tuple[str, int, float]]) -> Asked:
    place = next((rank for animal, rank, _ in candidates if animal == name), None)
    best = max((score for _, _, score in candidates), default=-math.inf)
    other = max((score for animal, _, score in candidates if animal != name), default=-math.inf)
    return Asked(name, place, best=best, best_other=other)


def _precisions(scored: Scored, truth: Mapping[str, str]) -> dict[str, float]:
    """By query photo: its gallery photos by score (ties: photo_id); those of the right animal count."""
    pairs = photo_pairs(scored.scores, scored.info).select(
        ["query_photo_id", "gallery_photo_id", "individual_id", "score"]
    )
    rows: dict[str, list[tuple[float, str, str]]] = {}
    for r in pairs.to_pylist():
        rows.setdefault(r["query_photo_id"], []).append((-r["score"], r["gallery_photo_id"], r["individual_id"]))
    return {
        q: average_precision(np.array([animal == truth.get(q) for _, _, animal in sorted(known)], bool))
        for q, known in rows.items()
    }
