"""Scores held against what the same two crops score with other animals (S-norm, as in speaker recognition).

Auckenthaler et al., Digital Signal Processing 10 (2000): a score is z-scored by the impostor cohort of either side, and the
two are averaged. Some crops, sharp ones with many keypoints, match everybody; their own cohort takes that out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from resight.score.null import CountNull

PSEUDO_PAIRS = 5.0
Sums = dict[tuple[str, str], np.ndarray]


def cohort_scores(
    scored: pa.Table, x: np.ndarray, labels: Mapping[str, str | None], null: CountNull | None
) -> np.ndarray:
    """(N,) mean of the two z-scores of ``x``; NaN without a null.

    The cohort of a query crop are its pairs with animals other than the candidate (and its own, where that is known); the
    cohort of a gallery crop are its calibration pairs with animals other than its own and the query's. Each cohort is
    drawn towards the pooled null by `PSEUDO_PAIRS` imagined pairs, so that a small one cannot give wild values.

    Args:
        scored: Scored rows of ``pairs``.
        x: (N,) their values of ``log(S + 1)``.
        labels: Individual by photo_id, as far as visible.
        null: Mean and spread of the pooled null.
    """
    if null is None:
        return np.full(len(x), np.nan)
    query, gallery = _side(scored, "query", labels), _side(scored, "gallery", labels)
    calibrate = [p == "calibrate" for p in scored["purpose"].to_pylist()]
    sums: Sums = {}
    for (q, own), (g, name), value, known in zip(query, gallery, x, calibrate, strict=True):
        if name and name != own:
            _add(sums, q, name, value)
        if known and own and own != name:
            _add(sums, g, own, value)
    total = _totals(sums)
    out = np.empty(len(x))
    for k, ((q, own), (g, name), value) in enumerate(zip(query, gallery, x, strict=True)):
        out[k] = (_z(value, total, sums, (q, name), null) + _z(value, total, sums, (g, own), null)) / 2
    return out


def _side(scored: pa.Table, side: str, labels: Mapping[str, str | None]) -> list[tuple[str, str]]:
    ids = zip(scored[f"{side}_crop_id"].to_pylist(), scored[f"{side}_photo_id"].to_pylist(), strict=True)
    return [(crop, labels.get(photo) or "") for crop, photo in ids]


def _add(sums: Sums, crop: str, other: str, value: float) -> None:
    entry = sums.setdefault((crop, other), np.zeros(3))
    entry += (1.0, value, value * value)


def _totals(sums: Sums) -> dict[str, np.ndarray]:
    total: dict[str, np.ndarray] = {}
    for (crop, _), entry in sums.items():
        total[crop] = total.get(crop, 0.0) + entry
    return total


def _z(value: float, total: dict[str, np.ndarray], sums: Sums, without: tuple[str, str], null: CountNull) -> float:
    n, first, second = total.get(without[0], np.zeros(3)) - sums.get(without, 0.0)
    n, first = n + PSEUDO_PAIRS, first + PSEUDO_PAIRS * null.mean
    second += PSEUDO_PAIRS * (null.mean**2 + null.spread**2)
    variance = second / n - (first / n) ** 2
    return float((value - first / n) / np.sqrt(max(variance, 1e-12)))
