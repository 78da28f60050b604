"""From log odds to better log odds where there are enough pairs to see the curve: beta and isotonic calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from resight.score import logistic

LOGISTIC, BETA, ISOTONIC = "logistic", "beta", "isotonic"
MIN_GENUINE = {LOGISTIC: 0, BETA: 100, ISOTONIC: 1000}
KEEPS_ORDER = 1e-3  # slope that keeps apart log odds which an isotonic step would make equal


@dataclass(frozen=True)
class Calibrator:
    """Monotone map of log odds. ``logistic`` leaves them as they are.

    Attributes:
        kind: ``logistic``, ``beta`` or ``isotonic``.
        x, y: Parameters of ``beta`` (``x`` holds a, b, c), or knots of ``isotonic``.
    """

    kind: str = LOGISTIC
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def __call__(self, log_odds: np.ndarray) -> np.ndarray:
        """(N,) calibrated log odds.

        ``beta`` (Kull et al., AISTATS 2017): ``a log p - b log(1 - p) + c``. ``isotonic``: linear between the knots, flat
        beyond them but for a slope of 0.001, so that no two pairs tie that did not tie before.
        """
        z = np.asarray(log_odds, np.float64)
        if self.kind == BETA:
            a, b, c = self.x
            return -a * np.logaddexp(0, -z) + b * np.logaddexp(0, z) + c
        if self.kind == ISOTONIC:
            return np.interp(z, self.x, self.y) + KEEPS_ORDER * z
        return z

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibrator:
        """From its fields as plain values."""
        return cls(values["kind"], tuple(values["x"]), tuple(values["y"]))


def fit_calibrator(kind: str, log_odds: np.ndarray, genuine: np.ndarray, weight: np.ndarray) -> Calibrator:
    """Fit one kind.

    Args:
        kind: ``logistic``, ``beta`` or ``isotonic``.
        log_odds: (N,) held-out ones.
        genuine: (N,) bool, both kinds occur.
        weight: (N,) positive.
    """
    if kind == BETA:
        features = np.column_stack([-np.logaddexp(0, -log_odds), np.logaddexp(0, log_odds)])
        prior = logistic.CoefficientPrior(np.ones(2), np.full(2, 0.01), np.ones(2, bool))
        c, (a, b) = logistic.fit(features, genuine, weight, prior)
        return Calibrator(BETA, (float(a), float(b), c))
    if kind == ISOTONIC:
        return _isotonic(log_odds, genuine, weight)
    return Calibrator()


def _isotonic(log_odds: np.ndarray, genuine: np.ndarray, weight: np.ndarray) -> Calibrator:
    """Pool adjacent violators (scipy); a block of weight n with g genuine ones gets ``(g + 1) / (n + 2)`` (Laplace).

    So the ends are never 0 or 1. The added pseudo-pairs can put small blocks out of order again; a running maximum over
    a second pass of pooling mends it.
    """
    from scipy.optimize import isotonic_regression  # its import takes half a second, and few nights fit anything

    order = np.argsort(log_odds, kind="stable")
    x, y, w = log_odds[order], genuine[order].astype(np.float64), weight[order]
    blocks = isotonic_regression(y, weights=w).blocks
    first, ends = blocks[:-1], blocks[1:]
    mass = np.add.reduceat(w, first)
    centre = np.add.reduceat(w * x, first) / mass
    share = (np.add.reduceat(w * y, first) + 1) / (mass + 2)
    share = isotonic_regression(share, weights=ends - first).x
    return Calibrator(ISOTONIC, tuple(centre.tolist()), tuple(np.log(share / (1 - share)).tolist()))
