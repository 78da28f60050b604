"""Weighted logistic regression with a normal prior on its coefficients, some of which may not be negative."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

MAX_STEPS, MAX_HALVINGS = 100, 30
CONVERGED = 1e-10


@dataclass(frozen=True)
class CoefficientPrior:
    """A normal distribution for the coefficients.

    Attributes:
        mean: (F,) what the coefficients are shrunk towards.
        precision: (F,) how strongly, in units of rows of weight 1.
        monotone: (F,) bool, coefficients that may not be negative.
    """

    mean: np.ndarray
    precision: np.ndarray
    monotone: np.ndarray


def fit(x: np.ndarray, genuine: np.ndarray, weight: np.ndarray, prior: CoefficientPrior) -> tuple[float, np.ndarray]:
    """Most probable intercept and coefficients: ``sum w log p(y | x) - sum precision (beta - mean)^2 / 2`` maximised.

    The intercept is free. Evidence that can only speak for the same animal has a coefficient of at least 0. The problem is
    convex; Newton's method, projected where a coefficient is held at 0 (Bertsekas, SIAM J. Control and Optimization 20, 1982).

    Args:
        x: (N, F) standardised features.
        genuine: (N,) bool, both kinds occur.
        weight: (N,) positive.
        prior: Of the coefficients.
    """
    design = np.ones((len(x), x.shape[1] + 1))
    design[:, 1:] = x
    centre, stiff = np.append(0.0, prior.mean), np.append(0.0, prior.precision)
    bounded = np.append(False, prior.monotone)
    theta = np.zeros(len(centre))
    theta[0] = math.log(float(weight[genuine].sum() / weight[~genuine].sum()))
    y, loss = genuine.astype(np.float64), math.inf
    for _ in range(MAX_STEPS):
        with np.errstate(over="ignore"):
            p = 1 / (1 + np.exp(-design @ theta))
        gradient = design.T @ (weight * (p - y)) + stiff * (theta - centre)
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag(stiff)
        step = _newton_step(gradient, hessian, bounded & (theta <= 0))
        for halving in range(MAX_HALVINGS + 1):
            moved = theta - step / 2**halving
            moved = np.where(bounded, np.maximum(moved, 0.0), moved)
            moved_loss = _loss(design @ moved, y, weight, moved - centre, stiff)
            if moved_loss <= loss:
                break
        theta, loss = moved, moved_loss
        if np.abs(step).max() < CONVERGED:
            break
    return float(theta[0]), theta[1:]


def _loss(eta: np.ndarray, y: np.ndarray, weight: np.ndarray, away: np.ndarray, stiff: np.ndarray) -> float:
    # Squares of scalars: those of an array may differ in the last digit, and a halving may hang on it.
    penalty = sum(s * a**2 / 2 for s, a in zip(stiff, away, strict=True))
    return float(np.sum(weight * (np.logaddexp(0, eta) - y * eta)) + penalty)


def _newton_step(gradient: np.ndarray, hessian: np.ndarray, at_bound: np.ndarray) -> np.ndarray:
    """What to subtract; 0 for coefficients at their bound that the gradient or the step would push below it."""
    free = ~(at_bound & (gradient > 0))
    step = np.zeros(len(gradient))
    step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
    return np.where(at_bound & (step > 0), 0.0, step)


def log_loss(log_odds: np.ndarray, genuine: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean of ``-log p`` of what happened."""
    loss = np.logaddexp(0, log_odds) - genuine * log_odds
    return float(np.average(loss, weights=weight))
