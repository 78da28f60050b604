"""Which keypoints of two views are the same point of the skin: by reprojection into a common space."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from resight.train.matcher.loss import IGNORED, UNMATCHED

NEAR_PX, NEAR_SIGMAS = 3.0, 0.3
FAR = 2.0  # a keypoint with no other one within this multiple of the tolerance certainly has no partner
LOG2_SIZE, ANGLE_RAD = 0.75, 0.6


@dataclass(frozen=True)
class Placed:
    """Where the N keypoints of a view lie in a space that it has in common with other views.

    Attributes:
        place: (N, 3) float32 in units of that space; NaN for keypoints that are on nothing the views have in common.
        px_per_unit: (N,) float32, pixels of the view per unit there.
        sigma_px: (N,) float32, size in pixels of the view.
        angle_rad: (N,) float32, direction in that space.
        known: (N,) bool, whether it can be decided if it has a partner.
    """

    place: np.ndarray
    px_per_unit: np.ndarray
    sigma_px: np.ndarray
    angle_rad: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.place)

    def take(self, index: np.ndarray) -> Placed:
        """Only these keypoints."""
        return Placed(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def carried(
    to_space: Callable[[np.ndarray], np.ndarray], xy_px: np.ndarray, angle_rad: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Where a smooth map takes keypoints, by finite differences of one pixel.

    Args:
        to_space: Maps (N, 2) pixels to (N, 2) float64 places, NaN where they are undefined.
        xy_px: (N, 2) float64.
        angle_rad: (N,) directions in the view.

    Returns:
        Places (N, 2), area (N,) that a square pixel covers there, and directions (N,) there.
    """
    along = np.stack([np.cos(angle_rad), np.sin(angle_rad)], 1)
    place = to_space(xy_px)
    right, down, ahead = (to_space(xy_px + step) - place for step in ([1.0, 0.0], [0.0, 1.0], along))
    area = np.abs(right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0])
    return place, area, np.arctan2(ahead[:, 1], ahead[:, 0])


def partners(a: Placed, b: Placed, tolerance: float = 1.0, sure_of_none: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Partner of each keypoint of a and of b; `UNMATCHED` for none, `IGNORED` if undecided.

    Two keypoints are one if they are the best for each other among those nearer than ``3 px + 0.3 sigma``, whose sizes differ by
    less than 0.75 octaves and whose directions by less than 0.6 rad. SIFT gives several keypoints at one place, so the place alone
    does not decide which belong together. Keypoints without another one within twice that distance have no partner.

    Args:
        a, b: Two views in one space.
        tolerance: Factor on the distance.
        sure_of_none: Whether `UNMATCHED` is given at all.
    """
    none = IGNORED if not sure_of_none else UNMATCHED
    if not len(a) or not len(b):
        return tuple(np.where(view.known, none, IGNORED).astype(np.int64) for view in (a, b))  # type: ignore[return-value]
    gap = np.linalg.norm(a.place[:, None] - b.place[None], axis=-1) * np.sqrt(a.px_per_unit[:, None] * b.px_per_unit)
    gap = np.where(np.isfinite(gap), gap, np.inf)
    near = tolerance * (NEAR_PX + NEAR_SIGMAS * (a.sigma_px[:, None] + b.sigma_px) / 2)
    octaves = np.abs(np.log2((a.sigma_px / a.px_per_unit)[:, None] / (b.sigma_px / b.px_per_unit)))
    turn = a.angle_rad[:, None] - b.angle_rad
    turn = np.abs((turn + math.pi) % (2 * math.pi) - math.pi)
    same = (gap < near) & (octaves < LOG2_SIZE) & (turn < ANGLE_RAD) & a.known[:, None] & b.known
    cost = np.where(same, gap / near + octaves / LOG2_SIZE + turn / ANGLE_RAD, np.inf)
    of_a = _side(cost, gap > FAR * near, a.known, none)
    of_b = _side(cost.T, (gap > FAR * near).T, b.known, none)
    return _mutual(of_a, of_b), _mutual(of_b, of_a)


def nothing(a: Placed, b: Placed) -> tuple[np.ndarray, np.ndarray]:
    """Partners of two views of different animals: none."""
    return tuple(np.full(len(view), UNMATCHED, np.int64) for view in (a, b))  # type: ignore[return-value]


def _side(cost: np.ndarray, far: np.ndarray, known: np.ndarray, none: int) -> np.ndarray:
    best = cost.argmin(1)
    alone = np.where(far.all(1) & known, none, IGNORED)
    return np.where(np.isfinite(cost[np.arange(len(cost)), best]), best, alone).astype(np.int64)


def _mutual(of: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Keypoints that are only the second choice of their partner are left undecided."""
    chosen = of >= 0
    kept = back[np.where(chosen, of, 0)] == np.arange(len(of))
    return np.where(chosen & ~kept, IGNORED, of)
