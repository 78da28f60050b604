"""Second moments of the confidences, and scores that know what other animals show."""

from __future__ import annotations

from resight.score.base import Score

COUNTS = "at least 20 pairs of different known animals to learn from (score.null_pairs above 0)"


SCORES = (
    Score(
        "sum_squares",
        lambda d: d.confidence_sum_squares,
        "second moment: weighs the high confidences",
        "sum of squared confidences",
    ),
    Score(
        "llr",
        lambda d: d.log_likelihood_ratio,
        "independent matches: log-probability that all are wrong",
        "minus the sum of log(1 - confidence)",
    ),
    Score(
        "residual",
        lambda d: d.residual,
        "regression of the null on the keypoint counts",
        "log(sum + 1) in standard deviations above impostors with as many keypoints",
        COUNTS,
        signed=True,
    ),
    Score(
        "snorm",
        lambda d: d.cohort_score,
        "S-norm (Auckenthaler et al., DSP 2000)",
        "log(sum + 1) in standard deviations above what the two crops score with other animals",
        COUNTS,
        signed=True,
        needs_cohorts=True,
    ),
)
