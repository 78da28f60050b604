"""Matches that agree with one geometry."""

from __future__ import annotations

import numpy as np

from resight.score.base import Score, ShippedCalibration
from resight.score.distribution import Distributions, inlier_score

GEOMETRY = "geometry (match.verify.model other than none)"


def _inliers(d: Distributions) -> np.ndarray:
    return inlier_score(d.n_inliers, d.confidence_sum, d.n_keypoints_query, d.n_keypoints_gallery)


SCORES = (
    Score(
        "inliers",
        _inliers,
        "MAGSAC++ (Barath et al., CVPR 2020), RANSAC (Fischler and Bolles 1981)",
        "matches that agree with one geometry, plus the mean confidence, by which equal numbers are ordered",
        GEOMETRY,
    ),
    Score(
        "snorm_inliers",
        lambda d: d.cohort_inliers,
        "S-norm (Auckenthaler et al., DSP 2000) of the inliers",
        "matches that agree with one geometry, in standard deviations above what the two crops have with other animals",
        GEOMETRY,
        signed=True,
        needs_cohorts=True,
        # Loggerheads: -3.9 and 0.53; green turtles: -1.1 and 0.53; halves of the loggerheads: -5.7 to -2.6, 0.37 to 0.69.
        shipped=ShippedCalibration(-3.0, 0.5, 2.0, 30.0),
    ),
)
