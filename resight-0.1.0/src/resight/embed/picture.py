"""A crop as the square picture that networks take."""

from __future__ import annotations

import cv2
import numpy as np

from resight.status import Viewpoint

OUTSIDE = 127


def squashed(rgb: np.ndarray, viewpoint: str, side_px: int) -> np.ndarray:
    """A crop as the embedding sees it: squashed to a square, and the right side of a head mirrored, so that all look left.

    Nothing outside of the mask is painted over: outlines are drawn and found in too many ways.

    Args:
        rgb: (H, W, 3) uint8.
        viewpoint: Which side is seen.
        side_px: Side of the square.

    Returns:
        (side_px, side_px, 3) uint8.
    """
    how = cv2.INTER_AREA if side_px < max(rgb.shape[:2]) else cv2.INTER_LINEAR
    square = cv2.resize(rgb, (side_px, side_px), interpolation=how)
    return np.ascontiguousarray(square[:, ::-1]) if viewpoint == Viewpoint.RIGHT else square


def canvas(rgb: np.ndarray, mask: np.ndarray | None, side_px: int) -> np.ndarray:
    """A crop in the middle of a grey square, as large as it fits, grey outside of its mask.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool, or None for all.
        side_px: Side of the square.

    Returns:
        (side_px, side_px, 3) uint8.
    """
    height, width = rgb.shape[:2]
    scale = side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shown = rgb if mask is None else np.where(mask[..., None], rgb, np.uint8(OUTSIDE))
    square = np.full((side_px, side_px, 3), OUTSIDE, np.uint8)
    left, top = (side_px - size[0]) // 2, (side_px - size[1]) // 2
    square[top : top + size[1], left : left + size[0]] = cv2.resize(shown, size, interpolation=how)
    return square
