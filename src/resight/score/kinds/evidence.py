"""Scores of more than the confidences: their squares, other animals, geometry, votes, and all of it in one number."""

from __future__ import annotations

import numpy as np

from resight.score.base import FUSED, Score, ShippedCalibration
from resight.score.distribution import Distributions, inlier_score

COUNTS = "at least 20 pairs of different known animals to learn from (score.null_pairs above 0)"
GEOMETRY = "geometry (match.verify.model other than none)"
VOTES = "votes (shortlist.enabled = 'votes' or 'on')"
VECTORS = "vectors (embed.enabled = true)"
# Learned with the bundled matcher on all crops of 36 loggerheads that it was not trained on; others are taken to mean the same by their
# grades, which are another quantity than numbers of inliers (docs/matcher.md).
GRADED_CURVE = ShippedCalibration(intercept=-3.67, slope=1.69, crowding=0.29, missed=0.08, saturation=8.0)
S_NORM = "S-norm (Auckenthaler et al., DSP 2000)"


def _inliers(d: Distributions) -> np.ndarray:
    return inlier_score(d.n_inliers, d.agreement, d.confidence_sum, d.n_keypoints_query, d.n_keypoints_gallery)


SCORES = (
    Score(
        "sum_squares",
        lambda d: d.confidence_sum_squares,
        "second moment: weighs the high confidences",
        "sum of squared confidences",
        reads_histogram=False,
    ),
    Score(
        "llr",
        lambda d: d.log_likelihood_ratio,
        "independent matches: log-probability that all are wrong",
        "minus the sum of log(1 - confidence)",
        reads_histogram=False,
    ),
    Score(
        "residual",
        lambda d: d.residual,
        "regression of the null on the keypoint counts",
        "log(sum + 1) in standard deviations above impostors with as many keypoints",
        COUNTS,
        signed=True,
        reads_histogram=False,
    ),
    Score(
        "snorm",
        lambda d: d.cohort_score,
        S_NORM,
        "log(sum + 1) in standard deviations above what the two crops score with other animals",
        COUNTS,
        signed=True,
        needs_cohorts=True,
        reads_histogram=False,
    ),
    Score(
        "inliers",
        _inliers,
        "MAGSAC++ (Barath et al., CVPR 2020), RANSAC (Fischler and Bolles 1981)",
        "matches that agree with one geometry, counted or graded, plus the mean confidence, by which equal numbers are ordered",
        GEOMETRY,
        reads_histogram=False,
    ),
    Score(
        "snorm_inliers",
        lambda d: d.cohort_inliers,
        f"{S_NORM} of the inliers",
        "matches that agree with one geometry, counted or graded, in standard deviations above what the two crops have with other animals",
        GEOMETRY,
        signed=True,
        needs_cohorts=True,
        # Learned on loggerheads of which none trained the matcher (DECISIONS.md, hits and misses).
        shipped=ShippedCalibration(intercept=-3.81, slope=1.97, crowding=0.29, missed=0.25, saturation=8.0),
        shipped_by_matcher=(
            (("", "affine-graded"), GRADED_CURVE),
            (
                ("lightglue-sift-turtle-2", "affine"),
                ShippedCalibration(intercept=-3.63, slope=1.61, crowding=0.0, missed=0.06, saturation=8.0),
            ),
        ),
        reads_histogram=False,
    ),
    Score(
        "lnbnn",
        lambda d: d.lnbnn,
        "LNBNN (McCann and Lowe, CVPR 2012) as in HotSpotter",
        "votes of single descriptors",
        VOTES,
        reads_histogram=False,
    ),
    Score(
        "lnbnn_verified",
        lambda d: d.lnbnn_verified,
        "HotSpotter (Crall et al., WACV 2013): votes after spatial verification",
        "votes that agree in turn, size and place",
        VOTES,
        reads_histogram=False,
    ),
    Score(
        "cosine",
        lambda d: d.cosine,
        "cosine of embeddings (CosFace, Wang et al., CVPR 2018)",
        "how alike the two crops are to the embedding; needs no keypoints that match",
        VECTORS,
        signed=True,
        reads_histogram=False,
    ),
    Score(
        FUSED,
        lambda d: d.fused,
        "regularised logistic regression (prior-free log likelihood ratio)",
        "all evidence in one number: how much more likely the pair is under the same animal, as a logarithm",
        "a fitted fusion (see `score.fusion`)",
        signed=True,
        is_ratio=True,
        needs_cohorts=True,
        reads_histogram=False,
    ),
)
