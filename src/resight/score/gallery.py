"""What the calibration pairs show of the crops of the gallery, so that a night's own pairs can be scored without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from resight.plugins.registry import SCORES
from resight.score.cohorts import Cohorts, KnownSums
from resight.score.distribution import VOTES, optional, read_distributions, scored_only


@dataclass(frozen=True)
class Gallery:
    """What other pairs must know of the calibration pairs.

    Attributes:
        inliers, log_sum: What each gallery crop scores with other animals, for the two scores that are compared with that.
        tried: A geometry was fitted to all of them.
        voted: Columns of votes that any of them has.
    """

    inliers: KnownSums
    log_sum: KnownSums
    tried: bool
    voted: frozenset[str]

    @classmethod
    def without_pairs(cls, voted: frozenset[str]) -> Gallery:
        """Of no pair at all, for scoring the calibration pairs themselves."""
        none = KnownSums.empty()
        return cls(none, none, True, voted)

    @classmethod
    def of(cls, calibrating: pa.Table, labels: Mapping[str, str | None], voted: frozenset[str]) -> Gallery:
        """From the calibration pairs.

        Args:
            calibrating: Rows of ``pairs``.
            labels: Individual by photo_id.
            voted: Columns of votes that these pairs or others of the run have.
        """
        scored = scored_only(calibrating)
        d, cohorts = read_distributions(scored), Cohorts.of(scored, labels)
        inliers = KnownSums.of(cohorts, SCORES["inliers"].compute(d))
        return cls(inliers, KnownSums.of(cohorts, np.log1p(d.confidence_sum)), is_tried(scored), voted)


def is_tried(scored: pa.Table) -> bool:
    """Whether a geometry was fitted to all pairs."""
    return not np.isnan(optional(scored, "n_inliers")).any()


def voted_columns(pairs: pa.Table) -> frozenset[str]:
    """Columns of votes that any of the pairs has."""
    return frozenset(name for name in VOTES if pairs.num_rows and pairs[name].null_count < pairs.num_rows)
