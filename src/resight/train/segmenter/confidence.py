"""How sure a finding is: a small logistic regression over what the looks said, fitted on animals the network has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RIDGE = 1.0


def fit(evidence: Sequence[Sequence[float]], right: Sequence[bool]) -> tuple[float, tuple[float, ...]]:
    """Fit by Newton's method with a ridge on the standardised coefficients.

    Args:
        evidence: (N, k), the columns of `resight.segment.learned.finder.EVIDENCE`.
        right: Whether each finding overlaps the true head by at least a half.

    Returns:
        Intercept and (k,) coefficients.
    """
    raw = np.asarray(evidence, np.float64)
    mean, spread = raw.mean(0), raw.std(0) + 1e-9
    x = np.column_stack([np.ones(len(raw)), (raw - mean) / spread])
    y = np.asarray(right, np.float64)
    penalty = RIDGE * np.diag([0.0] + [1.0] * raw.shape[1])
    weights = np.zeros(x.shape[1])
    for _ in range(25):
        chance = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (y - chance) - penalty @ weights
        curvature = (x * (chance * (1 - chance))[:, None]).T @ x + penalty
        weights = weights + np.linalg.solve(curvature, slope)
    coefficients = weights[1:] / spread
    return float(weights[0] - coefficients @ mean), tuple(float(c) for c in coefficients)
