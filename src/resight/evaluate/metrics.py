"""Metrics as weighted means and rank statistics; weights come from the bootstrap and are 1 otherwise.

Each is None where there is nothing to compute it from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def weighted_mean(values: np.ndarray, weight: np.ndarray) -> float | None:
    """``sum(w v) / sum(w)``."""
    total = weight.sum()
    return float(np.dot(values, weight) / total) if total > 0 else None


def hits(ranks: Sequence[int | None], k: int) -> np.ndarray:
    """(N,) 1.0 where the right animal is among the first ``k``; None (not comparable, not ranked) is a miss."""
    return np.array([rank is not None and rank <= k for rank in ranks], np.float64)


def cmc(ranks: Sequence[int | None], largest: int) -> np.ndarray:
    """(largest,) cumulative match characteristic: top-k accuracy for k = 1 ... ``largest``; ``ranks`` is not empty."""
    return np.array([hits(ranks, k).mean() for k in range(1, largest + 1)])


def average_precision(relevant: np.ndarray, n_missed: int = 0) -> float:
    """Mean over the relevant items of the precision at their place; 0 where there is none.

    Args:
        relevant: (N,) bool, best first.
        n_missed: Relevant items that never came into the list; each counts with precision 0.
    """
    places = np.flatnonzero(relevant) + 1
    n = len(places) + n_missed
    return float(np.sum(np.arange(1, len(places) + 1) / places) / n) if n else 0.0


def auroc(
    positive: np.ndarray,
    negative: np.ndarray,
    positive_weight: np.ndarray | None = None,
    negative_weight: np.ndarray | None = None,
) -> float | None:
    """Probability that a positive has a larger value than a negative, ties count half (Mann-Whitney U / (n m))."""
    wp = np.ones(len(positive)) if positive_weight is None else positive_weight
    wn = np.ones(len(negative)) if negative_weight is None else negative_weight
    total = wp.sum() * wn.sum()
    if not total > 0:
        return None
    order = np.argsort(negative, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(wn[order])])
    less = below[np.searchsorted(negative[order], positive, "left")]
    at_most = below[np.searchsorted(negative[order], positive, "right")]
    return float(np.dot(wp, (less + at_most) / 2) / total)


def balanced_accuracy(correct: np.ndarray, classes: np.ndarray, weight: np.ndarray) -> float | None:
    """Mean over the classes (individuals) of the share of their queries that is right.

    Over known animals this is BAKS, over unknown ones BAUS (AnimalCLEF 2025). A class drawn twice by the bootstrap
    counts twice.
    """
    _, group = np.unique(classes, return_inverse=True)
    size = np.bincount(group) if len(group) else np.zeros(0)
    share = np.bincount(group, correct) / size if len(group) else np.zeros(0)
    drawn = np.bincount(group, weight) / size if len(group) else np.zeros(0)
    return weighted_mean(share, drawn)


def brier(probability: np.ndarray, correct: np.ndarray, weight: np.ndarray) -> float | None:
    """Mean squared difference between probability and outcome (0 or 1)."""
    return weighted_mean((probability - correct) ** 2, weight)


def calibration_error(probability: np.ndarray, correct: np.ndarray, weight: np.ndarray, bins: int = 10) -> float | None:
    """Expected calibration error: over equal bins of (0, 1] the weighted mean of |share correct - mean probability|."""
    if not weight.sum() > 0:
        return None
    of = np.clip(np.ceil(probability * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(of, weight * (correct - probability), bins)
    return float(np.abs(gap).sum() / weight.sum())
