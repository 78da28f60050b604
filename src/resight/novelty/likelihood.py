"""How many times more likely a score is for the same animal than for different ones, by three methods."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from resight.score import logistic

EULER_GAMMA = 0.5772156649015329
RIDGE = 0.16  # a normal prior with standard deviation 2.5: weak, as in Gelman et al., Ann. Appl. Stat. 2 (2008)
MIN_GUMBEL_SCALE = 1e-3


def log_score(score: np.ndarray | float, epsilon: float | None) -> np.ndarray:
    """``log(score + epsilon)``; a score of 0 (nothing matched) stays finite. None: the score is a logarithm already."""
    values = np.asarray(score, np.float64)
    return values if epsilon is None else np.log(values + epsilon)


def saturated(x: np.ndarray, scale: float) -> np.ndarray:
    """``scale tanh(x / scale)``: like ``x`` where that is small, and never more than ``scale``.

    A score twice as high as all that different animals have ever had says hardly more than one half as high. A line through the scores
    themselves is drawn by the highest of them, and is then too flat where it decides.
    """
    return x if math.isinf(scale) else np.asarray(scale * np.tanh(np.asarray(x) / scale))


def choose_epsilon(scores: np.ndarray) -> float:
    """The median positive score, so that it suits scores of any unit; 0.001 if nothing matched at all.

    Like the 1 in ``log(sum + 1)`` it suppresses differences among the lowest scores, which are noise.
    """
    positive = scores[scores > 0]
    return float(np.median(positive)) if positive.size else 1e-3


def fit_logistic(x: np.ndarray, genuine: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of the log likelihood ratio ``a + b x`` by weighted logistic regression.

    The slope per standard deviation of x carries a ridge penalty ``RIDGE b^2 / 2``, so that it stays finite for separated
    classes, and is never negative: a higher score is never evidence for different animals. The share of genuine
    rows in the training data is removed from the intercept, which leaves a ratio of densities that any prior can be added
    to (prior correction, King and Zeng 2001). Newton's method.

    Args:
        x: (N,) log scores.
        genuine: (N,) bool, both kinds occur.
        weight: (N,) positive.
    """
    centre = float(np.average(x, weights=weight))
    spread = math.sqrt(float(np.average((x - centre) ** 2, weights=weight)))
    odds = math.log(float(weight[genuine].sum() / weight[~genuine].sum()))
    if spread == 0:
        return 0.0, 0.0
    z = (x - centre) / spread
    prior = logistic.CoefficientPrior(np.zeros(1), np.array([RIDGE]), np.zeros(1, bool))
    a, (b,) = logistic.fit(z[:, None], genuine, weight, prior)
    if b <= 0:
        return 0.0, 0.0
    return float(a - odds - b * centre / spread), float(b / spread)


def mixed(hit: np.ndarray, missed: float) -> np.ndarray:
    """``log(missed + (1 - missed) exp(hit))``: with that probability a photo of the same animal scores what a different one does."""
    if missed <= 0:
        return hit
    return np.asarray(np.logaddexp(math.log(missed), math.log1p(-missed) + hit))


def fit_mixed(
    terms: np.ndarray, genuine: np.ndarray, weight: np.ndarray, missed: float, mean: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """Most probable coefficients of a hit's log ratio ``terms @ theta`` under a normal prior; see `mixed`.

    As in `fit_logistic` the share of genuine rows is taken out, and evidence that grows never counts against an animal.

    Args:
        terms: (N, F); the first column is 1.
        genuine: (N,) bool, both kinds occur.
        weight: (N,) positive.
        missed: Share of misses among genuine rows.
        mean, spread: (F,) of the prior.
    """
    from scipy import optimize  # a quarter of a second, and a night without anything new fits nothing

    odds = math.log(float(weight[genuine].sum() / weight[~genuine].sum()))

    def loss(theta: np.ndarray) -> float:
        eta = mixed(terms @ theta, missed) + odds
        away = (theta - mean) / spread
        return float(np.sum(weight * (np.logaddexp(0, eta) - genuine * eta)) + np.sum(away**2) / 2)

    # In units of the prior, in which all coefficients are of one size.
    bounds = [(None, None), *((-m / d, None) for m, d in zip(mean[1:], spread[1:], strict=True))]
    found = optimize.minimize(lambda z: loss(mean + spread * z), np.zeros(len(mean)), method="L-BFGS-B", bounds=bounds)
    return np.asarray(mean + spread * found.x)


def share_missed(hits: Sequence[np.ndarray], prior: float, worth: float) -> float:
    """Share of misses among animals that were met again: expectation maximisation under a beta prior, every animal counting the same.

    Args:
        hits: By animal, (E,) log ratio of a hit at the score of each of its encounters.
        prior: Share elsewhere, which counts as much as ``worth`` animals.
        worth: Of the prior.
    """
    missed = prior
    for _ in range(200):
        each = [float(np.mean(np.exp(math.log(missed) - mixed(hit, missed)))) for hit in hits]
        before, missed = missed, (worth * prior + sum(each)) / (worth + len(hits))
        if abs(missed - before) < 1e-9:
            break
    return missed


def fit_gumbel(x: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Location and scale of a Gumbel distribution (of maxima) by weighted moments.

    ``scale = sd * sqrt(6) / pi``, ``location = mean - 0.5772 * scale``.
    """
    mean = float(np.average(x, weights=weight))
    sd = math.sqrt(float(np.average((x - mean) ** 2, weights=weight)))
    scale = max(sd * math.sqrt(6) / math.pi, MIN_GUMBEL_SCALE)
    return mean - EULER_GAMMA * scale, scale


def gumbel_tail(x: np.ndarray, location: float, scale: float) -> np.ndarray:
    """``P(X >= x) = 1 - exp(-exp(-(x - location) / scale))``."""
    exponent = np.minimum(-(np.asarray(x) - location) / scale, 700.0)  # exp(709) is the largest that float64 holds
    return -np.expm1(-np.exp(exponent))


def evidence_bound(p: np.ndarray) -> np.ndarray:
    """Largest likelihood ratio that a p-value can stand for: ``1 / (-e p ln p)`` below 1/e, otherwise 1.

    Sellke, Bayarri and Berger, The American Statistician 55 (2001).
    """
    small = np.minimum(p, 1 / math.e)
    return np.asarray(1 / (-math.e * small * np.log(small)))
