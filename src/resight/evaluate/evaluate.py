"""The rows of the ``accuracy`` table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from resight.evaluate.bootstrap import DRAWS, interval
from resight.evaluate.metrics import auroc, balanced_accuracy, brier, calibration_error, hits, weighted_mean
from resight.evaluate.outcomes import Measured, Query, Verdict, encounter_queries, photo_queries, verdicts
from resight.evaluate.protocol import same_day_share
from resight.status import Decision

__all__ = ["Measured", "accuracy_rows", "summary"]

SUMMARY_METRICS = ("top1_photo", "top3_photo", "top5_photo", "top1_encounter", "map_photo", "novelty_auroc")
TOP_K = (1, 3, 5)


@dataclass(frozen=True)
class _Row:
    """A metric before its interval: ``statistic`` takes one weight per query."""

    metric: str
    stratum: str
    statistic: Callable[[np.ndarray], float | None]
    individuals: Sequence[str]
    unit: str = "share"


def accuracy_rows(m: Measured, draws: int = DRAWS, seed: int = 0) -> list[dict[str, Any]]:
    """All metrics with 95 % intervals over individuals, the catalog's ``accuracy`` without ``run_id``.

    Per photo and encounter: ``top1_photo``, ``top3_photo``, ``top5_photo``, ``map_photo``, ``top1_encounter``, ...: over
    queries whose animal is in the gallery. One whose animal has no comparable gallery photo counts as wrong, and is
    counted in ``n_queries_without_comparable_gallery``. ``map_photo`` is the mean average precision of the retrieval of
    the animal's gallery photos that could be compared. Also by viewpoint and by days to the nearest gallery photo.

    Per encounter, each judged with its animal in the gallery (known) and again without it (new): ``novelty_auroc``;
    ``baks`` (known animals called by the right name) and ``baus`` (new ones called new), both averaged over individuals
    and with ``unsure`` as wrong; ``false_known_rate`` (new ones called by a name, what ``novelty.alpha`` bounds);
    ``ece_encounter`` and ``brier_encounter`` of the best candidate's probability over the known ones.
    """
    photos, encounters, judged = photo_queries(m), encounter_queries(m), verdicts(m)
    specs = [
        *_query_rows(photos, "photo", ("viewpoint", "days_between")),
        *_query_rows(encounters, "encounter", ("days_between",)),
        *_novelty_rows(judged),
        *_probability_rows(judged),
    ]
    rows = [_with_interval(spec, m.protocol, draws, seed) for spec in specs]
    return rows + _plain_rows(m, photos)


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The headline figures of `accuracy_rows`; None where one could not be computed."""
    overall = {r["metric"]: r for r in rows if r["stratum"] == "all"}
    found: dict[str, Any] = {name: overall[name]["value"] for name in SUMMARY_METRICS}
    return found | {
        "n_queries": overall["top1_photo"]["n"],
        "seconds_per_query": overall["seconds_per_query"]["value"],
    }


def _query_rows(queries: Sequence[Query], level: str, columns: Sequence[str]) -> list[_Row]:
    rows = _query_metrics(queries, level, "all")
    for column in columns:
        for value in sorted({getattr(q, column) for q in queries}):
            chosen = [q for q in queries if getattr(q, column) == value]
            rows += _query_metrics(chosen, level, f"{column}={value}")
    return rows


def _query_metrics(queries: Sequence[Query], level: str, stratum: str) -> list[_Row]:
    ranks, individuals = [q.rank for q in queries], [q.individual_id for q in queries]
    rows = [_mean(f"top{k}_{level}", stratum, hits(ranks, k), individuals) for k in TOP_K]
    if level == "photo":
        rows.append(_mean("map_photo", stratum, np.array([q.precision for q in queries], np.float64), individuals))
    return rows


def _novelty_rows(judged: Sequence[Verdict]) -> list[_Row]:
    known, new = [v for v in judged if v.known], [v for v in judged if not v.known]
    statistic = np.array([v.statistic for v in (*new, *known)], np.float64)
    n = len(new)
    right = [v.decision == Decision.KNOWN and v.found == v.individual_id for v in known]
    called_new = [v.decision == Decision.NEW for v in new]
    called_known = np.array([v.decision == Decision.KNOWN for v in new], np.float64)
    both = [v.individual_id for v in (*new, *known)]
    return [
        _Row("novelty_auroc", "all", lambda w: auroc(statistic[:n], statistic[n:], w[:n], w[n:]), both),
        _balanced("baks", right, [v.individual_id for v in known]),
        _balanced("baus", called_new, [v.individual_id for v in new]),
        _mean("false_known_rate", "all", called_known, [v.individual_id for v in new]),
    ]


def _probability_rows(judged: Sequence[Verdict]) -> list[_Row]:
    rated = [v for v in judged if v.known and v.probability is not None]
    probability = np.array([v.probability for v in rated], np.float64)
    correct = np.array([v.found == v.individual_id for v in rated], np.float64)
    individuals = [v.individual_id for v in rated]
    return [
        _Row("ece_encounter", "all", lambda w: calibration_error(probability, correct, w), individuals, "score"),
        _Row("brier_encounter", "all", lambda w: brier(probability, correct, w), individuals, "score"),
    ]


def _plain_rows(m: Measured, photos: Sequence[Query]) -> list[dict[str, Any]]:
    n = len(photos)
    labels = {**m.gallery, **m.truth}
    ids = m.photos["photo_id"].to_pylist()
    named = m.photos.select(["photo_id", "encounter_id", "taken_on"]).append_column(
        "individual_id", pa.array([labels.get(p) for p in ids], pa.string())
    )
    alone = sum(q.rank is None for q in photos)
    strangers = len(m.truth) - n
    return [
        _plain("seconds_per_query", m.seconds_per_query, n, "second", m.protocol),
        _plain("n_queries_without_comparable_gallery", float(alone), n, "count", m.protocol),
        _plain("n_queries_without_gallery_animal", float(strangers), len(m.truth), "count", m.protocol),
        _plain("n_gallery_individuals", float(len(set(m.gallery.values()))), n, "count", m.protocol),
        _plain("same_day_share", same_day_share(named, m.truth.keys(), m.gallery.keys()), n, "share", m.protocol),
    ]


def _mean(metric: str, stratum: str, values: np.ndarray, individuals: Sequence[str]) -> _Row:
    return _Row(metric, stratum, lambda w: weighted_mean(values, w), individuals)


def _balanced(metric: str, correct: Sequence[bool], individuals: Sequence[str]) -> _Row:
    right = np.array(correct, np.float64)
    group = np.unique(np.array(individuals, dtype=str), return_inverse=True)[1]
    return _Row(metric, "all", lambda w: balanced_accuracy(right, group, w), individuals)


def _with_interval(spec: _Row, protocol: str, draws: int, seed: int) -> dict[str, Any]:
    n = len(spec.individuals)
    value = spec.statistic(np.ones(n))
    low, high = interval(spec.statistic, np.array(spec.individuals, dtype=str), draws, seed) if n else (None, None)
    return _plain(spec.metric, value, n, spec.unit, protocol) | {
        "stratum": spec.stratum,
        "ci_low": low,
        "ci_high": high,
    }


def _plain(metric: str, value: float | None, n: int, unit: str, protocol: str) -> dict[str, Any]:
    return {
        "metric": metric,
        "stratum": "all",
        "value": value,
        "ci_low": None,
        "ci_high": None,
        "n": n,
        "unit": unit,
        "protocol": protocol,
    }
