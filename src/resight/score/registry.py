"""All scores by name. A new one is a function of `Distributions`, one entry here and a column of the catalog."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from resight.errors import SettingsError
from resight.score.distribution import Distributions, one_sided_wasserstein, seed_auc


@dataclass(frozen=True)
class Score:
    """A score.

    Attributes:
        compute: (N,) float64 from N pairs; NaN where it cannot be computed.
        larger_is_better: Whether larger values speak for the same animal.
        no_match: Value of a pair without any match: the worst there is.
        source: Where the definition comes from.
        description: One line.
        needs: What it takes, said to whoever chose it where that is missing; '' if it can always be computed.
    """

    name: str
    compute: Callable[[Distributions], np.ndarray]
    larger_is_better: bool
    no_match: float
    source: str
    description: str
    needs: str = ""

    def turned(self, values: np.ndarray) -> np.ndarray:
        """Larger means same animal, and 0 means nothing matched."""
        return values - self.no_match if self.larger_is_better else self.no_match - values


def _mean(d: Distributions) -> np.ndarray:
    return d.confidence_sum / np.sqrt(d.n_keypoints_query.astype(np.float64) * d.n_keypoints_gallery)


_LIGHTGLUE = "LightGlue (Lindenberger et al., ICCV 2023) as used by WildFusion (Cermak et al., ECCVW 2024)"
_ALL = (
    Score("count", lambda d: d.n_above_01.astype(np.float64), True, 0.0, _LIGHTGLUE, "confidences above 0.1"),
    Score("count_05", lambda d: d.n_above_05.astype(np.float64), True, 0.0, _LIGHTGLUE, "confidences above 0.5"),
    Score("sum", lambda d: d.confidence_sum, True, 0.0, "Wildbook's LightGlue plug-in", "sum of confidences"),
    Score(
        "sum_05",
        lambda d: d.confidence_sum_above_half,
        True,
        0.0,
        "Wildbook's LightGlue plug-in with a threshold",
        "sum of confidences above 0.5",
    ),
    Score(
        "mean",
        _mean,
        True,
        0.0,
        "one minus the area score, made symmetric",
        "sum of confidences over the geometric mean of the two keypoint counts",
    ),
    Score(
        "auc",
        seed_auc,
        False,
        1.0,
        "Leiwe's sea turtle notebooks",
        "area under the cumulative curve of the query's confidences",
    ),
    Score(
        "wasserstein",
        one_sided_wasserstein,
        True,
        0.0,
        "Wasserstein-1 distance, upper side only",
        "confidence mass above what pairs of different animals show",
        "pairs of different known animals with the same kind of view to learn from (score.null_pairs above 0)",
    ),
    Score(
        "sum_squares",
        lambda d: d.confidence_sum_squares,
        True,
        0.0,
        "second moment: weighs the high confidences",
        "sum of squared confidences",
    ),
    Score(
        "llr",
        lambda d: d.log_likelihood_ratio,
        True,
        0.0,
        "independent matches: log-probability that all are wrong",
        "minus the sum of log(1 - confidence)",
    ),
    Score(
        "inliers",
        lambda d: d.n_inliers,
        True,
        0.0,
        "MAGSAC++ (Barath et al., CVPR 2020)",
        "matches that agree with one geometry",
        "geometry (match.verify.model other than none)",
    ),
)
SCORES: dict[str, Score] = {one.name: one for one in _ALL}


def score_named(name: str) -> Score:
    """The score of that name.

    Raises:
        SettingsError: There is none; names the nearest.
    """
    if name not in SCORES:
        near = difflib.get_close_matches(name, SCORES, n=1, cutoff=0.4)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise SettingsError(f"score.name = '{name}' is unknown{hint} Known are {', '.join(SCORES)}.")
    return SCORES[name]
