"""The turtle's head as a surface in space, the camera, and the exact way from a pixel to the skin and back.

Animal frame, in head lengths: x to the snout (tip at 1, back of the skull at 0, neck below 0), y up, z to the animal's right.
Camera frame: x right, y up, z towards the camera, which looks along -z. A point of the skin has two coordinates: x, and the
angle theta around the axis (0 on the crown, positive on the right side, pi under the chin).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from resight.status import Viewpoint

X_MIN, X_MAX = -1.3, 1.06
_N_TABLE = 2048
_BOX_LOW, _BOX_HIGH = np.array([-1.3, -0.5, -0.45]), np.array([1.03, 0.5, 0.45])

# Outline in profile and from above: x, crown, chin, half width, in head lengths.
_OUTLINE = np.array(
    [
        (-1.40, 0.30, -0.42, 0.40),
        (-1.00, 0.27, -0.41, 0.36),
        (-0.60, 0.235, -0.385, 0.31),
        (-0.25, 0.250, -0.350, 0.280),
        (0.00, 0.300, -0.325, 0.290),
        (0.20, 0.335, -0.325, 0.305),
        (0.40, 0.338, -0.310, 0.290),
        (0.58, 0.318, -0.290, 0.255),
        (0.70, 0.290, -0.265, 0.222),
        (0.80, 0.245, -0.240, 0.190),
        (0.87, 0.190, -0.205, 0.165),
        (0.91, 0.150, -0.190, 0.150),
        (0.95, 0.105, -0.225, 0.132),
        (0.98, 0.060, -0.265, 0.118),
        (1.10, -0.05, -0.300, 0.090),
    ]
)


@dataclass(frozen=True)
class HeadShape:
    """Proportions of one animal relative to the species."""

    height: float = 1.0
    width: float = 1.0


@lru_cache(maxsize=64)
def _tables(shape: HeadShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre height, half height and half width, each sampled over x from `X_MIN` to `X_MAX`; the snout is rounded off."""
    x = np.linspace(X_MIN, X_MAX, _N_TABLE)
    crown, chin, half_width = (np.interp(x, _OUTLINE[:, 0], _OUTLINE[:, i]) for i in (1, 2, 3))
    kernel = np.exp(-0.5 * (np.arange(-60, 61) / 14.0) ** 2)
    kernel /= kernel.sum()
    crown, chin, half_width = (np.convolve(np.pad(v, 60, "edge"), kernel, "valid") for v in (crown, chin, half_width))
    cap = np.sqrt(np.clip(1.0 - (np.clip(x - 0.87, 0, None) / 0.13) ** 3, 0.0, 1.0))
    half_height = np.maximum((crown - chin) / 2 * shape.height * cap, 4e-3)
    return (crown + chin) / 2 * shape.height, half_height, np.maximum(half_width * shape.width * cap, 4e-3)


