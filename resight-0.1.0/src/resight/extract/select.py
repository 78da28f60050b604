"""Which keypoints stay: inside the crop and the mask, strongest first, the same on every run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from resight.extract.base import Features

if TYPE_CHECKING:
    import cv2


def keep(
    xy_px: np.ndarray,
    score: np.ndarray,
    angle_rad: np.ndarray,
    mask: np.ndarray | None,
    size_wh_px: tuple[int, int],
    max_keypoints: int,
) -> np.ndarray:
    """Indices of the keypoints that stay, strongest first.

    Those outside the crop or whose nearest pixel is outside ``mask`` go first; of the rest the ``max_keypoints`` with the
    highest score stay. Equal scores are ordered by y, x and angle.

    Args:
        xy_px: (N, 2), pixel centres are integers.
        score: (N,).
        angle_rad: (N,).
        mask: (H, W) bool, or None for the whole crop.
        size_wh_px: Width and height of the crop.
        max_keypoints: At most so many.
    """
    width, height = size_wh_px
    x, y = xy_px[:, 0], xy_px[:, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1) & np.isfinite(score)
    if mask is not None:
        column, row = (np.floor(np.where(inside, v, 0) + 0.5).astype(np.intp) for v in (x, y))
        inside &= mask[row, column]
    index = np.flatnonzero(inside)
    order = np.lexsort((angle_rad[index], x[index], y[index], -score[index]))
    return index[order[:max_keypoints]]


def wrap(angle_rad: np.ndarray) -> np.ndarray:
    """Bring angles into (-pi, pi]."""
    return (math.pi - np.mod(math.pi - np.asarray(angle_rad, np.float64), 2 * math.pi)).astype(np.float32)


def opencv_keypoints(points: Sequence[cv2.KeyPoint]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 2) position, (N,) response and (N,) angle in rad of OpenCV keypoints; OpenCV's angle is clockwise on the screen."""
    xy = np.array([point.pt for point in points], np.float32)
    score = np.array([point.response for point in points], np.float32)
    return xy, score, wrap(np.deg2rad([point.angle for point in points]))


def features(
    xy_px: np.ndarray,
    descriptors: np.ndarray,
    score: np.ndarray,
    size_wh_px: tuple[int, int],
    dtype: str,
    scale_px: np.ndarray | None = None,
    angle_rad: np.ndarray | None = None,
) -> Features:
    """Put arrays of N rows into the stored types; what is computed fresh equals what is read back bit by bit."""
    zeros = np.zeros(len(xy_px), np.float32)
    return Features(
        xy_px=np.ascontiguousarray(xy_px, np.float32),
        descriptors=np.ascontiguousarray(descriptors, dtype),
        scale_px=zeros if scale_px is None else np.ascontiguousarray(scale_px, np.float32),
        angle_rad=zeros if angle_rad is None else np.ascontiguousarray(angle_rad, np.float32),
        score=np.ascontiguousarray(score, np.float32),
        size_wh_px=size_wh_px,
    )


def nothing(size_wh_px: tuple[int, int], descriptor_dim: int, dtype: str) -> Features:
    """No keypoints, arrays of the right shape."""
    return features(np.zeros((0, 2)), np.zeros((0, descriptor_dim)), np.zeros(0), size_wh_px, dtype)


def is_blank(rgb: np.ndarray, mask: np.ndarray | None) -> bool:
    """Whether there is nothing to find: an empty mask, an empty picture, or a single colour."""
    if rgb.size == 0 or (mask is not None and not mask.any()):
        return True
    return bool((rgb == rgb[0, 0]).all())
