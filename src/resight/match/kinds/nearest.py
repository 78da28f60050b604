"""Mutual nearest neighbours with the ratio test in both directions. Needs no weights and reads every descriptor."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from resight.extract.base import Features, is_binary
from resight.match.base import Matcher, Matches, PairMatch
from resight.match.params import MatcherBase, VerifyParams
from resight.plugins.params import expert_field
from resight.weights.store import WeightStore


class NearestParams(MatcherBase):
    """Mutual nearest neighbours with Lowe's ratio test and geometric verification: needs no weights."""

    revision: ClassVar[int] = 2
    kind: Literal["nearest"] = "nearest"
    ratio: float = expert_field(
        0.85, gt=0, le=1, description="largest ratio of nearest to second nearest distance, in both directions"
    )
    verify: VerifyParams = VerifyParams()

    def accepts(self, family: str) -> bool:
        """Any descriptor with a distance will do."""
        return True

    def build(self, weights: WeightStore, family: str, device: str) -> Matcher:
        return NearestMatcher(self)


class NearestMatcher:
    """Euclidean distance for float descriptors, Hamming distance for binary ones.

    The confidence of a match is ``1 - max(ratio_ab, ratio_ba)``, where ``ratio`` is the distance to the nearest
    descriptor of the other crop divided by that to the second nearest (Lowe 2004), looked at from either side. It is in
    (0, 1]: a match whose second neighbour is just as near would have confidence 0 and is not counted. Two equal descriptors at
    distance 0 make the ratio 0/0; it counts as 1. A crop with a single keypoint has no second neighbour to compare with, so
    there are no matches.
    """

    def __init__(self, params: NearestParams) -> None:
        self.params = params

    def match(self, a: Features, b: Features) -> PairMatch:
        """Match two crops; swapping them swaps the matches (inliers may differ, see `verify.inliers`)."""
        from resight.match.verify import verified_match

        return verified_match(a, b, self._ratio_matches(a.descriptors, b.descriptors), self.params.verify)

    def _ratio_matches(self, a: np.ndarray, b: np.ndarray) -> Matches:
        if min(len(a), len(b)) < 2:
            return Matches.none()
        binary = is_binary(a)
        a, b = (_signs(x) if binary else np.ascontiguousarray(x, np.float32) for x in (a, b))
        squared = _squared_distances(a, b)
        transposed = np.ascontiguousarray(squared.T)
        near_ab, ratio_ab = _nearest(a, b, squared, binary)
        near_ba, ratio_ba = _nearest(b, a, transposed, binary)
        index_a = np.flatnonzero(near_ba[near_ab] == np.arange(len(a)))
        index_b = near_ab[index_a]
        ratio = np.maximum(ratio_ab[index_a], ratio_ba[index_b])
        keep = (ratio <= self.params.ratio) & (ratio < 1)
        return Matches(index_a[keep], index_b[keep], (1 - ratio)[keep])


def _nearest(a: np.ndarray, b: np.ndarray, squared: np.ndarray, binary: bool) -> tuple[np.ndarray, np.ndarray]:
    """Nearest row of ``b`` for each row of ``a``, and the distance ratio; ``squared`` is used up."""
    rows = np.arange(len(a))
    first = squared.argmin(axis=1)
    squared[rows, first] = np.inf
    second = squared.argmin(axis=1)
    near, far = _distance(a, b[first], binary), _distance(a, b[second], binary)
    return first, np.divide(near, far, out=np.ones_like(near), where=far > 0).clip(max=1)


def _distance(a: np.ndarray, b: np.ndarray, binary: bool) -> np.ndarray:
    # From the differences, not from the matrix of products: that one is off by 3e-4 where two are nearly equal.
    squared = np.square(a - b).sum(axis=1, dtype=np.float64)
    distance: np.ndarray = squared / 4 if binary else np.sqrt(squared)
    return distance


def _signs(descriptors: np.ndarray) -> np.ndarray:
    """Bits as -1 and +1: the squared Euclidean distance is then four times the Hamming distance, exactly."""
    return np.unpackbits(descriptors, axis=1).astype(np.float32) * 2 - 1


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n_a, n_b) float32."""
    norm_a, norm_b = np.square(a).sum(axis=1), np.square(b).sum(axis=1)
    squared: np.ndarray = (norm_a[:, None] + norm_b[None, :]) - 2 * (a @ b.T)
    return squared
