"""What each metric is computed from: a statistic that takes one weight per row, and whose rows they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from resight.evaluate.metrics import (
    abundance_error,
    adjusted_rand,
    auroc_within,
    balanced_accuracy,
    brier,
    calibration_error,
    calibration_error_by_chance,
    geometric_mean,
    hits,
    hits_in_smaller_gallery,
    weighted_mean,
)
from resight.evaluate.outcomes import BACKGROUND, CLOSED, ENCOUNTER, OPEN, PHOTO, WITHOUT_OWN
from resight.evaluate.shares import holm, worse_than_rest
from resight.evaluate.strata import COLUMNS, gallery_sizes, strata
from resight.status import CALLED_NEW, NAMED, Decision

TOP_K = (1, 3, 5)
ALL = "all"
Row = Mapping[str, Any]
NO_QUERIES = "no query of this kind"
NO_SETS = "the ranking made no candidate sets"
NO_PROBABILITY = "no probabilities: too few animals to learn them from"
NO_NAME = "nobody was given a name"
NO_CONTROL = "not measured; --background-control measures it"
NO_SHORTLIST = "no shortlist was made: every gallery photo was compared"
NO_OPEN = "too few animals to leave some out"


@dataclass(frozen=True)
class Spec:
    """A metric before its interval.

    Attributes:
        statistic: Takes one weight per row; weights come from the bootstrap and are 1 otherwise.
        individuals: Animal of each row.
        missing_because: Why there is nothing to compute it from.
        shares: Value between 0 and 1, and weight, of each row, where the metric is their mean.
        p_worse: How often chance makes a group as bad as this one; see `shares.worse_than_rest`.
    """

    metric: str
    stratum: str
    statistic: Callable[[np.ndarray], float | None]
    individuals: Sequence[str]
    unit: str = "share"
    missing_because: str = ""
    shares: tuple[np.ndarray, np.ndarray] | None = None
    p_worse: float | None = None

    @property
    def value(self) -> float | None:
        """With all weights 1."""
        return self.statistic(np.ones(len(self.individuals)))


class OutcomeRows:
    """The table ``outcomes`` by trial and level, in order of round and query."""

    def __init__(self, table: pa.Table) -> None:
        self._rows: dict[tuple[str, str], list[Row]] = {}
        for row in sorted(table.to_pylist(), key=lambda r: (r["round"], r["query_id"])):
            self._rows.setdefault((row["trial"], row["level"]), []).append(row)

    def of(self, trial: str, level: str, known: bool | None = None) -> list[Row]:
        """Rows of a trial, only those of known (or of new) animals if ``known`` is given."""
        rows = self._rows.get((trial, level), [])
        return rows if known is None else [r for r in rows if r["known"] == known]


def all_specs(outcomes: OutcomeRows, prior_new: float) -> list[Spec]:
    """Every metric that is computed from outcomes; see `accuracy.accuracy_rows` for their meaning."""
    photos, encounters = outcomes.of(CLOSED, PHOTO, True), outcomes.of(CLOSED, ENCOUNTER, True)
    without = _without_own(outcomes)
    opened = outcomes.of(OPEN, ENCOUNTER, True), outcomes.of(OPEN, ENCOUNTER, False)
    return [
        *_by_level(photos, PHOTO, tuple(COLUMNS)),
        *_by_level(encounters, ENCOUNTER, tuple(COLUMNS)),
        *_gallery_size(photos, PHOTO),
        *_gallery_size(encounters, ENCOUNTER),
        _shortlist(photos),
        *novelty_specs(encounters, without),
        *novelty_specs(*opened, prefix="open_", because=NO_OPEN),
        _mean("open_top1_encounter", [r["correct"] for r in opened[0]], opened[0], NO_OPEN),
        *_probability(encounters, without, prior_new),
        *_sets(encounters, photos),
        *_clusters(opened[1]),
        *_background(outcomes),
    ]


def novelty_specs(known: Sequence[Row], new: Sequence[Row], prefix: str = "", because: str = NO_QUERIES) -> list[Spec]:
    """New against known: ``known`` were judged with their animal in the gallery, ``new`` without.

    Open rounds have galleries and calibrations of their own, so the order is judged within each.
    """
    both, n = [*new, *known], len(new)
    is_new = np.arange(len(both)) < n
    judged_in = np.array([r["round"] if r["trial"] == OPEN else 0 for r in both], np.int64)
    statistic = np.array([r["novelty"] if r["novelty"] is not None else np.inf for r in both], np.float64)
    rated = both if any(r["p_new"] is not None for r in both) else []
    right = [r["p_new"] is not None and (r["p_new"] >= 0.5) != r["known"] for r in rated]
    named = _balanced(f"{prefix}baks", [r["decision"] in NAMED and r["correct"] for r in known], known, because)  # fmt: skip
    called = _balanced(f"{prefix}baus", [r["decision"] in CALLED_NEW for r in new], new, because)
    m, given = len(known), [r for r in known if r["decision"] in NAMED]
    gm = Spec(f"{prefix}baks_baus_gm", ALL, lambda w: geometric_mean(named.statistic(w[:m]), called.statistic(w[m:])),
              animals_of([*known, *new]), missing_because=because)  # fmt: skip
    return [
        Spec(f"{prefix}novelty_auroc", ALL, lambda w: auroc_within(statistic, is_new, judged_in, w), animals_of(both), missing_because=because),
        _mean(f"{prefix}novelty_accuracy", right, rated, NO_PROBABILITY if both else because),
        named, called, gm,
        _mean(f"{prefix}false_known_rate", [r["decision"] == Decision.KNOWN for r in new], new, because),
        _mean(f"{prefix}false_name_rate", [r["decision"] in NAMED for r in new], new, because),
        _mean(f"{prefix}named", [r["decision"] in NAMED for r in known], known, because),
        _mean(f"{prefix}named_wrongly", [not r["correct"] for r in given], given, because if not known else NO_NAME),
    ]  # fmt: skip


def _by_level(rows: Sequence[Row], level: str, columns: Sequence[str]) -> list[Spec]:
    specs = level_specs(rows, level, ALL)
    groups = [(f"{c}={value}", chosen) for c in columns for value, chosen in strata(rows, c).items()]
    right, animals = hits([r["rank"] for r in rows], 1), animals_of(rows)
    worse = holm([worse_than_rest(right, animals, np.isin(np.arange(len(rows)), chosen)) for _, chosen in groups])
    for (name, chosen), p in zip(groups, worse, strict=True):
        of_group = level_specs([rows[k] for k in chosen], level, name)
        specs += [replace(spec, p_worse=p) if spec.metric.startswith("top1_") else spec for spec in of_group]
    return specs


def level_specs(rows: Sequence[Row], level: str, stratum: str) -> list[Spec]:
    """Top-k accuracy, and of photos the mean average precision, of queries whose animal is in the gallery."""
    ranks = [r["rank"] for r in rows]
    specs = [_mean(f"top{k}_{level}", hits(ranks, k), rows, stratum=stratum) for k in TOP_K]
    if level == PHOTO:
        specs.append(_mean("map_photo", [r["average_precision"] or 0.0 for r in rows], rows, stratum=stratum))
    return specs


def _gallery_size(rows: Sequence[Row], level: str) -> list[Spec]:
    n = min((r["n_gallery_individuals"] for r in rows), default=0)
    ranks = [r["rank"] for r in rows]
    return [
        _mean(f"top1_{level}", hits_in_smaller_gallery(ranks, n, size), rows, stratum=f"gallery_size={size}")
        for size in gallery_sizes(n)
    ]


def _shortlist(photos: Sequence[Row]) -> Spec:
    could = [r for r in photos if r["n_right_scored"] + r["n_right_cut"] > 0]
    if not any(r["n_right_cut"] for r in could):
        return Spec("shortlist_recall_photo", ALL, lambda w: None, [], missing_because=NO_SHORTLIST)
    return _mean("shortlist_recall_photo", [r["n_right_scored"] > 0 for r in could], could)


def _probability(known: Sequence[Row], new: Sequence[Row], prior_new: float) -> list[Spec]:
    rated = rated_rows(known, new, prior_new)
    specs = [s for name, (rows, mix) in rated.items() for s in _calibration(name, rows, mix)]
    return [*specs, _stated(*rated["mixed"])]


def _stated(rows: Sequence[Row], mix: np.ndarray) -> Spec:
    """Calibration error over everything that is stated: each candidate of each encounter, and that it is new."""
    chosen = [k for k, r in enumerate(rows) if r["probabilities"] and r["p_new"] is not None]
    judged, weight = [rows[k] for k in chosen], mix[chosen]
    stated = [[*r["probabilities"], r["p_new"]] for r in judged]  # a query's last one says that it is new
    sizes = np.array([len(of_query) for of_query in stated], np.int64)
    places = np.array([(r["rank"] or 0) - 1 if r["known"] else len(r["probabilities"]) for r in judged], np.int64)
    probability = np.array([p for of_query in stated for p in of_query], np.float64)
    query = np.repeat(np.arange(len(judged)), sizes)
    correct = (np.arange(len(query)) - (np.cumsum(sizes) - sizes)[query] == places[query]).astype(np.float64)

    def statistic(w: np.ndarray) -> float | None:
        return calibration_error(probability, correct, (w * weight)[query])

    return Spec("ece_stated", ALL, statistic, animals_of(judged), "score", NO_PROBABILITY)


def rated_rows(known: Sequence[Row], new: Sequence[Row], prior_new: float) -> dict[str, tuple[list[Row], np.ndarray]]:
    """Rows with a probability and their weights: of known animals alone, and of known and new ones mixed."""
    rated = [r for r in known if r["probability"] is not None]
    rated_new = [r for r in new if r["probability"] is not None]
    return {
        "encounter": (rated, np.ones(len(rated))),
        "mixed": ([*rated, *rated_new], mixture(len(rated), len(rated_new), prior_new)),
    }


def by_chance(outcomes: OutcomeRows, prior_new: float) -> dict[str, tuple[float | None, int, int]]:
    """Calibration errors that exact probabilities would show on these queries; with how many queries and animals."""
    rated = rated_rows(outcomes.of(CLOSED, ENCOUNTER, True), _without_own(outcomes), prior_new)
    return {
        f"ece_{name}_by_chance": (
            calibration_error_by_chance(np.array([r["probability"] for r in rows], np.float64), mix),
            len(rows),
            len(set(animals_of(rows))),
        )
        for name, (rows, mix) in rated.items()
    }


def _without_own(outcomes: OutcomeRows) -> list[Row]:
    return outcomes.of(WITHOUT_OWN, ENCOUNTER) + outcomes.of(CLOSED, ENCOUNTER, False)


def mixture(n_known: int, n_new: int, prior_new: float) -> np.ndarray:
    """Weights by which ``n_known`` and then ``n_new`` rows make up a survey with that share of new animals; mean 1."""
    if not n_known or not n_new:
        return np.ones(n_known + n_new)
    share = np.r_[np.full(n_known, (1 - prior_new) / n_known), np.full(n_new, prior_new / n_new)]
    return np.asarray(share * (n_known + n_new))


def _calibration(name: str, rows: Sequence[Row], mix: np.ndarray) -> list[Spec]:
    probability = np.array([r["probability"] for r in rows], np.float64)
    correct = np.array([r["correct"] for r in rows], np.float64)
    animals = animals_of(rows)
    return [
        Spec(f"ece_{name}", ALL, lambda w: calibration_error(probability, correct, w * mix), animals, "score", NO_PROBABILITY),
        Spec(f"brier_{name}", ALL, lambda w: brier(probability, correct, w * mix), animals, "score", NO_PROBABILITY),
    ]  # fmt: skip


def _sets(known: Sequence[Row], photos: Sequence[Row]) -> list[Spec]:
    """The coverage is promised to animals that could be compared, each of them counting the same; also where the shortlist left them out."""
    left_out = {r["encounter_id"] for r in photos if r["n_right_cut"]}
    made = any(r["in_candidate_set"] is not None for r in known)
    rows = known if made else []
    stated = [r for r in rows if r["candidate_set_coverage"] is not None]
    could = [r for r in stated if r["rank"] is not None or r["encounter_id"] in left_out]
    size = np.array([r["candidate_set_size"] or 0 for r in rows], np.float64)
    return [
        _balanced("candidate_set_coverage", [bool(r["in_candidate_set"]) for r in could], could, NO_SETS),
        Spec("candidate_set_size", ALL, lambda w: weighted_mean(size, w), animals_of(rows), "count", NO_SETS),
        _mean("candidate_set_stated", [r["candidate_set_coverage"] for r in could], could, NO_SETS),
    ]


def _clusters(new: Sequence[Row]) -> list[Spec]:
    """Encounters of left-out animals, clustered by the name that they were given; the name of a known animal counts as a cluster."""
    rounds = sorted({r["round"] for r in new})
    names = np.array([r["provisional_individual_id"] or f"known {r['individual_id']}" for r in new], dtype=str)
    truth, of = np.array(animals_of(new), dtype=str), np.array([r["round"] for r in new], np.int64)

    def mean(metric: Callable[..., float | None]) -> Callable[[np.ndarray], float | None]:
        def over_rounds(w: np.ndarray) -> float | None:
            values = [(metric(names[of == k], truth[of == k], w[of == k]), w[of == k].sum()) for k in rounds]
            computed = np.array([pair for pair in values if pair[0] is not None], np.float64).reshape(-1, 2)
            return weighted_mean(computed[:, 0], computed[:, 1])

        return over_rounds

    because = NO_OPEN if not new else "no two encounters could have been of one animal"
    return [
        Spec("cluster_ari", ALL, mean(adjusted_rand), list(truth), "score", because),
        Spec("abundance_error", ALL, mean(abundance_error), list(truth), "share", because),
    ]


def _background(outcomes: OutcomeRows) -> list[Spec]:
    specs = []
    for level in (ENCOUNTER, PHOTO):
        control = outcomes.of(BACKGROUND, level, True)
        queries = {r["query_id"] for r in control}
        same = [r for r in outcomes.of(CLOSED, level, True) if r["query_id"] in queries]
        specs += [
            _mean(f"background_top1_{level}", [r["correct"] for r in control], control, NO_CONTROL),
            _mean(f"background_animal_top1_{level}", [r["correct"] for r in same], same, NO_CONTROL),
        ]
    return specs


def _mean(metric: str, values: Sequence[Any] | np.ndarray, rows: Sequence[Row], because: str = NO_QUERIES, stratum: str = ALL) -> Spec:  # fmt: skip
    numbers = np.asarray(values, np.float64)
    shares = numbers, np.ones(len(numbers))
    return Spec(metric, stratum, lambda w: weighted_mean(numbers, w), animals_of(rows), "share", because, shares)


def _balanced(metric: str, correct: Sequence[bool], rows: Sequence[Row], because: str) -> Spec:
    right, animals = np.array(correct, np.float64), animals_of(rows)
    group = np.unique(np.array(animals, dtype=str), return_inverse=True)[1]
    shares = right, 1.0 / np.bincount(group)[group] if len(group) else right
    return Spec(metric, ALL, lambda w: balanced_accuracy(right, group, w), animals, "share", because, shares)


def animals_of(rows: Sequence[Row]) -> list[str]:
    """The animal of each row."""
    return [r["true_individual_id"] for r in rows]
