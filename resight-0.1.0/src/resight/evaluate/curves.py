"""The rows of the table ``accuracy_curves``: the points of every curve on the accuracy page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from resight.evaluate.accuracy import Context
from resight.evaluate.metrics import hits, hits_in_smaller_gallery, reliability, weighted_mean
from resight.evaluate.outcomes import CLOSED, ENCOUNTER, OPEN, PHOTO, WITHOUT_OWN
from resight.evaluate.shares import share_interval
from resight.evaluate.specs import OutcomeRows, Row, animals_of, rated_rows
from resight.evaluate.strata import DAY_BINS, LAST_DAYS, gallery_sizes, strata

LARGEST_RANK = 20
SCORE_BINS = 24
RELIABILITY_BINS = 10
Point = dict[str, Any]


def curve_rows(outcomes: pa.Table, c: Context) -> list[Point]:
    """The catalog's ``accuracy_curves`` without ``run_id``.

    ``cmc``: top-k accuracy by k. ``reliability``: share of right names by stated probability, of known animals
    (``known``) and in the stated mixture with new ones (``mixed``). ``scores``: share of the encounters by the square root
    of the score of their own animal (``genuine``), of the best other one (``impostor``), and of the best one where their
    own animal was left out of the gallery (``new``). ``days_between`` and ``gallery_size``: top-1 accuracy.
    """
    by_trial = OutcomeRows(outcomes)
    points: list[Point] = []
    for level in (PHOTO, ENCOUNTER):
        rows = by_trial.of(CLOSED, level, True)
        points += _cmc(rows, level, c) + _days(rows, level, c) + _sizes(rows, level, c)
    known = by_trial.of(CLOSED, ENCOUNTER, True)
    new = by_trial.of(WITHOUT_OWN, ENCOUNTER) or by_trial.of(OPEN, ENCOUNTER, False)
    return points + _reliability(known, new, c) + _scores(known, new)


def _cmc(rows: Sequence[Row], level: str, c: Context) -> list[Point]:
    most = min(LARGEST_RANK, max((r["n_gallery_individuals"] for r in rows), default=0))
    return [
        _share("cmc", level, k, float(k), hits([r["rank"] for r in rows], k), rows, c, x_low=float(k), x_high=float(k))
        for k in range(1, most + 1)
    ]


def _days(rows: Sequence[Row], level: str, c: Context) -> list[Point]:
    groups, points = strata(rows, "days_between"), []
    ends = [*(float(end) for end, _ in DAY_BINS), None]
    for k, name in enumerate([*(name for _, name in DAY_BINS), LAST_DAYS]):
        group = [rows[i] for i in groups.get(name, ())]
        if group:
            days, low = (
                float(np.median([r["days_between"] for r in group])),
                float(DAY_BINS[k - 1][0] + 1) if k else 0.0,
            )
            top1 = hits([r["rank"] for r in group], 1)
            points.append(_share("days_between", level, k, days, top1, group, c, x_low=low, x_high=ends[k]))
    return points


def _sizes(rows: Sequence[Row], level: str, c: Context) -> list[Point]:
    n = min((r["n_gallery_individuals"] for r in rows), default=0)
    sizes = [*gallery_sizes(n), n] if n else []
    ranks = [r["rank"] for r in rows]
    return [
        _share("gallery_size", level, k, float(size), hits_in_smaller_gallery(ranks, n, size), rows, c, x_low=float(size), x_high=float(size))
        for k, size in enumerate(sizes)
    ]  # fmt: skip


def _share(curve: str, series: str, point: int, x: float, values: np.ndarray, rows: Sequence[Row], c: Context, **ends: float | None) -> Point:  # fmt: skip
    low, high = share_interval(values, animals_of(rows))
    return _point(curve, series, point, x, weighted_mean(values, np.ones(len(rows))), len(rows), low, high, **ends)


def _point(curve: str, series: str, point: int, x: float, y: float | None, n: int, ci_low: float | None = None,
           ci_high: float | None = None, x_low: float | None = None, x_high: float | None = None) -> Point:  # fmt: skip
    return {"curve": curve, "series": series, "point": point, "x_low": x_low, "x_high": x_high, "x": x, "y": y, "n": n,
            "ci_low": ci_low, "ci_high": ci_high}  # fmt: skip


def _reliability(known: Sequence[Row], new: Sequence[Row], c: Context) -> list[Point]:
    rated = rated_rows(known, new, c.prior_new)
    kinds = {"known": rated["encounter"], "mixed": rated["mixed"]}
    return [point for name, (rows, mix) in kinds.items() for point in _reliability_of(name, rows, mix, c)]


def _reliability_of(name: str, rows: Sequence[Row], mix: np.ndarray, c: Context) -> list[Point]:
    if not rows:
        return []
    probability, correct = (np.array([r[k] for r in rows], np.float64) for k in ("probability", "correct"))
    bins = np.clip(np.ceil(probability * RELIABILITY_BINS).astype(int) - 1, 0, RELIABILITY_BINS - 1)
    table, points = reliability(probability, correct, mix, RELIABILITY_BINS), []
    for k, (mean, share, weight) in enumerate(table):
        if not weight > 0:
            continue
        inside = np.flatnonzero(bins == k).tolist()
        low, high = share_interval(correct[inside], animals_of([rows[i] for i in inside]), mix[inside])
        edges = k / RELIABILITY_BINS, (k + 1) / RELIABILITY_BINS
        points.append(_point("reliability", name, k, float(mean), float(share), len(inside), low, high, *edges))
    return points


def _scores(known: Sequence[Row], new: Sequence[Row]) -> list[Point]:
    """Histograms over equal bins of the square root of the score: scores are skewed, and counts spread with their root."""
    columns = {
        "genuine": [r["score_right"] for r in known],
        "impostor": [r["score_wrong"] for r in known],
        "new": [r["score_wrong"] for r in new],
    }
    values = {k: np.array([s for s in of if s is not None], np.float64) for k, of in columns.items()}
    everything = np.concatenate(list(values.values()))
    if not everything.size:
        return []
    root = _signed_root(everything)
    edges = np.linspace(min(root.min(), 0.0), max(root.max(), root.min() + 1e-9), SCORE_BINS + 1)
    return [point for name, of in values.items() for point in _histogram(name, of, edges)]


def _histogram(name: str, scores: np.ndarray, edges: np.ndarray) -> list[Point]:
    counts = np.histogram(_signed_root(scores), edges)[0]
    back = np.sign(edges) * edges**2
    total = max(len(scores), 1)
    return [
        _point("scores", name, k, float((back[k] + back[k + 1]) / 2), count / total, int(count), None, None, float(back[k]), float(back[k + 1]))
        for k, count in enumerate(counts)
    ]  # fmt: skip


def _signed_root(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def series(rows: Sequence[Mapping[str, Any]], curve: str, name: str) -> list[Mapping[str, Any]]:
    """The points of one line in their order."""
    return sorted((r for r in rows if r["curve"] == curve and r["series"] == name), key=lambda r: r["point"])
