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


def auroc_within(
    value: np.ndarray, positive: np.ndarray, group: np.ndarray, weight: np.ndarray | None = None
) -> float | None:
    """`auroc` over the pairs of one positive and one negative of the same group, all groups together.

    For values that come from different galleries or calibrations and have no common scale.

    Args:
        value: (N,) larger for positives.
        positive: (N,) bool.
        group: (N,) any labels.
        weight: (N,), 1 if not given.
    """
    w = np.ones(len(value)) if weight is None else weight
    won = pairs = 0.0
    for name in np.unique(group):
        yes, no = (group == name) & positive, (group == name) & ~positive
        share, n_pairs = auroc(value[yes], value[no], w[yes], w[no]), float(w[yes].sum() * w[no].sum())
        if share is not None:
            won, pairs = won + share * n_pairs, pairs + n_pairs
    return won / pairs if pairs > 0 else None


def balanced_accuracy(correct: np.ndarray, classes: np.ndarray, weight: np.ndarray) -> float | None:
    """Mean over the classes (individuals) of the share of their queries that is right.

    Over known animals this is BAKS, over unknown ones BAUS (AnimalCLEF 2025). A class drawn twice by the bootstrap
    counts twice.
    """
    if not len(classes):
        return None
    _, group = np.unique(classes, return_inverse=True)
    size = np.bincount(group)
    return weighted_mean(np.bincount(group, correct) / size, np.bincount(group, weight) / size)


def brier(probability: np.ndarray, correct: np.ndarray, weight: np.ndarray) -> float | None:
    """Mean squared difference between probability and outcome (0 or 1)."""
    return weighted_mean((probability - correct) ** 2, weight)


def calibration_error(probability: np.ndarray, correct: np.ndarray, weight: np.ndarray, bins: int = 10) -> float | None:
    """Expected calibration error: over equal bins of (0, 1] the weighted mean of |share correct - mean probability|."""
    if not weight.sum() > 0:
        return None
    of = _bin_of(probability, bins)
    gap = np.bincount(of, weight * (correct - probability), bins)
    return float(np.abs(gap).sum() / weight.sum())


def _bin_of(probability: np.ndarray, bins: int) -> np.ndarray:
    """Which of the equal bins of (0, 1] each probability lies in; 0 lies in the first."""
    return np.asarray(np.clip(np.ceil(probability * bins).astype(np.int64) - 1, 0, bins - 1))


def calibration_error_by_chance(
    probability: np.ndarray, weight: np.ndarray, bins: int = 10, draws: int = 2000, seed: int = 0
) -> float | None:
    """`calibration_error` that probabilities have on average if each of them is exactly right.

    Outcomes are few and come out as 0 or 1, so no bin has quite the share that was stated (Bröcker and Smith, Weather and
    Forecasting 22, 2007: consistency resampling). What is measured says something as far as it lies above this.
    """
    if not weight.sum() > 0:
        return None
    of = _bin_of(probability, bins)
    happened = np.random.default_rng(seed).random((draws, len(probability))) < probability
    gap = (weight * (happened - probability)) @ (of[:, None] == np.arange(bins))
    return float(np.abs(gap).sum(axis=1).mean() / weight.sum())


def reliability(probability: np.ndarray, correct: np.ndarray, weight: np.ndarray, bins: int = 10) -> np.ndarray:
    """(bins, 3) mean probability, share correct and weight of each of the equal bins of (0, 1]; nan where one is empty.

    The bins are those of `calibration_error`, which is the weighted mean of the distances between the first two.
    """
    of = _bin_of(probability, bins)
    total = np.bincount(of, weight, bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [np.bincount(of, weight * values, bins) / total for values in (probability, correct)]
    return np.stack([*means, total], axis=1)


def geometric_mean(known: float | None, new: float | None) -> float | None:
    """``sqrt(BAKS * BAUS)``, the figure of AnimalCLEF 2025: identifying everybody, or nobody, gets 0."""
    return None if known is None or new is None else float(np.sqrt(known * new))


def adjusted_rand(clusters: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float | None:
    """Adjusted Rand index (Hubert and Arabie 1985) over pairs of items, a pair counting the product of its weights.

    1 where the clusters are the truth, 0 on average where they are random. None where there are fewer than two
    items, or where truth and clusters both are a single cluster or both all apart, so that nothing could have gone wrong.

    Args:
        clusters: (N,) names.
        truth: (N,) names.
        weight: (N,) counts of the items; equal items drawn by the bootstrap make no pair with themselves.
    """
    a, b = (np.unique(names, return_inverse=True)[1] for names in (clusters, truth))
    if not len(a):
        return None
    together = _pairs(a * (b.max() + 1) + b, weight)
    same_cluster, same_truth, total = _pairs(a, weight), _pairs(b, weight), _pairs(np.zeros_like(a), weight)
    if total <= 0:
        return None
    expected = same_cluster * same_truth / total
    largest = (same_cluster + same_truth) / 2
    return float((together - expected) / (largest - expected)) if largest > expected else None


def _pairs(group: np.ndarray, weight: np.ndarray) -> float:
    """Sum over groups of the products of weights of two different items."""
    sums, squares = np.bincount(group, weight), np.bincount(group, weight**2)
    return float((sums**2 - squares).sum() / 2)


def abundance_error(clusters: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float | None:
    """``(clusters - animals) / animals``: how wrong a count of the animals by their clusters is; above 0 where it is too high.

    An animal that the bootstrap draws twice, with its clusters, counts twice on both sides; a cluster that holds several
    animals counts by the share of its items, so that all weights 1 give plain counts.
    """
    if not weight.sum() > 0:
        return None
    _, of = np.unique(clusters, return_inverse=True)
    _, who = np.unique(truth, return_inverse=True)
    n_clusters = float(np.sum(weight / np.bincount(of)[of]))
    n_animals = float(np.sum(weight / np.bincount(who)[who]))
    return (n_clusters - n_animals) / n_animals


def hits_in_smaller_gallery(ranks: Sequence[int | None], n_animals: int, size: int) -> np.ndarray:
    """(N,) probability that the right animal is first if only ``size`` animals, itself among them, are in the gallery.

    The mean over all such sub-galleries, not over some: of the ``n_animals - 1`` others, ``rank - 1`` beat it, and none
    of those may be among the ``size - 1`` that are drawn (hypergeometric): ``C(n - rank, size - 1) / C(n - 1, size - 1)``.
    """
    from scipy.special import gammaln

    def log_choose(n: float, k: float) -> float:
        return float(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))

    others = size - 1
    return np.array([
        0.0 if rank is None or n_animals - rank < others
        else np.exp(log_choose(n_animals - rank, others) - log_choose(n_animals - 1, others))
        for rank in ranks
    ], np.float64)  # fmt: skip
