"""From an animal, a camera and an occasion to a picture with known truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from resight.demo.noise import caustics, mix, shade, smoothstep, value_noise
from resight.demo.scene import Look, Water, backdrop, through_the_camera, water_of
from resight.demo.shape import View, look_at, skin_normal, surface_theta, trace
from resight.demo.skin import head_shape, seam_distance_px, skin_texture, worn_texture
from resight.demo.unroll import to_texture
from resight.status import Viewpoint

_STRIDE = 4  # the surface is traced at every fourth pixel and interpolated between
_FAR = np.float32(1e6)


@dataclass(frozen=True)
class HeadRender:
    """A picture with what is true about it.

    Attributes:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool, pixels of the head (without the neck).
        body_mask: (H, W) bool, pixels of the animal.
        view: Camera and pose; `View.surface_at` and `View.project` lead from pixel to skin and back.
    """

    rgb: np.ndarray
    mask: np.ndarray
    body_mask: np.ndarray
    view: View


@dataclass(frozen=True)
class _Part:
    """A part of the animal as painted into a window of the picture.

    Attributes:
        window: Rows and columns of the picture.
        rgb: (h, w, 3) float32.
        cover: (h, w), 0 to 1.
        depth: (h, w), in head lengths.
        x: (h, w) skin coordinate, for the part that is the head.
    """

    window: tuple[slice, slice]
    rgb: np.ndarray
    cover: np.ndarray
    depth: np.ndarray
    x: np.ndarray | None = None


def make_view(
    individual_seed: int,
    viewpoint: Viewpoint,
    *,
    yaw_deg: float = 0.0,
    roll_deg: float = 0.0,
    tilt_deg: float = 0.0,
    head_px: float = 420.0,
    distance: float = 5.0,
    centre_xy_px: tuple[float, float] | None = None,
    size_wh_px: tuple[int, int] = (1200, 900),
) -> View:
    """A camera on one animal; see `look_at` for the angles. The head is in the middle unless ``centre_xy_px`` is given."""
    width, height = size_wh_px
    return View(
        rotation=look_at(viewpoint, yaw_deg, roll_deg, tilt_deg),
        distance=distance,
        head_px=head_px,
        centre_xy_px=centre_xy_px or (width / 2, height / 2),
        size_wh_px=size_wh_px,
        shape=head_shape(individual_seed),
        viewpoint=viewpoint,
    )


def render_head(
    individual_seed: int, view: View, look: Look | None = None, shapes: Sequence[BodyShape] | None = None
) -> HeadRender:
    """Picture of an animal.

    Args:
        individual_seed: The animal; the same seed always has the same skin.
        view: From `make_view`.
        look: Place, day and shot; None gives a clean picture on grey, without water or camera.
        shapes: Shell and flippers; None takes those of a swimming animal.
    """
    water = water_of(look) if look else Water(np.full(3, 0.5), np.ones(3), 1.0, 0.0)
    rng = np.random.default_rng([look.encounter_seed if look else 0, 10])
    texture = worn_texture(individual_seed, look.encounter_seed) if look else skin_texture(individual_seed)
    parts = [_ellipsoid(view, shape, individual_seed, water) for shape in (shapes or _body_shapes())]
    parts.append(_head(view, texture, water, rng))  # last: only its edge must be clean
    width, height = view.size_wh_px
    canvas = backdrop(look, view.size_wh_px) if look else np.full((height, width, 3), 0.5, np.float32)
    canvas, head, body = _compose(canvas, [part for part in parts if part], water)
    rgb = through_the_camera(canvas, look) if look else np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)
    return HeadRender(rgb, head, body, view)


def correspondences(view_a: View, view_b: View, step_px: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    """Points of the skin that both views show.

    Returns:
        Pixels (N, 2) of the first view on a grid of ``step_px`` over the head, and where the second view has the same points of
        the skin (N, 2); both float64 and exact to about 0.01 px. Empty where the views share nothing.
    """
    width, height = view_a.size_wh_px
    xy_a = np.stack(np.meshgrid(np.arange(0, width, step_px), np.arange(0, height, step_px)), -1).reshape(-1, 2)
    xyz, hit = view_a.surface_at(xy_a)
    keep = hit & (xyz[:, 0] > 0)
    xy_a, xyz = xy_a[keep], xyz[keep]
    seen = view_b.visible(xyz) if len(xyz) else np.zeros(0, bool)
    return xy_a[seen], view_b.project(xyz[seen])[0]


class _Grid:
    """Every `_STRIDE`-th pixel of a picture, placed so that `cv2.resize` puts what is computed there back in its place."""

    def __init__(self, view: View) -> None:
        self.size_wh_px = view.size_wh_px
        self.columns, self.rows = (-(-n // _STRIDE) for n in view.size_wh_px)
        x, y = np.meshgrid(np.arange(self.columns, dtype=np.float32), np.arange(self.rows, dtype=np.float32))
        self.xy_px = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) * _STRIDE - np.float32(0.5)

    def enlarge(self, fields: list[np.ndarray], gap_px: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray] | None:
        """All pixels of the smallest window in which ``gap_px`` is small somewhere.

        Args:
            fields: Arrays (N,) or (N, k) over the grid.
            gap_px: Distance (N,) of every ray from the part, in pixels.

        Returns:
            Rows and columns of the window, and (h, w, channels) float32; None where the picture does not show the part.
        """
        near = (gap_px < 2 * _STRIDE).reshape(self.rows, self.columns)
        if not near.any():
            return None
        top, bottom = _extent(np.flatnonzero(near.any(axis=1)), self.rows)
        left, right = _extent(np.flatnonzero(near.any(axis=0)), self.columns)
        stack = np.concatenate([f.reshape(self.rows, self.columns, -1)[top:bottom, left:right] for f in fields], -1)
        large = cv2.resize(stack.astype(np.float32), None, fx=_STRIDE, fy=_STRIDE, interpolation=cv2.INTER_LINEAR)
        width, height = self.size_wh_px
        rows = slice(top * _STRIDE, min(bottom * _STRIDE, height))
        columns = slice(left * _STRIDE, min(right * _STRIDE, width))
        return (rows, columns), large[: rows.stop - rows.start, : columns.stop - columns.start]


def _extent(where: np.ndarray, n: int) -> tuple[int, int]:
    """First and last-plus-one of ascending places among ``n``, with two places of margin."""
    return max(int(where[0]) - 2, 0), min(int(where[-1]) + 3, n)


def _head(view: View, texture: np.ndarray, water: Water, rng: np.random.Generator) -> _Part | None:
    grid = _Grid(view)
    xyz, miss, depth = trace(view, grid.xy_px, steps=20)
    normal = skin_normal(view.shape, xyz) @ view.rotation.T.astype(np.float32)
    gap_px = np.minimum(miss, 1.0) * view.head_px
    shown = grid.enlarge([xyz, normal, gap_px, np.where(np.isfinite(depth), depth, view.distance)], gap_px)
    if shown is None:
        return None
    window, maps = shown
    point, up, gap, far = maps[..., :3], maps[..., 3:6], maps[..., 6], maps[..., 7]
    column, row = to_texture(point[..., 0], surface_theta(view.shape, point))
    rgb = cv2.remap(texture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32) / 255
    rgb = shade(rgb, _light(up, water, _dapple(view, point, rng)) + _gloss(up))
    return _Part(window, rgb, np.clip(1.6 - gap, 0, 1), far, point[..., 0])


@lru_cache(maxsize=8)
def _caustic_tile(seed: int) -> np.ndarray:
    return caustics(np.random.default_rng([seed, 11]), (512, 512), 90)


def _dapple(view: View, point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Caustics on the head, thrown from above: (H, W), 0 to 1."""
    tile = _caustic_tile(int(rng.integers(1 << 30)))
    seen = (point - view.PIVOT.astype(np.float32)) @ view.rotation.T.astype(np.float32)
    fold = [np.abs((seen[..., axis] * 230 + 300 + 511) % 1022 - 511).astype(np.float32) for axis in (0, 2)]
    return cv2.remap(tile, fold[0], fold[1], cv2.INTER_LINEAR)


