"""How sure a finding is: a small logistic regression over what the looks said, fitted on animals the network has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resight.score import logistic

RIDGE = 1.0


def fit(evidence: Sequence[Sequence[float]], right: Sequence[bool]) -> tuple[float, tuple[float, ...]]:
    """Logistic regression with a ridge on the standardised coefficients.

    Args:
        evidence: (N, k), the columns of `resight.segment.learned.finder.EVIDENCE`.
        right: Whether each finding overlaps the true head by at least a half; both occur.

    Returns:
        Intercept and (k,) coefficients.
    """
    raw = np.asarray(evidence, np.float64)
    mean, spread = raw.mean(0), raw.std(0) + 1e-9
    zeros = np.zeros(raw.shape[1])
    intercept, beta = logistic.fit(
        (raw - mean) / spread, np.asarray(right, bool), np.ones(len(raw)), zeros, zeros + RIDGE, zeros > 0
    )
    coefficients = beta / spread
    return float(intercept - coefficients @ mean), tuple(float(c) for c in coefficients)
