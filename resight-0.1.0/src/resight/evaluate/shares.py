"""Exact intervals of shares whose rows come in animals: photos of one animal are not independent of each other.

``scipy.stats`` is imported where it is used: that takes a second, and no night measures anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
Interval = tuple[float | None, float | None]


def share_interval(
    values: np.ndarray, individuals: Sequence[str] | np.ndarray, weight: np.ndarray | None = None, level: float = LEVEL
) -> Interval:
    """Clopper-Pearson interval for as many independent rows as the rows are worth (Korn and Graubard, Survey Methodology 24, 1998).

    N rows of m animals are worth ``p (1 - p) / variance`` independent ones, where the variance of the share p is that between animals
    (``m / (m - 1) * sum over animals of (sum of w (v - p))^2 / (sum of w)^2``), times a correction for how badly few animals
    tell it; never more than the rows, and as many as the animals where all values are equal. So it always has a width.

    Args:
        values: (N,) between 0 and 1.
        individuals: (N,) animal of each row.
        weight: (N,) positive; 1 if not given.
        level: Of the interval.

    Returns:
        Lower and upper end; None with fewer than two animals.
    """
    m = len(np.unique(np.asarray(individuals, dtype=str)))
    if m < 2:
        return None, None
    w = np.ones(len(values)) if weight is None else np.asarray(weight, np.float64)
    p = float(np.dot(w, values) / w.sum())
    return _clopper_pearson(p, independent_rows(values, individuals, w, level), level)


def independent_rows(values: np.ndarray, individuals: Sequence[str] | np.ndarray, w: np.ndarray, level: float) -> float:
    """What the rows are worth; see `share_interval`. Of at least two animals."""
    from scipy.stats import t

    animals, group = np.unique(np.asarray(individuals, dtype=str), return_inverse=True)
    m, p = len(animals), float(np.dot(w, values) / w.sum())
    variance = m / (m - 1) * float(np.square(np.bincount(group, w * (values - p)) / w.sum()).sum())
    if values.min() == values.max():  # not by p, which a mean of weights rounds
        per_animal = np.bincount(group, w)
        return float(per_animal.sum() ** 2 / np.square(per_animal).sum())
    most, tail = float(w.sum() ** 2 / np.square(w).sum()), 0.5 + level / 2
    few = float((t.ppf(tail, max(len(values) - 1, 1)) / t.ppf(tail, m - 1)) ** 2)
    return min(p * (1 - p) / variance * few, most) if variance > 0 else most


def worse_than_rest(values: np.ndarray, individuals: Sequence[str], in_group: np.ndarray) -> float:
    """How often chance makes a group of rows as bad against the rest if it is no worse.

    Fisher's exact test, one-sided, on as many independent rows as group and rest are worth (rounded down), which all rows
    together say.

    Args:
        values: (N,) 0 or 1.
        individuals: (N,) animal of each row.
        in_group: (N,) bool.
    """
    from scipy.stats import fisher_exact

    if len(set(individuals)) < 2 or in_group.all() or not in_group.any():
        return 1.0
    share = independent_rows(values, individuals, np.ones(len(values)), LEVEL) / len(values)
    table = []
    for rows in (in_group, ~in_group):
        n = int(share * rows.sum())
        right = math.ceil(values[rows].mean() * n) if rows is in_group else math.floor(values[rows].mean() * n)
        table.append([right, n - right])
    return float(fisher_exact(table, alternative="less").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values that hold for all of them together (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = np.zeros(len(p_values)), 0.0
    for place, k in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[k]))
        adjusted[k] = largest
    return [float(p) for p in adjusted]


def _clopper_pearson(p: float, n: float, level: float) -> tuple[float, float]:
    """For a share of ``n`` rows; neither ``n`` nor ``p n`` need be whole."""
    from scipy.stats import beta

    tail, x = (1 - level) / 2, p * n
    low = 0.0 if x <= 0 else float(beta.ppf(tail, x, n - x + 1))
    high = 1.0 if x >= n or math.isclose(x, n) else float(beta.ppf(1 - tail, x + 1, n - x))
    return low, high
