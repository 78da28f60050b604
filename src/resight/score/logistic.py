"""Logistic regression with a normal prior on its coefficients, some of which may not be negative."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize


def fit(
    x: np.ndarray,
    genuine: np.ndarray,
    weight: np.ndarray,
    prior: np.ndarray,
    precision: np.ndarray,
    monotone: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Most probable intercept and coefficients: ``sum w log p(y | x) - sum precision (beta - prior)^2 / 2`` at its largest.

    The intercept is free. Evidence that can only speak for the same animal keeps a coefficient of at least 0. The problem is
    convex; L-BFGS-B (Byrd et al. 1995) in scipy.

    Args:
        x: (N, F) standardised features.
        genuine: (N,) bool, both kinds occur.
        weight: (N,) positive.
        prior: (F,) where the coefficients are shrunk to.
        precision: (F,) how strongly; in units of rows of weight 1.
        monotone: (F,) bool, coefficients that may not be negative.
    """
    y = genuine.astype(np.float64)
    design = np.column_stack([np.ones(len(x)), x])
    centre, stiff = np.concatenate([[0.0], prior]), np.concatenate([[0.0], precision])

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        eta = design @ theta
        away = theta - centre
        value = float(np.sum(weight * (np.logaddexp(0, eta) - y * eta)) + np.sum(stiff * away**2) / 2)
        return value, design.T @ (weight * (sigmoid(eta) - y)) + stiff * away

    start = centre.copy()
    start[0] = float(np.log(weight[genuine].sum() / weight[~genuine].sum()))
    bounds = [(None, None), *((0.0, None) if m else (None, None) for m in monotone)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500, "ftol": 1e-12})
    return float(found.x[0]), found.x[1:]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))`` without overflow."""
    return 0.5 * (1 + np.tanh(np.asarray(x) / 2))


def log_loss(log_odds: np.ndarray, genuine: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean of ``-log p`` of what happened."""
    loss = np.logaddexp(0, log_odds) - genuine * log_odds
    return float(np.average(loss, weights=weight))
