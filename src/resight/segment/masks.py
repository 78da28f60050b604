"""Masks: from outlines, grown, and back to outlines; and photos resized for a network."""

from __future__ import annotations

import math

import cv2
import numpy as np

from resight.segment.base import Region
from resight.segment.geometry import CropFrame, Polygon, outline, transform

SUBPIXEL_BITS = 4


def resized(rgb: np.ndarray, scale: float) -> np.ndarray:
    """(H, W, 3) uint8 scaled by ``scale``, no side shorter than a pixel."""
    height, width = rgb.shape[:2]
    size_wh_px = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(rgb, size_wh_px, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def fill_polygons(polygons_xy_px: list[np.ndarray], size_wh_px: tuple[int, int]) -> np.ndarray:
    """Union of polygons, given with integers at pixel centres, as (H, W) bool. Pixels on the line are inside."""
    mask = np.zeros(size_wh_px[::-1], np.uint8)
    for polygon in polygons_xy_px:
        fixed = np.round(polygon * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(mask, [fixed.reshape(-1, 1, 2)], 1, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)
    return mask.astype(bool)


def grow(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Dilation by a disc: every pixel no farther than ``radius_px`` from the mask. An empty mask stays empty."""
    if radius_px <= 0 or not mask.any():
        return mask
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    reach = math.ceil(radius_px)  # no pixel beyond it is near enough
    around = (
        slice(max(0, top - reach), top + height + reach),
        slice(max(0, left - reach), left + width + reach),
    )
    grown = np.zeros(mask.shape, bool)
    distance = cv2.distanceTransform((~mask[around]).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    np.less_equal(distance, radius_px, out=grown[around])
    return grown


def inside_photo(frame: CropFrame, photo_wh_px: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the crop pixels whose centre lies in the photo."""
    width, height = frame.size_wh_px
    if _inside(frame, photo_wh_px, np.array([0, width - 1]), np.array([0, height - 1])).all():  # then so is all between
        return np.ones((height, width), bool)
    return _inside(frame, photo_wh_px, np.arange(width), np.arange(height))


def _inside(frame: CropFrame, photo_wh_px: tuple[int, int], columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    m = frame.inverse()
    inside = np.ones((len(rows), len(columns)), bool)
    for axis in (0, 1):
        position = m[axis, 0] * columns + m[axis, 1] * rows[:, None] + m[axis, 2]
        inside &= (position >= -0.5) & (position <= photo_wh_px[axis] - 0.5)
    return inside


def outline_in_crop(region: Region, frame: CropFrame) -> np.ndarray:
    """The outline, filled, in crop pixels: (H, W) bool."""
    return fill_polygons([transform(frame.matrix(), p - 0.5) for p in outline(region)], frame.size_wh_px)


def polygons_of(mask: np.ndarray, tolerance_px: float = 1.0) -> tuple[Polygon, ...]:
    """Outer outlines of an (H, W) bool mask in outline coordinates, simplified by ``tolerance_px``; largest first.

    The outline runs along the outer edges of the pixels, so that a single pixel has an area.
    """
    doubled = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = [cv2.approxPolyDP(c, 2 * tolerance_px, True).reshape(-1, 2) for c in contours]
    polygons = sorted((p for p in polygons if len(p) >= 3), key=lambda p: (-cv2.contourArea(p), p.tolist()))
    return tuple(tuple((float(x + 0.5) / 2, float(y + 0.5) / 2) for x, y in p) for p in polygons)
