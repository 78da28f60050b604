"""What a score is. The scores themselves are in ``kinds``."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from resight.score.distribution import Distributions

FUSED = "fused"


@dataclass(frozen=True, kw_only=True)
class ShippedCalibration:
    """What a score has meant at other places: how much more likely it is for the same animal than for a different one.

    A photo of the same animal either matches (a hit), or shows nothing of it that can be matched (a miss), and then scores what a
    different animal scores. The ratio is ``missed + (1 - missed) exp(intercept + slope s(score - crowding log n))`` for the best of n
    pairs of photos, where ``s`` saturates: the best of many pairs of different animals is higher by that, and a score far above all of
    them stays clear evidence. Only scores that are compared with the gallery's own impostors mean much the same everywhere.

    Attributes:
        intercept, slope: Of a hit's log ratio.
        crowding: How far the log of the number of pairs moves a score.
        missed: Share of misses.
        spread: How far the gallery's own encounters may move intercept and slope: standard deviations of the prior.
        saturation: Where scores stop counting, see `novelty.likelihood.saturated`.
        worth: The share of misses counts as much as this number of animals that were met again.

    Raises:
        ValueError: A value that no calibration can have.
    """

    intercept: float
    slope: float
    crowding: float
    missed: float
    spread: tuple[float, float] = (0.3, 0.1)
    saturation: float = math.inf
    worth: float = 2.0

    def __post_init__(self) -> None:
        wrong = [name for name in ("slope", "saturation", "worth") if not getattr(self, name) > 0]
        wrong += [] if self.crowding >= 0 else ["crowding"]
        wrong += [] if min(self.spread) > 0 else ["spread"]
        if wrong or not 0 < self.missed < 1:
            raise ValueError(
                f"A shipped calibration has a {', '.join(wrong) or 'missed'} that it cannot have; slope, spread, saturation and worth are "
                "above 0, crowding is not below 0, and missed lies between 0 and 1."
            )


@dataclass(frozen=True)
class Score:
    """A score; symmetric in the two photos.

    Attributes:
        compute: (N,) float64 from N pairs; NaN where it cannot be computed.
        source: Where the definition comes from.
        description: One line.
        needs: What it requires, for the error where that is missing; '' if it can always be computed.
        larger_is_better: Whether larger values speak for the same animal.
        no_match: Value of a pair without any match, the worst possible one.
        signed: Values below 0 occur, and evidence grows with the value itself, not with its logarithm.
        is_ratio: It is the logarithm of a likelihood ratio, so that prior odds can be added to it.
        needs_cohorts: It depends on the other pairs of the two photos, and so on who is in the gallery.
        of_pair: Under one null a pair has the same value to the last bit whatever stands beside it, so it is not computed again when
            pairs are added.
        reads_histogram: It looks at the histogram of the confidences, which is half of what is stored of a pair and is read only then.
        shipped: What it has meant at other places, if that has been measured.
        shipped_by_matcher: The same with one matcher, by the name of its weights and the geometry that its matches are held against; with the
            name '' for all matchers under that geometry.
        ranks: Whether it may rank; a score without direction may not.
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
    of_pair: bool = False
    reads_histogram: bool = True
    shipped: ShippedCalibration | None = None
    shipped_by_matcher: tuple[tuple[tuple[str, str], ShippedCalibration], ...] = ()
    ranks: bool = True

    def shipped_with(self, weights: Collection[str], geometry: str) -> ShippedCalibration | None:
        """What it has meant at other places with a matcher that loads these weights, and matches that agree with this geometry.

        `shipped` where that was not measured.
        """
        measured = dict(self.shipped_by_matcher)
        asked = [(name, geometry) for name in (*weights, "")]
        return next((measured[matcher] for matcher in asked if matcher in measured), self.shipped)

    def turned(self, values: np.ndarray) -> np.ndarray:
        """Larger means same animal; 0 means nothing matched, unless the score is signed."""
        return values - self.no_match if self.larger_is_better else self.no_match - values
