"""Where a crop lies in its photo, exactly, in both directions; and outlines that stay inside the frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from resight.segment.base import Region

Polygon = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]  # left, top, width, height in outline coordinates


@dataclass(frozen=True)
class CropFrame:
    """A similarity between photo and crop: turned about the centre of the region's box and scaled, never stretched.

    Attributes:
        center_xy: Centre of the region's box in outline coordinates of the photo; it becomes the centre of the crop.
        rotation_rad: Counter-clockwise turn, as the picture is seen, from photo to crop.
        scale: Crop pixels per photo pixel.
        size_wh_px: (width, height) of the crop.
    """

    center_xy: tuple[float, float]
    rotation_rad: float
    scale: float
    size_wh_px: tuple[int, int]

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> CropFrame:
        """From a row of the table ``crops`` whose status is ``ok``."""
        center = (row["bbox_x_px"] + row["bbox_width_px"] / 2, row["bbox_y_px"] + row["bbox_height_px"] / 2)
        size = (int(row["crop_width_px"]), int(row["crop_height_px"]))
        return cls(center, row["upright_rotation_rad"], row["crop_scale"], size)

    def rotation(self) -> np.ndarray:
        """(2, 2) matrix of the turn for column vectors, y down."""
        return rotation_matrix(self.rotation_rad)

    def matrix(self) -> np.ndarray:
        """(2, 3) affine matrix from photo to crop, for points with integers at pixel centres."""
        linear = self.scale * self.rotation()
        shift = np.array(self.size_wh_px) / 2 - 0.5 - linear @ (np.array(self.center_xy) - 0.5)
        return np.column_stack([linear, shift])

    def inverse(self) -> np.ndarray:
        """(2, 3) affine matrix from crop to photo."""
        linear = self.rotation().T / self.scale
        shift = np.array(self.center_xy) - 0.5 - linear @ (np.array(self.size_wh_px) / 2 - 0.5)
        return np.column_stack([linear, shift])

    def finer(self, factor: int) -> CropFrame:
        """The same window with ``factor`` times as many pixels a side."""
        width, height = self.size_wh_px
        return replace(self, scale=self.scale * factor, size_wh_px=(width * factor, height * factor))


def rotation_matrix(angle_rad: float) -> np.ndarray:
    """(2, 2); turns column vectors counter-clockwise as the picture is seen (y down)."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, s], [-s, c]])


def transform(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Apply a (2, 3) affine ``matrix`` to (N, 2) points."""
    return np.asarray(xy, np.float64).reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]


def crop_to_photo(xy_px: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """Points of a crop in its upright photo.

    Args:
        xy_px: (N, 2) in crop pixels, integers at pixel centres.
        row: The crop's row of the table ``crops``.

    Returns:
        (N, 2) float64 in photo pixels, integers at pixel centres.
    """
    return transform(CropFrame.of_row(row).inverse(), xy_px)


def photo_to_crop(xy_px: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """Points of an upright photo in a crop of it; the inverse of `crop_to_photo`."""
    return transform(CropFrame.of_row(row).matrix(), xy_px)


def frame_for(
    region: Region, photo_wh_px: tuple[int, int], pad_fraction: float, side_px: int, max_enlarge: float
) -> CropFrame:
    """The window to cut: the turned outline, padded on all sides, with ``side_px`` on its longer side.

    The padding is cut where it would leave the photo on both sides of the region. Where it leaves the photo on one side only,
    the window reaches beyond it, so that the region stays in the middle.
    """
    x, y, width, height = region.bbox_xywh_px
    center = np.array([x + width / 2, y + height / 2])
    turn = rotation_matrix(region.upright_rotation_rad).T
    half = np.abs((np.concatenate(outline(region)) - center) @ turn).max(axis=0)
    corners = np.array(box_polygon((0.0, 0.0, *map(float, photo_wh_px))))
    half = np.minimum(half + pad_fraction * 2 * half.max(), np.abs((corners - center) @ turn).max(axis=0))
    scale = min(side_px / (2 * half.max()), max_enlarge)
    size = np.maximum(1, np.round(2 * half * scale)).astype(int)
    return CropFrame(
        (float(center[0]), float(center[1])), region.upright_rotation_rad, float(scale), (int(size[0]), int(size[1]))
    )


def outline(region: Region) -> list[np.ndarray]:
    """The region's polygons, each (N, 2); those of its box where it has none."""
    polygons = region.polygons_xy_px or (box_polygon(region.bbox_xywh_px),)
    return [np.array(p, np.float64) for p in polygons]


def bounds(xy: np.ndarray) -> Box:
    """The smallest box around (N, 2) points, its sides along the axes."""
    (left, top), (right, bottom) = xy.min(axis=0), xy.max(axis=0)
    return float(left), float(top), float(right - left), float(bottom - top)


def box_polygon(bbox_xywh: Sequence[float]) -> Polygon:
    """The corners of a box, clockwise from the upper left."""
    x, y, w, h = bbox_xywh
    return ((x, y), (x + w, y), (x + w, y + h), (x, y + h))


def clip_region(region: Region, photo_wh_px: tuple[int, int]) -> Region | None:
    """Cut off what lies beyond the frame and make the box the bounds of what is left; None where nothing is.

    Polygons with fewer than three corners count for nothing; without any other, the box is the outline. A mask is taken
    as it is.
    """
    drawn = [p for p in region.polygons_xy_px if len(p) >= 3]
    polygons = tuple(clipped for p in drawn if len(clipped := clip_polygon(p, photo_wh_px)) >= 3)
    shapes = polygons if drawn else (clip_polygon(box_polygon(region.bbox_xywh_px), photo_wh_px),)
    corners = np.array([corner for shape in shapes for corner in shape])
    if not len(corners):
        return None
    box = bounds(corners)
    return replace(region, bbox_xywh_px=box, polygons_xy_px=polygons) if min(box[2:]) > 0 else None


def clip_polygon(polygon: Polygon, photo_wh_px: tuple[int, int]) -> Polygon:
    """Cut ``polygon`` to the frame (Sutherland and Hodgman, Communications of the ACM 17, 1974); empty where nothing is left.

    Pieces of a concave outline stay joined along the frame's edge, which changes neither a filled shape nor its bounds.
    """
    points = [(float(x), float(y)) for x, y in polygon]
    for axis, limit, sign in ((0, 0, 1), (1, 0, 1), (0, photo_wh_px[0], -1), (1, photo_wh_px[1], -1)):
        points = _clip_half_plane(points, axis, float(limit), sign)
    return tuple(points)


def _clip_half_plane(
    points: list[tuple[float, float]], axis: int, limit: float, sign: int
) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for before, point in zip(points[-1:] + points[:-1], points, strict=True):
        inside = sign * (point[axis] - limit) >= 0
        if inside != (sign * (before[axis] - limit) >= 0):
            share = (limit - before[axis]) / (point[axis] - before[axis])
            crossing = [before[0] + share * (point[0] - before[0]), before[1] + share * (point[1] - before[1])]
            crossing[axis] = limit
            kept.append((crossing[0], crossing[1]))
        if inside:
            kept.append(point)
    return kept