def _light(normal: np.ndarray, water: Water, dapple: np.ndarray | float = 0.0) -> np.ndarray:
    """Light on surfaces with normals (H, W, 3) in the camera frame: sun from above, and reflections of sand and water."""
    from_above = np.clip(0.86 * normal[..., 1] + 0.5 * normal[..., 2], 0, 1)
    from_below = np.clip(-normal[..., 1], 0, 1)
    toward = np.clip(normal[..., 2], 0, 1)
    direct = water.sun * from_above * (0.62 + water.caustic * dapple)
    return (0.34 + 0.20 * toward + 0.10 * from_below + direct).astype(np.float32)


def _gloss(normal: np.ndarray) -> np.ndarray:
    """Wet shine."""
    half = np.array([0.0, 0.55, 0.83], np.float32)
    return np.float32(0.22) * np.clip(normal @ half, 0, 1) ** 28


@dataclass(frozen=True)
class BodyShape:
    """An ellipsoid of the body in the animal frame, in head lengths; ``kind`` is ``shell`` or ``flipper``."""

    centre: tuple[float, float, float]
    semi: tuple[float, float, float]
    turn_deg: tuple[float, float, float]
    kind: str


def _body_shapes() -> list[BodyShape]:
    flippers = [
        BodyShape((-1.22, -0.70, 0.95 * side), (0.32, 0.85, 0.075), (-38.0 * side, 0.0, -32.0), "flipper")
        for side in (-1, 1)
    ]
    return [BodyShape((-2.62, 0.12, 0.0), (2.05, 0.66, 1.55), (0.0, 0.0, 4.0), "shell"), *flippers]


