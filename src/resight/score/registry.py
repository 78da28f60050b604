"""All scores by name. A new one is a function of `Distributions`, one entry here and a column of the catalog."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from resight.errors import SettingsError
from resight.score import distances, distribution
from resight.score.distribution import Distributions

FUSED = "fused"
_NULL = "pairs of different known animals with the same kind of view to learn from (score.null_pairs above 0)"
_COUNTS = "at least 20 pairs of different known animals to learn from (score.null_pairs above 0)"
_LIGHTGLUE = "LightGlue (Lindenberger et al., ICCV 2023) as used by WildFusion (Cermak et al., ECCVW 2024)"


@dataclass(frozen=True)
class ShippedCalibration:
    """What a score has meant at other places, shipped with the code: a line for the log likelihood ratio of same against different animal.

    Only scores that are compared with the gallery's own impostors mean much the same everywhere.

    Attributes:
        intercept, slope: The ratio is ``intercept + slope * score``.
        lowest, highest: The ratio does not fall below that of ``lowest``: some photos of an animal show nothing of it, and
            how many do is for each place to find out; nor rise above that of ``highest``.
        worth: It counts like so many gallery encounters that met their animal again.
    """

    intercept: float
    slope: float
    lowest: float
    highest: float
    worth: float = 4.0


@dataclass(frozen=True)
class Score:
    """A score; the same whichever of the two photos asks.

    Attributes:
        compute: (N,) float64 from N pairs; NaN where it cannot be computed.
        source: Where the definition comes from.
        description: One line.
        needs: What it takes, said to whoever chose it where that is missing; '' if it can always be computed.
        larger_is_better: Whether larger values speak for the same animal.
        no_match: Value of a pair without any match: the worst there is.
        signed: Values below 0 occur and are no worse than the scale says; evidence grows with the value itself, not with its
            logarithm.
        is_ratio: It is the logarithm of a likelihood ratio, so that prior odds can be added to it.
        needs_cohorts: What a pair scores hangs on the other pairs of its two photos, and so on who is in the gallery.
        shipped: What it has meant at other places, if that is known.
        ranks: Whether it may rank; one without direction may not.
    """

    name: str
    compute: Callable[[Distributions], np.ndarray]
    source: str
    description: str
    needs: str = ""
    larger_is_better: bool = True
    no_match: float = 0.0
    signed: bool = False
    is_ratio: bool = False
    needs_cohorts: bool = False
    shipped: ShippedCalibration | None = None
    ranks: bool = True

    def turned(self, values: np.ndarray) -> np.ndarray:
        """Larger means same animal; 0 means nothing matched, unless the score is signed."""
        return values - self.no_match if self.larger_is_better else self.no_match - values


def _mean(d: Distributions) -> np.ndarray:
    return distribution.mean_confidence(d.confidence_sum, d.n_keypoints_query, d.n_keypoints_gallery)


def _inliers(d: Distributions) -> np.ndarray:
    return distribution.inlier_score(d.n_inliers, d.confidence_sum, d.n_keypoints_query, d.n_keypoints_gallery)


_ALL = (
    Score("count", lambda d: d.n_above_01.astype(np.float64), _LIGHTGLUE, "confidences above 0.1"),
    Score("count_05", lambda d: d.n_above_05.astype(np.float64), _LIGHTGLUE, "confidences above 0.5"),
    Score(
        "sum", lambda d: d.confidence_sum, "Wildbook's LightGlue plug-in without its threshold", "sum of confidences"
    ),
    Score(
        "sum_01",
        lambda d: distribution.sum_above(d, 0.1),
        "Wildbook's LightGlue plug-in (filter at 0.1)",
        "sum of confidences above 0.1, from the histogram",
    ),
    Score(
        "sum_05",
        lambda d: d.confidence_sum_above_half,
        "Wildbook's LightGlue plug-in with a higher threshold",
        "sum of confidences above 0.5",
    ),
    Score(
        "mean",
        _mean,
        "one minus the area score, made symmetric",
        "sum of confidences over the geometric mean of the two keypoint counts",
    ),
    Score(
        "mean_pooled",
        distribution.pooled_mean,
        "mean confidence; equals the Wasserstein-1 distance to no match at all",
        "mean over all keypoints of both crops",
    ),
    Score(
        "auc",
        distribution.seed_auc,
        "Leiwe's sea turtle notebooks",
        "area under the cumulative curve of the confidences, mean of both crops",
        larger_is_better=False,
        no_match=1.0,
    ),
    Score(
        "area",
        lambda d: 1 - distribution.pooled_mean(d),
        "exact area under the empirical distribution function",
        "one minus the mean over all keypoints of both crops",
        larger_is_better=False,
        no_match=1.0,
    ),
    Score(
        "wasserstein",
        distances.one_sided_wasserstein,
        "Wasserstein-1 distance, upper side only",
        "confidence mass above what pairs of different animals show",
        _NULL,
    ),
    Score(
        "wasserstein_1",
        distances.wasserstein_1,
        "Wasserstein-1 distance (Kantorovich)",
        "unsigned distance to the null: a pair far below it counts as far too",
        _NULL,
        ranks=False,
    ),
    Score(
        "wasserstein_signed",
        distances.signed_wasserstein,
        "Wasserstein-1 distance where one curve dominates",
        "mean confidence less that of the null",
        _NULL,
        signed=True,
    ),
    Score(
        "wasserstein_2",
        distances.signed_wasserstein_2,
        "Wasserstein-2 distance in quantile form",
        "distance of the quantiles to those of the null, signed by the mean",
        _NULL,
        signed=True,
    ),
    Score(
        "energy",
        distances.signed_energy,
        "energy distance (Szekely and Rizzo 2013)",
        "distance to the null, signed by the mean",
        _NULL,
        signed=True,
    ),
    Score(
        "ks",
        distances.one_sided_ks,
        "one-sided Kolmogorov-Smirnov statistic",
        "largest excess over the null's cumulative curve",
        _NULL,
    ),
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
        _COUNTS,
        signed=True,
    ),
    Score(
        "snorm",
        lambda d: d.cohort_score,
        "S-norm (Auckenthaler et al., DSP 2000)",
        "log(sum + 1) in standard deviations above what the two crops score with other animals",
        _COUNTS,
        signed=True,
        needs_cohorts=True,
    ),
    Score(
        "inliers",
        _inliers,
        "MAGSAC++ (Barath et al., CVPR 2020), RANSAC (Fischler and Bolles 1981)",
        "matches that agree with one geometry, plus the mean confidence, by which equal numbers are ordered",
        "geometry (match.verify.model other than none)",
    ),
    Score(
        "snorm_inliers",
        lambda d: d.cohort_inliers,
        "S-norm (Auckenthaler et al., DSP 2000) of the inliers",
        "matches that agree with one geometry, in standard deviations above what the two crops have with other animals",
        "geometry (match.verify.model other than none)",
        signed=True,
        needs_cohorts=True,
        # Loggerheads: -3.9 and 0.53; green turtles: -1.1 and 0.53; halves of the loggerheads: -5.7 to -2.6, 0.37 to 0.69.
        shipped=ShippedCalibration(-3.0, 0.5, 2.0, 30.0),
    ),
    Score(
        "lnbnn",
        lambda d: d.lnbnn,
        "LNBNN (McCann and Lowe, CVPR 2012) as in HotSpotter",
        "votes of single descriptors",
        "votes (shortlist.enabled = 'votes' or 'on')",
    ),
    Score(
        "lnbnn_verified",
        lambda d: d.lnbnn_verified,
        "HotSpotter (Crall et al., WACV 2013): votes after spatial verification",
        "votes that agree in turn, size and place",
        "votes (shortlist.enabled = 'votes' or 'on')",
    ),
    Score(
        FUSED,
        lambda d: d.fused,
        "regularised logistic regression (prior-free log likelihood ratio)",
        "all evidence in one number: how much more likely the pair is under the same animal, as a logarithm",
        "a fitted fusion (see `score.fusion`)",
        signed=True,
        is_ratio=True,
    ),
)
SCORES: dict[str, Score] = {one.name: one for one in _ALL}


def score_named(name: str) -> Score:
    """The score of that name.

    Raises:
        SettingsError: There is none, or it cannot rank; names the nearest.
    """
    if name not in SCORES:
        near = difflib.get_close_matches(name, SCORES, n=1, cutoff=0.4)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise SettingsError(f"score.name = '{name}' is unknown{hint} Known are {', '.join(SCORES)}.")
    if not SCORES[name].ranks:
        raise SettingsError(
            f"score.name = '{name}' has no direction, so it cannot rank; choose another one, e.g. wasserstein."
        )
    return SCORES[name]
