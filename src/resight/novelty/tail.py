"""The tail of the impostor maxima, for a finer p-value than "below 1 / (n + 1)" of scores above all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resight.novelty.calibration import shares

QUANTILE = 0.9
MIN_EXCESSES, MIN_INDIVIDUALS = 20, 50


def fit_tail(x: np.ndarray, individuals: Sequence[str]) -> tuple[float, ...]:
    """Generalised Pareto distribution of what exceeds the 90 % quantile (Pickands 1975), by maximum likelihood (scipy).

    Args:
        x: (N,) log scores of impostor maxima.
        individuals: (N,) the animal of each; every animal weighs the same in the share above the quantile.

    Returns:
        Shape, scale, threshold, share above it; empty with fewer than 20 excesses or 50 animals, too few
        to go beyond the empirical p-value.
    """
    values = np.asarray(x, np.float64)
    if len(set(individuals)) < MIN_INDIVIDUALS:
        return ()
    threshold = float(np.quantile(values, QUANTILE))
    above = values > threshold
    if above.sum() < MIN_EXCESSES:
        return ()
    from scipy.stats import genpareto  # its import takes a second, and few galleries are so large

    shape, _, scale = genpareto.fit(values[above] - threshold, floc=0)
    weight = shares(np.array(individuals, dtype=str))
    return float(shape), float(scale), threshold, float(weight[above].sum() / weight.sum())


def tail_probability(x: float, tail: Sequence[float]) -> float:
    """``share * P(excess >= x - threshold)``."""
    from scipy.special import inv_boxcox

    shape, scale, threshold, share = tail
    excess = (x - threshold) / scale
    if excess <= 0:
        return float(share)
    if 1 + shape * excess <= 0:  # behind its end
        return 0.0
    return float(share * inv_boxcox(-excess, -shape))  # as scipy's genpareto.sf, in a hundredth of its time
