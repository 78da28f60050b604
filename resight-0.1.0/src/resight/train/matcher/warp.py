"""Other views of a picture: turned, tilted, bent, seen around a rounded head; every keypoint maps back to the picture exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from resight.train.matcher.truth import Placed, carried

_STRIDE = 4
_SEEN_RAD = 1.25  # how far around the head the skin is still seen


@dataclass(frozen=True)
class Warp:
    """A smooth map from pixels of a view back to pixels of the picture.

    Attributes:
        size_wh_px: Of the view.
        homography: (3, 3), pixels of the view to places on the head, -1 to 1 along its longer side.
        axis_rad: Direction around which the head is turned.
        roundness: Sine of the angle at which the head's edge is seen, 0 (flat) to below 1.
        turn_rad: How far it is turned.
        bend: Thin-plate displacement of places.
        centre_xy_px, unit_px: From places to pixels of the picture.
    """

    size_wh_px: tuple[int, int]
    homography: np.ndarray
    axis_rad: float
    roundness: float
    turn_rad: float
    bend: RBFInterpolator
    centre_xy_px: np.ndarray
    unit_px: float

    def to_picture(self, xy_px: np.ndarray) -> np.ndarray:
        """(N, 2) pixels of the view to (N, 2) float64 pixels of the picture; NaN where the head turns away."""
        lifted = np.column_stack([xy_px, np.ones(len(xy_px))]) @ self.homography.T
        place = self._around(lifted[:, :2] / np.where(np.abs(lifted[:, 2:]) < 1e-6, 1e-6, lifted[:, 2:]))
        seen = np.isfinite(place).all(1)
        out = np.full(place.shape, np.nan)
        if seen.any():
            out[seen] = self.centre_xy_px + self.unit_px * (place[seen] + self.bend(place[seen]))
        return out

    def _around(self, place: np.ndarray) -> np.ndarray:
        """On a cylinder seen from afar a point at ``sin(t)`` comes to ``sin(t + turn)``."""
        if self.roundness < 1e-3:
            return place
        c, s = math.cos(self.axis_rad), math.sin(self.axis_rad)
        across, along = place @ (c, s), place @ (-s, c)
        with np.errstate(invalid="ignore"):
            angle = np.arcsin(across * self.roundness) - self.turn_rad
        across = np.where(np.abs(angle) < _SEEN_RAD, np.sin(angle), np.nan) / self.roundness
        return np.column_stack([across * c - along * s, across * s + along * c])


def draw_warp(
    rng: np.random.Generator, size_wh_px: tuple[int, int], zoom: tuple[float, float] = (0.75, 1.35), plain: bool = False
) -> Warp:
    """A random view of a picture of this size.

    Args:
        rng: Source of randomness.
        size_wh_px: Of the picture and of the view.
        zoom: Range of pixels of the view per pixel of the picture.
        plain: The picture as it is instead.
    """
    unit = max(size_wh_px) / 2
    centre = np.array(size_wh_px) / 2 - 0.5
    if plain:
        flat = RBFInterpolator(np.eye(3, 2), np.zeros((3, 2)), kernel="thin_plate_spline")
        return Warp(size_wh_px, _to_places(centre, unit), 0.0, 0.0, 0.0, flat, centre, unit)
    turn = rng.normal(0, 0.25) if rng.random() < 0.85 else rng.uniform(-math.pi, math.pi)
    grow = math.exp(rng.uniform(math.log(zoom[0]), math.log(zoom[1])))
    stretch = np.diag(np.exp(rng.normal(0, 0.08, 2)))
    c, s = math.cos(turn), math.sin(turn)
    shear = np.array([[1, rng.normal(0, 0.08)], [0, 1]])
    linear = np.array([[c, -s], [s, c]]) @ stretch @ shear / grow
    project = np.eye(3)
    project[:2, :2], project[2, :2] = linear, rng.normal(0, 0.08, 2)
    project[:2, 2] = rng.normal(0, 0.06, 2)
    knots = rng.uniform(-1, 1, (10, 2))
    bend = RBFInterpolator(knots, rng.normal(0, 0.02, (10, 2)), kernel="thin_plate_spline", smoothing=0.05)
    axis = rng.normal(0, 0.35) if rng.random() < 0.75 else rng.normal(math.pi / 2, 0.35)
    round_ = float(rng.uniform(0.4, 0.85)) if rng.random() < 0.7 else 0.0
    return Warp(
        size_wh_px, project @ _to_places(centre, unit), float(axis), round_, float(np.clip(rng.normal(0, 0.32), -0.8, 0.8)), bend, centre, unit
    )  # fmt: skip


def _to_places(centre_xy_px: np.ndarray, unit_px: float) -> np.ndarray:
    x, y = centre_xy_px / unit_px
    return np.array([[1 / unit_px, 0, -x], [0, 1 / unit_px, -y], [0, 0, 1]])


def apply(warp: Warp, rgb: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The view (h, w, 3) uint8 of a picture, and what of ``mask`` (H, W) bool it shows."""
    width, height = warp.size_wh_px
    grid = [np.arange(0, n + _STRIDE, _STRIDE, dtype=np.float64) for n in (width, height)]
    xy = np.stack(np.meshgrid(*grid), -1).reshape(-1, 2)
    coarse = warp.to_picture(xy).reshape(len(grid[1]), len(grid[0]), 2)
    lost = ~np.isfinite(coarse).all(-1)
    coarse = np.where(lost[..., None], -1e4, coarse).astype(np.float32)
    at = np.float32(1 / _STRIDE)
    column, row = np.meshgrid(np.arange(width, dtype=np.float32) * at, np.arange(height, dtype=np.float32) * at)
    x, y = (cv2.remap(np.ascontiguousarray(coarse[..., i]), column, row, cv2.INTER_LINEAR) for i in (0, 1))
    view = cv2.remap(rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    shown = cv2.remap(mask.astype(np.uint8), x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    return view, shown > 0


def place_keypoints(
    warp: Warp, xy_px: np.ndarray, sigma_px: np.ndarray, angle_rad: np.ndarray, covered: np.ndarray
) -> Placed:
    """Keypoints of a view in the picture that it shows; those that are ``covered`` (N,) by something else lie nowhere."""
    xy, area, angle = carried(warp.to_picture, np.asarray(xy_px, np.float64), angle_rad)
    lost = covered | ~np.isfinite(xy).all(1) | ~np.isfinite(area) | ~np.isfinite(angle) | (area < 1e-6)
    px_per_unit = np.where(lost, 1.0, 1 / np.sqrt(np.where(lost, 1.0, area)))
    place = np.column_stack([np.where(lost[:, None], np.nan, xy), np.zeros(len(xy))])
    return Placed(
        place.astype(np.float32),
        px_per_unit.astype(np.float32),
        np.asarray(sigma_px, np.float32),
        np.where(lost, 0.0, angle).astype(np.float32),
        np.ones(len(xy), bool),
    )
