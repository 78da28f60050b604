"""Scores of the confidences of a pair alone."""

from __future__ import annotations

import numpy as np

from resight.score.base import Score
from resight.score.distribution import mean_confidence, pooled_mean, seed_auc, sum_above

LIGHTGLUE = "LightGlue (Lindenberger et al., ICCV 2023) as used by WildFusion (Cermak et al., ECCVW 2024)"

SCORES = (
    Score(
        "count", lambda d: d.n_above_01.astype(np.float64), LIGHTGLUE, "confidences above 0.1", reads_histogram=False
    ),
    Score(
        "count_05", lambda d: d.n_above_05.astype(np.float64), LIGHTGLUE, "confidences above 0.5", reads_histogram=False
    ),
    Score(
        "sum",
        lambda d: d.confidence_sum,
        "Wildbook's LightGlue plug-in without its threshold",
        "sum of confidences",
        reads_histogram=False,
    ),
    Score(
        "sum_01",
        lambda d: sum_above(d, 0.1),
        "Wildbook's LightGlue plug-in (filter at 0.1)",
        "sum of confidences above 0.1, from the histogram",
    ),
    Score(
        "sum_05",
        lambda d: d.confidence_sum_above_half,
        "Wildbook's LightGlue plug-in with a higher threshold",
        "sum of confidences above 0.5",
        reads_histogram=False,
    ),
    Score(
        "mean",
        lambda d: mean_confidence(d.confidence_sum, d.n_keypoints_query, d.n_keypoints_gallery),
        "one minus the area score, made symmetric",
        "sum of confidences over the geometric mean of the two keypoint counts",
        reads_histogram=False,
    ),
    Score(
        "mean_pooled",
        pooled_mean,
        "mean confidence; equals the Wasserstein-1 distance to no match at all",
        "mean over all keypoints of both crops",
        reads_histogram=False,
    ),
    Score(
        "auc",
        seed_auc,
        "Leiwe's sea turtle notebooks",
        "area under the cumulative curve of the confidences, mean of both crops",
        larger_is_better=False,
        no_match=1.0,
    ),
    Score(
        "area",
        lambda d: 1 - pooled_mean(d),
        "exact area under the empirical distribution function",
        "one minus the mean over all keypoints of both crops",
        larger_is_better=False,
        no_match=1.0,
        reads_histogram=False,
    ),
)
