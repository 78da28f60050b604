"""What a matcher takes and gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from resight.extract.base import Features


@dataclass(frozen=True)
class Matches:
    """Mutual matches of two crops: each keypoint is in at most one.

    Attributes:
        index_a, index_b: (M,) int, keypoints of crop a and of crop b.
        confidence: (M,) float32 in (0, 1].
    """

    index_a: np.ndarray
    index_b: np.ndarray
    confidence: np.ndarray

    @staticmethod
    def none() -> Matches:
        """Of two crops without any."""
        return Matches(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


@dataclass(frozen=True)
class PairMatch:
    """Mutual matches of two crops.

    Every keypoint of either crop that is in no mutual match has confidence exactly 0, so the full vectors of
    confidences (length ``n_a`` and ``n_b``) follow from these arrays.

    Attributes:
        index_a: (M,) int32, keypoint of crop a.
        index_b: (M,) int32, its partner in crop b; each keypoint is in at most one match.
        confidence: (M,) float32 in (0, 1].
        inlier: (M,) bool, agrees with the common geometry; all False where nothing was verified or fitted.
        n_a, n_b: Keypoints of the two crops.
        verified: Whether geometry was tried at all (``n_inliers`` means nothing otherwise).
        agreement: How well the matches agree with that geometry, see `match.affine.affine_agreement`; None where they are not graded.
    """

    index_a: np.ndarray
    index_b: np.ndarray
    confidence: np.ndarray
    inlier: np.ndarray
    n_a: int
    n_b: int
    verified: bool
    agreement: float | None = None

    @property
    def n_matches(self) -> int:
        return int(self.index_a.shape[0])

    @property
    def n_inliers(self) -> int:
        return int(self.inlier.sum())


@runtime_checkable
class Matcher(Protocol):
    """Matches two feature sets. What it gives for a pair must not depend on other pairs or on their order."""

    def match(self, a: Features, b: Features) -> PairMatch:
        """Match crop ``a`` with crop ``b``; either may have 0 keypoints."""
        ...


@runtime_checkable
class TileMatcher(Protocol):
    """A matcher that can reduce many pairs on its device, without giving their matches back one by one.

    Attributes:
        tiles: Whether its settings allow that.
    """

    tiles: bool

    def match_tile(
        self, crops: Sequence[tuple[str, Features]], index_a: np.ndarray, index_b: np.ndarray, bins: int
    ) -> pa.Table:
        """Summary rows of the pairs ``(crops[index_a[k]], crops[index_b[k]])``, in their order."""
        ...
