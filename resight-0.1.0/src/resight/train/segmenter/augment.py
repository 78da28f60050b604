"""From a sample to what the network sees: turned, scaled, mirrored, and put under other water."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from resight.segment.learned.network import MAP_STRIDE, SWAPPED, VIEWS
from resight.train.segmenter.samples import SNOUT_RAD, OutlinedPhoto, wrapped
from resight.train.segmenter.scenes import blended
from resight.train.water import daylight, under_water

NONE = VIEWS.index("none")
SWAPPED_SHARE = 0.35  # of the windows with a head: another background, if the animal is cut out
HUGE_SHARE = 0.1  # of the windows for the first look: so near that they show little but head


@dataclass(frozen=True)
class Example:
    """Input and desired answer of one look.

    Attributes:
        rgb: (S, S, 3) uint8.
        head: (S/4, S/4) float32, share of the cell that is head.
        body: (S/4, S/4) float32, whether the cell lies in the body's box; NaN if none is drawn.
        along: (2, S/4, S/4) float32: where on the head a cell lies, from neck to snout and from throat to crown, -1 to 1; NaN
            outside of the head and if the truth is unknown.
        view: Index in `VIEWS`; -1 if undecided.
        upright_rad: Turn that brings the head upright; NaN if unknown.
    """

    rgb: np.ndarray
    head: np.ndarray
    body: np.ndarray
    along: np.ndarray
    view: int
    upright_rad: float


@dataclass(frozen=True)
class Views:
    """The same photo twice: the whole frame, and the surroundings of the head at the resolution of the second look."""

    wide: OutlinedPhoto
    close: OutlinedPhoto


def example(views: Views, side_px: int, rng: np.random.Generator, scenes: Sequence[np.ndarray] = ()) -> Example:
    """A window of a photo: for the first look anywhere in it, for the second about the head, or without any head.

    Animals that are cut out are at times put before one of ``scenes``, (h, w, 3) uint8 each.
    """
    chance = rng.random()
    if chance < 0.10 or not len(views.wide.head_xy_px):
        return _empty_example(views.wide, side_px, rng)
    behind = scenes[int(rng.integers(len(scenes)))] if scenes and rng.random() < SWAPPED_SHARE else None
    if chance < 0.54:
        return _wide_example(views, side_px, rng, behind)
    return _close_example(views.close, side_px, rng, behind)


def _wide_example(views: Views, side_px: int, rng: np.random.Generator, behind: np.ndarray | None) -> Example:
    """Heads of 9 to 90 px, small and large ones alike, whatever size they have in the photo; some fill the window."""
    low, high = (90, 1.5 * side_px) if rng.random() < HUGE_SHARE else (9, 90)
    head_px = math.exp(rng.uniform(math.log(low), math.log(high)))
    photo_head_px = float(np.ptp(views.wide.head_xy_px, axis=0).max())
    sample = views.wide if photo_head_px * 1.3 >= head_px else views.close
    scale = head_px / float(np.ptp(sample.head_xy_px, axis=0).max())
    turn = _turn(rng, upright_share=0.85)
    centre = _wide_centre(sample, side_px / scale, rng)
    return _example(sample, _affine(centre, scale, turn, rng.random() < 0.5, side_px), side_px, rng, behind)


def _close_example(sample: OutlinedPhoto, side_px: int, rng: np.random.Generator, behind: np.ndarray | None) -> Example:
    """The head's region as the first look may have found it, well or badly."""
    low, high = sample.head_xy_px.min(0), sample.head_xy_px.max(0)
    head_px = float((high - low).max())
    scale = side_px / head_px / math.exp(rng.uniform(math.log(1.5), math.log(3.4)))
    centre = (low + high) / 2 + rng.normal(0, 0.18, 2) * head_px
    turn = _turn(rng, upright_share=0.78)
    return _example(sample, _affine(centre, scale, turn, rng.random() < 0.5, side_px), side_px, rng, behind)


def _turn(rng: np.random.Generator, upright_share: float) -> float:
    """Photos are mostly level; some lie on their side or stand on their head, a few anything."""
    chance = rng.random()
    if chance < upright_share:
        return float(rng.normal(0, 0.3))
    quarter = float(rng.integers(1, 4)) * math.pi / 2 + float(rng.normal(0, 0.15))
    return quarter if chance < upright_share + 0.6 * (1 - upright_share) else float(rng.uniform(-math.pi, math.pi))


def _wide_centre(sample: OutlinedPhoto, window_px: float, rng: np.random.Generator) -> np.ndarray:
    height, width = sample.rgb.shape[:2]
    if len(sample.head_xy_px) and rng.random() < 0.85:
        middle = (sample.head_xy_px.min(0) + sample.head_xy_px.max(0)) / 2
        reach = window_px * 0.42
        centre = middle + rng.uniform(-reach, reach, 2)
    else:
        centre = rng.uniform(0, 1, 2) * (width, height)
    # A window that hardly leaves the photo teaches more than one full of its border.
    margin = np.minimum(window_px * 0.4, np.array([width, height]) / 2)
    return np.asarray(np.clip(centre, margin, np.array([width, height]) - margin))


