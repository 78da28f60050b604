"""Inputs of the fusion: each piece of evidence on a scale on which its effect is about linear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from resight.score.distribution import Distributions

VOTE_UNITS = 4.0  # votes are differences of distances between unit vectors, a few hundredths each


@dataclass(frozen=True)
class Feature:
    """One piece of evidence about a pair.

    Attributes:
        compute: (N,) float64; NaN where it is missing.
        monotone: More of it never speaks for different animals.
        description: One line.
        needs_strangers: Missing where a gallery has too few pairs of different animals (`score.null.MIN_COUNT_PAIRS`).
    """

    name: str
    compute: Callable[[Distributions], np.ndarray]
    monotone: bool
    description: str
    needs_strangers: bool = False


_ALL = (
    Feature("log_sum", lambda d: np.log1p(d.confidence_sum), True, "log(sum of confidences + 1)"),
    Feature("log_count_05", lambda d: np.log1p(d.n_above_05), True, "log(confidences above 0.5 + 1)"),
    Feature("log_inliers", lambda d: np.log1p(d.n_inliers), True, "log(matches that agree with one geometry + 1)"),
    Feature(
        "relative_inliers",
        lambda d: d.cohort_inliers,
        True,
        "matches that agree with one geometry, in standard deviations above what the two crops have with other animals",
    ),
    Feature(
        "relative_sum",
        lambda d: d.cohort_score,
        True,
        "log(sum of confidences + 1), in standard deviations above what the two crops have with other animals",
        needs_strangers=True,
    ),
    Feature("log_votes", lambda d: np.log1p(VOTE_UNITS * d.lnbnn), True, "log(4 votes of single descriptors + 1)"),
    Feature(
        "log_verified_votes",
        lambda d: np.log1p(VOTE_UNITS * d.lnbnn_verified),
        True,
        "log(4 votes that agree in turn, size and place + 1)",
    ),
)
FEATURES: dict[str, Feature] = {feature.name: feature for feature in _ALL}
