"""Intervals from resampling individuals: photos of one animal are not independent of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

DRAWS = 1000
LEVEL = 0.95
Statistic = Callable[[np.ndarray], float | None]
Interval = tuple[float | None, float | None]


def interval(
    statistic: Statistic, individuals: np.ndarray | Sequence[str], draws: int = DRAWS, seed: int = 0
) -> Interval:
    """95 % percentile interval (Efron and Tibshirani 1993, chapter 13).

    Args:
        statistic: Value for (N,) weights; None where a draw leaves nothing to compute it from (that draw is skipped).
        individuals: (N,) names; all rows of an individual are drawn together, with replacement.
        draws: Resamples.
        seed: Same seed, same interval, whatever order the rows come in.

    Returns:
        Lower and upper end; None where there are fewer than two individuals.
    """
    names, group = np.unique(np.asarray(individuals, dtype=str), return_inverse=True)
    if len(names) < 2:
        return None, None
    return _ends([statistic(times[group].astype(np.float64)) for times in _multiplicities(len(names), draws, seed)])


def difference_interval(
    old: tuple[Statistic, Sequence[str]], new: tuple[Statistic, Sequence[str]], draws: int = DRAWS, seed: int = 0
) -> Interval:
    """95 % percentile interval of new minus old, both computed from the same draw of individuals.

    Args:
        old: Statistic and the individual of each of its rows.
        new: The same; it may have other rows.
        draws: Resamples.
        seed: As in `interval`.
    """
    groups = [np.asarray(individuals, dtype=str) for _, individuals in (old, new)]
    names = np.unique(np.concatenate(groups))
    if len(names) < 2:
        return None, None
    of_old, of_new = (np.searchsorted(names, group) for group in groups)
    values = []
    for times in _multiplicities(len(names), draws, seed):
        weight = times.astype(np.float64)
        before, after = old[0](weight[of_old]), new[0](weight[of_new])
        values.append(None if before is None or after is None else after - before)
    return _ends(values)


def _ends(values: Sequence[float | None]) -> Interval:
    computed = np.array([v for v in values if v is not None])
    if not computed.size:
        return None, None
    low, high = np.quantile(computed, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _multiplicities(n: int, draws: int, seed: int) -> np.ndarray:
    """(draws, n) how often each of n individuals is drawn; rows sum to n."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=draws)