def _empty_example(sample: OutlinedPhoto, side_px: int, rng: np.random.Generator) -> Example:
    """A window without a head in its middle half: body, flipper, ground, water."""
    height, width = sample.rgb.shape[:2]
    window = rng.uniform(0.15, 0.6) * max(height, width)
    for _ in range(12):
        centre = rng.uniform(0.05, 0.95, 2) * (width, height)
        if not len(sample.head_xy_px):
            break
        low, high = sample.head_xy_px.min(0), sample.head_xy_px.max(0)
        gap = np.maximum(np.maximum(low - centre, centre - high), 0).max()
        if gap > 0.3 * window:
            break
    else:
        centre, window = np.array([rng.choice([0.0, width]), rng.choice([0.0, height])]), 0.1 * max(height, width)
    turn = _turn(rng, upright_share=0.7)
    placed = _affine(centre, side_px / window, turn, rng.random() < 0.5, side_px)
    example = _example(sample, placed, side_px, rng)
    middle = example.head[example.head.shape[0] // 4 : -example.head.shape[0] // 4 or None]
    return replace(example, view=NONE if middle.mean() < 0.02 else -1, upright_rad=math.nan)


@dataclass(frozen=True)
class _Placed:
    """Affine map (2, 3) from outline coordinates of a photo to those of an example, and how it turns."""

    matrix: np.ndarray
    mirrored: bool
    turn_rad: float


def _affine(centre: np.ndarray, scale: float, turn_rad: float, mirrored: bool, side_px: int) -> _Placed:
    """Mirrored first, then turned."""
    c, s = math.cos(turn_rad), math.sin(turn_rad)
    linear = scale * np.array([[c, s], [-s, c]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    shift = np.array([side_px / 2, side_px / 2]) - linear @ centre
    return _Placed(np.column_stack([linear, shift]), mirrored, turn_rad)


def _example(
    sample: OutlinedPhoto, placed: _Placed, side_px: int, rng: np.random.Generator, behind: np.ndarray | None = None
) -> Example:
    m = placed.matrix
    corner = m.copy()
    corner[:, 2] += m[:, :2] @ (0.5, 0.5) - 0.5  # pixel centres are integers to OpenCV
    scale = math.sqrt(abs(np.linalg.det(m[:, :2])))
    source = sample.rgb if scale > 0.6 else cv2.GaussianBlur(sample.rgb, (0, 0), 0.4 / scale)
    # A mirror at the border would show a second head without an outline.
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    rgb = cv2.warpAffine(source, corner, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=border)
    if behind is not None and sample.animal is not None:
        cover = cv2.warpAffine(sample.animal, corner, (side_px, side_px), flags=cv2.INTER_LINEAR)
        front = daylight(rgb) if rng.random() < 0.4 else rgb
        rgb = blended(front, _part_of(behind, side_px, rng), cover)
    outline = sample.head_xy_px @ m[:, :2].T + m[:, 2]
    head = _map([outline] if len(outline) else [], side_px)
    body = np.full(head.shape, np.nan, np.float32)
    if sample.body_xywh_px is not None:
        x, y, w, h = sample.body_xywh_px
        box = np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)]) @ m[:, :2].T + m[:, 2]
        low, high = box.min(0), box.max(0)
        turned = abs(math.sin(2 * placed.turn_rad)) > 0.5  # the bounds of a box that stands on its corner say little
        if not turned:
            body = _map([np.array([low, (high[0], low[1]), high, (low[0], high[1])])], side_px)
    view = SWAPPED[sample.view] if placed.mirrored else sample.view
    upright = wrapped((-1 if placed.mirrored else 1) * sample.upright_rad - placed.turn_rad)
    return Example(under_water(rgb, rng), head, body, _along(outline, head, VIEWS[view], upright), view, upright)


def _along(outline: np.ndarray, head: np.ndarray, view: str, upright_rad: float) -> np.ndarray:
    """The truth of `Example.along`: straight slopes over the outline."""
    along = np.full((2, *head.shape), np.nan, np.float32)
    if not len(outline) or math.isnan(upright_rad):
        return along
    cells = np.indices(head.shape)[::-1].astype(np.float32) * MAP_STRIDE + MAP_STRIDE / 2
    directions = (SNOUT_RAD.get(view), math.pi / 2 if view in ("left", "right", "front") else None)
    for place, direction in enumerate(directions):
        if direction is None:
            continue
        angle = direction - upright_rad
        axis = np.array([math.cos(angle), -math.sin(angle)])
        low, high = (outline @ axis).min(), (outline @ axis).max()
        where = (cells[0] * axis[0] + cells[1] * axis[1] - (low + high) / 2) / (high - low) * 2
        along[place][head > 0.5] = where[head > 0.5]
    return along


def _map(polygons: list[np.ndarray], side_px: int) -> np.ndarray:
    """Share of every cell of `MAP_STRIDE` pixels that lies inside, (S/4, S/4) float32."""
    mask = np.zeros((side_px, side_px), np.float32)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.round((polygon - 0.5) * 16).astype(np.int32)], 1.0, shift=4)
    return cv2.resize(mask, (side_px // MAP_STRIDE, side_px // MAP_STRIDE), interpolation=cv2.INTER_AREA)


def _part_of(scene: np.ndarray, side_px: int, rng: np.random.Generator) -> np.ndarray:
    """A square of a scene (h, w, 3) as another day's light shows it, (side_px, side_px, 3)."""
    height, width = scene.shape[:2]
    side = int(rng.uniform(0.35, 1.0) * min(height, width))
    left, top = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    part = scene[top : top + side, left : left + side]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    return cv2.resize(under_water(part, rng) if rng.random() < 0.5 else part, (side_px, side_px))
