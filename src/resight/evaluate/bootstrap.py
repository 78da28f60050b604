"""Intervals from resampling individuals: photos of one animal are not independent of each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

DRAWS = 1000
LEVEL = 0.95


def interval(
    statistic: Callable[[np.ndarray], float | None], individuals: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> tuple[float | None, float | None]:
    """95 % percentile interval (Efron and Tibshirani 1993, chapter 13).

    Args:
        statistic: Value for (N,) weights; None where a draw leaves nothing to compute it from (that draw is passed over).
        individuals: (N,) names; all rows of one are drawn together, with replacement.
        draws: Resamples.
        seed: Same seed, same interval, whatever order the rows come in.

    Returns:
        Lower and upper end; None where there are fewer than two individuals.
    """
    names, group = np.unique(individuals, return_inverse=True)
    if len(names) < 2:
        return None, None
    values = [statistic(times[group].astype(np.float64)) for times in _multiplicities(len(names), draws, seed)]
    found = np.array([v for v in values if v is not None])
    if not found.size:
        return None, None
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _multiplicities(n: int, draws: int, seed: int) -> np.ndarray:
    """(draws, n) how often each of n individuals is drawn; rows sum to n."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=draws)