def cross_section(shape: HeadShape, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre height, half height and half width of the ellipse at ``x``; all in head lengths, shaped like ``x``."""
    position = np.clip((x - X_MIN) * ((_N_TABLE - 1) / (X_MAX - X_MIN)), 0, _N_TABLE - 1.001)
    index = position.astype(np.int32)
    part = position - index
    first, second, third = ((t[index] * (1 - part) + t[index + 1] * part) for t in _tables(shape))
    return first, second, third


def surface_point(shape: HeadShape, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Skin coordinates to space: (..., 3) in the animal frame."""
    centre, a, b = cross_section(shape, x)
    return np.stack([x, centre + a * np.cos(theta), b * np.sin(theta)], axis=-1)


def surface_theta(shape: HeadShape, xyz: np.ndarray) -> np.ndarray:
    """Angle around the axis of points (..., 3) of the skin, -pi to pi."""
    centre, a, b = cross_section(shape, xyz[..., 0])
    return np.arctan2(xyz[..., 2] / b, (xyz[..., 1] - centre) / a)


def skin_chart(shape: HeadShape, xyz: np.ndarray) -> np.ndarray:
    """Points (..., 3) of the skin unrolled into a plane: along the head and around it, both in head lengths, (..., 2)."""
    _, a, b = cross_section(shape, xyz[..., 0])
    return np.stack([xyz[..., 0], surface_theta(shape, xyz) * np.sqrt(a * b)], axis=-1)


def height_above_skin(shape: HeadShape, xyz: np.ndarray) -> np.ndarray:
    """Roughly how far points (..., 3) lie outside the head (negative: inside), never much too large."""
    centre, a, b = cross_section(shape, xyz[..., 0])
    radius = np.sqrt(((xyz[..., 1] - centre) / a) ** 2 + (xyz[..., 2] / b) ** 2)
    return np.maximum((radius - 1.0) * np.minimum(a, b), xyz[..., 0] - 1.0)


def skin_normal(shape: HeadShape, xyz: np.ndarray) -> np.ndarray:
    """Outward unit normals at points (..., 3) of the skin."""
    step = 4e-3
    grad = np.empty_like(xyz)
    for axis in range(3):
        shift = np.zeros(3, xyz.dtype)
        shift[axis] = step
        grad[..., axis] = height_above_skin(shape, xyz + shift) - height_above_skin(shape, xyz - shift)
    return grad / np.maximum(np.linalg.norm(grad, axis=-1, keepdims=True), 1e-9)


@dataclass(frozen=True)
class View:
    """A camera and an animal in front of it.

    Attributes:
        rotation: Animal frame to camera frame, (3, 3).
        distance: Camera to the middle of the head, in head lengths.
        head_px: Pixels per head length at that distance.
        centre_xy_px: Where the middle of the head (x = 0.45) is seen.
        size_wh_px: Picture size.
        shape: The animal's proportions.
        viewpoint: Side that is meant to be seen.
    """

    rotation: np.ndarray
    distance: float
    head_px: float
    centre_xy_px: tuple[float, float]
    size_wh_px: tuple[int, int]
    shape: HeadShape = field(default_factory=HeadShape)
    viewpoint: Viewpoint = Viewpoint.UNKNOWN

    PIVOT = np.array([0.45, 0.0, 0.0])

    @property
    def camera(self) -> np.ndarray:
        """Position of the camera in the animal frame, (3,)."""
        return self.PIVOT + self.rotation.T @ np.array([0.0, 0.0, self.distance])

    def project(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (N, 3) of the animal frame to pixels (N, 2) and their depth along the optical axis (N,)."""
        seen = (xyz - self.PIVOT) @ self.rotation.T
        depth = self.distance - seen[:, 2]
        scale = self.head_px * self.distance / depth
        x, y = self.centre_xy_px[0] + seen[:, 0] * scale, self.centre_xy_px[1] - seen[:, 1] * scale
        return np.stack([x, y], axis=1), depth

    def rays(self, xy_px: np.ndarray) -> np.ndarray:
        """Directions (..., 3) in the animal frame through pixels (..., 2), with length 1 along the optical axis."""
        x = (xy_px[..., 0] - self.centre_xy_px[0]) / (self.head_px * self.distance)
        y = -(xy_px[..., 1] - self.centre_xy_px[1]) / (self.head_px * self.distance)
        return np.stack([x, y, -np.ones_like(x)], axis=-1) @ self.rotation.astype(xy_px.dtype)

    def surface_at(self, xy_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Skin points (N, 3) seen at pixels (N, 2), and whether there is skin at all (N,) bool."""
        xyz, miss, _ = trace(self, np.asarray(xy_px, np.float64), steps=120)
        return xyz, miss < 1e-4

    def visible(self, xyz: np.ndarray) -> np.ndarray:
        """Whether skin points (N, 3) are seen: turned to the camera, unhidden by the head, and inside the picture."""
        xy, _ = self.project(xyz)
        first, hit = self.surface_at(xy)
        same = hit & (np.linalg.norm(first - xyz, axis=1) < 5e-3)
        facing = np.sum(skin_normal(self.shape, xyz) * (self.camera - xyz), axis=1) > 0
        width, height = self.size_wh_px
        return same & facing & (xy[:, 0] >= 0) & (xy[:, 0] <= width - 1) & (xy[:, 1] >= 0) & (xy[:, 1] <= height - 1)


def trace(view: View, xy_px: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow the rays through pixels (N, 2) to the head.

    Returns:
        Points (N, 3) where each ray first meets the skin or else comes closest to it; how far that is from the skin (N,), in
        head lengths, infinite where the ray passes by altogether; depth (N,).
    """
    direction = view.rays(xy_px)
    origin = view.camera.astype(xy_px.dtype)
    near, far = _box_span(origin, direction)
    live = near < far
    t, end = near[live], far[live]
    rays = direction[live]
    best_t, best_gap = t.copy(), np.full(t.shape, np.inf, t.dtype)
    for _ in range(steps):
        gap = height_above_skin(view.shape, origin + t[:, None] * rays)
        closer = gap < best_gap
        best_gap = np.where(closer, gap, best_gap)
        best_t = np.where(closer, t, best_t)
        t = np.minimum(t + np.clip(gap * 0.75, -0.05, 0.12), end)
    depth, miss = np.full((2, len(xy_px)), np.inf, xy_px.dtype)
    depth[live], miss[live] = best_t, np.maximum(best_gap, 0.0)
    points = origin + np.where(np.isfinite(depth), depth, 0.0)[:, None] * direction
    return points, miss, depth


def _box_span(origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter and leave the box around head and neck; they miss it where the first is not below the second."""
    safe = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
    to_low, to_high = (_BOX_LOW - origin) / safe, (_BOX_HIGH - origin) / safe
    span = np.minimum(to_low, to_high).max(axis=-1), np.maximum(to_low, to_high).min(axis=-1)
    return span[0].astype(direction.dtype), span[1].astype(direction.dtype)


_FACING = {
    Viewpoint.RIGHT: (0.0, 0.0),
    Viewpoint.LEFT: (180.0, 0.0),
    Viewpoint.FRONT: (-90.0, 0.0),
    Viewpoint.TOP: (0.0, 90.0),
}


def look_at(viewpoint: Viewpoint, yaw_deg: float = 0.0, roll_deg: float = 0.0, tilt_deg: float = 0.0) -> np.ndarray:
    """Rotation (3, 3) from the animal frame to the camera frame.

    Args:
        viewpoint: left, right, top or front.
        yaw_deg: Positive turns the snout towards the camera in a side view.
        roll_deg: Positive shows more of the crown.
        tilt_deg: Turn in the picture plane, counter-clockwise as it is seen.
    """
    turn, lift = _FACING[viewpoint]
    mirrored = -1.0 if viewpoint is Viewpoint.LEFT else 1.0
    about_y = _rotation(1, turn - mirrored * yaw_deg)
    return _rotation(2, tilt_deg) @ _rotation(0, lift + roll_deg) @ about_y


def _rotation(axis: int, angle_deg: float) -> np.ndarray:
    vector = np.zeros(3)
    vector[axis] = np.deg2rad(angle_deg)
    return cv2.Rodrigues(vector)[0]