def _ellipsoid(view: View, shape: BodyShape, individual_seed: int, water: Water) -> _Part | None:
    """An ellipsoid as it is seen, or None where the picture does not show it."""
    grid = _Grid(view)
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(shape.turn_deg)):
        turn = cv2.Rodrigues(np.eye(3)[axis] * angle)[0] @ turn
    to_unit = np.diag(1 / np.array(shape.semi)) @ turn.T
    origin = (to_unit @ (view.camera - np.array(shape.centre))).astype(np.float32)
    ray = view.rays(grid.xy_px) @ to_unit.T.astype(np.float32)
    a, b, c = np.sum(ray * ray, 1), ray @ origin, float(origin @ origin) - 1.0
    inside = b * b - a * c
    depth = (-b - np.sqrt(np.maximum(inside, 0))) / a
    unit = origin + depth[:, None] * ray
    closest = np.sqrt(np.maximum(c + 1 - b * b / a, 0))
    gap_px = np.clip((closest - 1.0) * min(shape.semi[:2]) * view.head_px, 0, 60)
    gap_px[depth < 0.3] = 60
    normal = (unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)) @ to_unit.astype(np.float32)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    shown = grid.enlarge([unit, normal @ view.rotation.T.astype(np.float32), gap_px, depth], gap_px)
    if shown is None:
        return None
    window, maps = shown
    texture = plates(individual_seed, shape.kind)
    second = maps[..., 2] if shape.kind == "shell" else maps[..., 1]
    side = texture.shape[0] - 1
    rgb = cv2.remap(texture, (maps[..., 0] + 1) * (side / 2), (second + 1) * (side / 2), cv2.INTER_LINEAR)
    if shape.kind == "shell":
        rgb = mix(rgb, (0.80, 0.70, 0.48), smoothstep(-0.25, -0.45, maps[..., 1]))
    return _Part(window, shade(rgb, _light(maps[..., 3:6], water)), np.clip(1.6 - maps[..., 6], 0, 1), maps[..., 7])


@lru_cache(maxsize=32)
def plates(individual_seed: int, kind: str) -> np.ndarray:
    """Scutes of the carapace (seen from above) or of a flipper, (512, 512, 3) float32."""
    rng = np.random.default_rng([individual_seed, 12 if kind == "shell" else 13])
    across = 5 if kind == "shell" else 9
    spots = (np.stack(np.meshgrid(np.arange(across), np.arange(across)), -1).reshape(-1, 2) + 0.5) * (512 / across)
    spots += rng.normal(0, 512 / across * 0.18, spots.shape)
    picture = np.full((512, 512), 255, np.uint8)
    spots = np.clip(spots, 0, 511).astype(int)
    picture[spots[:, 1], spots[:, 0]] = 0
    away, labels = cv2.distanceTransformWithLabels(picture, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    gap = seam_distance_px(labels)
    noise = value_noise(rng, (512, 512), 60, 5)
    tint = rng.normal(0, 0.12, int(labels.max()) + 1).astype(np.float32)[labels]
    plate = mix((0.40, 0.26, 0.14), (0.60, 0.46, 0.26), np.clip(0.35 + noise * 0.4 + tint, 0, 1))
    plate = shade(plate, 1 + 0.10 * np.sin(away / 5 + 3 * noise))
    seam = (0.62, 0.53, 0.36) if kind == "shell" else (0.84, 0.76, 0.58)
    return mix(seam, plate, smoothstep(1.0, 5.0 if kind == "shell" else 9.0, gap))


def _compose(canvas: np.ndarray, parts: list[_Part], water: Water) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parts over the background, nearest on top, seen through the water; with the masks of head and animal."""
    nearest = np.full(canvas.shape[:2], _FAR)
    head, body = np.zeros((2, *canvas.shape[:2]), bool)
    haze, clear = (water.veil * (1 - water.transmission)).astype(np.float32), water.transmission.astype(np.float32)
    for part in parts:
        shown = part.cover * (part.depth < nearest[part.window] + np.float32(0.02))
        veiled = cv2.merge([p * c + h for p, c, h in zip(cv2.split(part.rgb), clear, haze, strict=True)])
        canvas[part.window] = mix(canvas[part.window], veiled, shown)
        solid = shown > 0.5
        nearest[part.window][solid] = part.depth[solid]
        body[part.window] |= solid
        if part.x is not None:
            head[part.window] = solid & (part.x > 0)
    return canvas, head, body
