"""An animal's skin: scutes, seams, eye, beak and speckles that are its own for life, and dirt that is not.

Where the scutes of the species lie is the same for all animals; each has its own shifts, extra, missing and merged scutes.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from resight.demo.face import paint_beak, paint_eyes
from resight.demo.noise import mix, shade, smoothstep, value_noise
from resight.demo.shape import X_MIN, HeadShape
from resight.demo.unroll import PX_PER_HEAD, TEXTURE_WH_PX, texture_grid, to_texture

_GIRTH = 1.9  # mean way around the head, in head lengths; makes distances in the texture about right
_SPECIES_SEED = 20_260_603


def head_shape(individual_seed: int) -> HeadShape:
    """The animal's proportions."""
    rng = np.random.default_rng([individual_seed, 1])
    return HeadShape(height=float(rng.uniform(0.95, 1.05)), width=float(rng.uniform(0.95, 1.05)))


@lru_cache(maxsize=16)
def skin_texture(individual_seed: int) -> np.ndarray:
    """The animal's own colours, (H, W, 3) uint8 RGB in the frame of `to_texture`. The same seed is the same animal."""
    rng = np.random.default_rng([individual_seed, 2])
    labels = _scutes(rng)
    rgb = _paint_scutes(rng, labels)
    rgb = paint_beak(rng, rgb)
    rgb = paint_eyes(rng, rgb)
    return np.clip(rgb * 255, 0, 255).astype(np.uint8)


@lru_cache(maxsize=16)
def worn_texture(individual_seed: int, encounter_seed: int) -> np.ndarray:
    """`skin_texture` with the algae and scratches of one encounter, (H, W, 3) uint8."""
    rng = np.random.default_rng([encounter_seed, 3])
    base = skin_texture(individual_seed).astype(np.float32) / 255
    film = smoothstep(-0.9, 1.2, value_noise(rng, TEXTURE_WH_PX, 60, 5)) * rng.beta(1.6, 2.2) * 0.62
    rgb = mix(base, (0.47, 0.43, 0.31), film)
    growth = smoothstep(0.35, 1.1, value_noise(rng, TEXTURE_WH_PX, 150, 4)) * rng.uniform(0.15, 0.85)
    rgb = mix(rgb, (0.34, 0.36, 0.20), growth)
    marks = np.zeros(rgb.shape[:2], np.uint8)
    for _ in range(rng.integers(5, 16)):
        start = rng.uniform((450, 150), (1250, 900))
        turns = np.cumsum(rng.normal(0, 0.25, 6)) + rng.uniform(0, 2 * np.pi)
        steps = np.stack([np.cos(turns), np.sin(turns)], 1) * rng.uniform(8, 26)
        scratch = ((start + np.cumsum(steps, 0)) * 16).astype(np.int32)
        cv2.polylines(marks, [scratch], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA, 4)
    for x, y in rng.uniform((420, 120), (1300, 940), (int(rng.integers(6, 40)), 2)):
        cv2.circle(marks, (int(x), int(y)), int(rng.integers(2, 6)), 200, -1, cv2.LINE_AA)
    blurred = cv2.GaussianBlur(marks, (3, 3), 0).astype(np.float32)
    rgb = mix(rgb, (0.86, 0.83, 0.76), blurred / 255 * np.float32(0.7))
    return np.clip(rgb * 255, 0, 255).astype(np.uint8)


def _spacing(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Distance of neighbouring scutes in head lengths: large on crown and temple, small at jaw and neck."""
    around = np.abs(theta)
    side = np.interp(around, [0.0, 0.5, 0.9, 1.3, 1.75, 2.2, 3.2], [0.165, 0.165, 0.14, 0.13, 0.105, 0.085, 0.10])
    front = np.where(x > 0.78, 0.8, 1.0)
    return np.where(x < 0.01, np.interp(x, [-1.3, -0.3, 0.01], [0.055, 0.04, 0.032]), side * front)


@lru_cache(maxsize=1)
def _species_layout() -> np.ndarray:
    """Scute centres (N, 2) as x and theta that all animals share: darts that keep their distance, mirrored left to right."""
    rng = np.random.default_rng(_SPECIES_SEED)
    arc = _GIRTH / (2 * np.pi)
    kept = np.empty((0, 2))
    for x, theta in np.stack([rng.uniform(X_MIN, 1.02, 9000), rng.uniform(0.0, np.pi, 9000)], 1):
        gap = np.hypot(kept[:, 0] - x, (kept[:, 1] - theta) * arc)
        wanted = float(_spacing(np.array(x), np.array(theta)))
        if theta * arc > wanted * 0.35 and (not gap.size or gap.min() > 0.86 * wanted):
            kept = np.vstack([kept, (x, theta)])
    crown = np.stack([np.arange(0.12, 0.95, 0.17), np.zeros(5)], 1)
    return np.vstack([kept, kept * (1, -1), crown])


def _individual_layout(rng: np.random.Generator) -> np.ndarray:
    """The shared layout with this animal's shifts, losses and extras; left and right differ."""
    seeds = _species_layout()
    seeds = seeds[rng.random(len(seeds)) > np.where(seeds[:, 0] > 0, 0.12, 0.05)]
    spacing = _spacing(seeds[:, 0], seeds[:, 1])
    jitter = rng.normal(0, 0.24, seeds.shape) * spacing[:, None]
    extra = np.stack([rng.uniform(0.05, 0.85, 14), rng.uniform(-1.5, 1.5, 14)], 1)
    return np.vstack([seeds + jitter * (1, 2 * np.pi / _GIRTH), extra])


def _scutes(rng: np.random.Generator) -> np.ndarray:
    """Scute number of every texture pixel (H, W) int32: relaxed Voronoi cells with merged neighbours and wavy borders."""
    _, centres, seeds = _voronoi(_individual_layout(rng))
    cells, _, seeds = _voronoi((centres + seeds) / 2)
    merged = np.arange(len(seeds) + 1)
    for index in np.flatnonzero((seeds[:, 0] > 0.03) & (rng.random(len(seeds)) < 0.13)):
        gap = np.hypot(*((seeds - seeds[index]) * (1, _GIRTH / (2 * np.pi))).T)
        merged[index] = np.argsort(gap)[1]
    field = merged[cells].astype(np.float32)
    wobble_x = value_noise(rng, TEXTURE_WH_PX, 46, 3) * 6
    wobble_y = value_noise(rng, TEXTURE_WH_PX, 46, 3) * 6
    column, row = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in TEXTURE_WH_PX))
    x, y = column + wobble_x, row + wobble_y
    return cv2.remap(field, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE).astype(np.int32)


def _voronoi(seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest seed (H, W) of every texture pixel, the middle of each cell (N, 2), and the seeds (N, 2), one per pixel."""
    where = np.stack(to_texture(seeds[:, 0], seeds[:, 1]), 1).clip(0, np.array(TEXTURE_WH_PX) - 1).astype(np.int32)
    where, first = np.unique(where, axis=0, return_index=True)
    seeds = seeds[first]
    picture = np.full((TEXTURE_WH_PX[1], TEXTURE_WH_PX[0]), 255, np.uint8)
    picture[where[:, 1], where[:, 0]] = 0
    _, labels = cv2.distanceTransformWithLabels(picture, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    number = np.zeros(int(labels.max()) + 1, np.int64)  # of the seed behind each of OpenCV's labels
    number[labels[where[:, 1], where[:, 0]]] = np.arange(len(where))
    cells = number[labels]
    x, theta, _ = texture_grid()
    count = np.maximum(np.bincount(cells.ravel(), minlength=len(seeds)), 1)
    centres = np.stack([np.bincount(cells.ravel(), v.ravel(), len(seeds)) / count for v in (x, theta)], 1)
    return cells, centres, seeds


def seam_distance_px(labels: np.ndarray) -> np.ndarray:
    """Distance (H, W) of every pixel to the nearest border between labels."""
    inside = np.full(labels.shape, 255, np.uint8)
    inside[:, 1:][labels[:, 1:] != labels[:, :-1]] = 0
    inside[1:][labels[1:] != labels[:-1]] = 0
    return cv2.distanceTransform(inside, cv2.DIST_L2, 5)


def _seam_distance(labels: np.ndarray) -> np.ndarray:
    """Distance (H, W) of every pixel to the nearest seam, in head lengths."""
    return cv2.GaussianBlur(seam_distance_px(labels), (0, 0), 1.0) / np.float32(PX_PER_HEAD)


def _cell_radius(labels: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Largest seam distance within the scute that each pixel belongs to, (H, W)."""
    radius = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(radius, labels.ravel(), gap.ravel())
    return np.maximum(cv2.GaussianBlur(radius[labels], (0, 0), 4.0), 1e-3)


def _clefts(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Short seams that end inside a scute, drawn into a copy of ``labels`` as scutes of their own."""
    out = labels.astype(np.float32)
    for x, theta in np.stack([rng.uniform(0.05, 0.9, 16), rng.uniform(-1.2, 1.2, 16)], 1):
        column, row = to_texture(np.array([x]), np.array([theta]))
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, 4))
        steps = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * rng.uniform(5, 11), 0)
        cleft = (steps + np.array([column[0], row[0]])).astype(np.int32)
        cv2.polylines(out, [cleft], False, float(labels.max() + 1), 1)
    return out.astype(np.int32)


def _paint_scutes(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Dark scutes with pale seams above, pale scutes with a dark heart below; (H, W, 3) float32, 0 to 1."""
    x, _, xyz = texture_grid()
    y = xyz[..., 1]
    redness = rng.uniform(-1, 1)
    dark = np.array([0.33 + 0.05 * redness, 0.20, 0.125 - 0.02 * redness]) * rng.uniform(0.85, 1.2)
    brown = np.array([0.52 + 0.05 * redness, 0.345, 0.18]) * rng.uniform(0.9, 1.1)
    pale = np.array([0.87, 0.77, 0.56]) * rng.uniform(0.92, 1.05)
    low = smoothstep(0.10, -0.20, y)  # 0 on the crown, 1 at the jaw
    gap = _seam_distance(_clefts(rng, labels))
    tint = rng.normal(0, 1, int(labels.max()) + 2).astype(np.float32)[labels]
    wobble = value_noise(rng, TEXTURE_WH_PX, 40, 4)
    neck = smoothstep(0.07, -0.09, x + 0.05 * wobble + 0.10 * low)
    seam = 0.0075 * rng.uniform(0.8, 1.35)
    width = seam * (1 - 0.35 * neck) * (1 + 0.35 * wobble)
    plate = smoothstep(width * 0.4, width * 1.5, gap)
    core = smoothstep(0.26, 0.72, gap / _cell_radius(labels, gap) + 0.10 * wobble)
    heart = (plate * (1 - low) + core * low * (0.80 + 0.12 * np.tanh(tint))) * (1 - 0.2 * neck)
    colour = mix(dark, brown, np.clip(0.75 * low + 0.17 * tint + 0.16 * wobble, 0, 1).astype(np.float32))
    colour = mix(colour, (0.37, 0.31, 0.24), neck * np.float32(0.8))
    colour = shade(colour, 1 + 0.07 * tint + 0.20 * _grain(rng))
    edge = mix(pale, (0.83, 0.78, 0.68), neck)
    edge = shade(edge, 1 - 0.12 * wobble)
    chin = smoothstep(-0.20, -0.29, y) * (1 - neck * np.float32(0.5))
    rgb = mix(edge, colour, (heart * (1 - 0.8 * chin)).astype(np.float32))
    return _speckle(rng, shade(rgb, 1 + _relief(plate)), heart)


def _relief(plate: np.ndarray) -> np.ndarray:
    """Scutes stand out a little: brighter upper and darker lower edges, (H, W)."""
    slope = cv2.Sobel(cv2.GaussianBlur(plate, (0, 0), 2.2), cv2.CV_32F, 0, 1, ksize=3)
    slope[: plate.shape[0] // 2] *= -1  # rows run up on the left side and down on the right
    return np.clip(slope * 0.55, -0.3, 0.3)


def _grain(rng: np.random.Generator) -> np.ndarray:
    """Fine streaks along the head and pores, (H, W) float32."""
    width, height = TEXTURE_WH_PX
    coarse = rng.standard_normal((height // 3, width // 14), dtype=np.float32)
    streaks = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return 0.5 * streaks + 0.6 * value_noise(rng, TEXTURE_WH_PX, 9, 3)


def _speckle(rng: np.random.Generator, rgb: np.ndarray, heart: np.ndarray) -> np.ndarray:
    """Small dark and light flecks inside the scutes that stay with the animal."""
    for colour, count, strength in (((0.10, 0.06, 0.04), 170, 0.6), ((0.80, 0.66, 0.42), 110, 0.5)):
        flecks = np.zeros(rgb.shape[:2], np.uint8)
        columns, rows = rng.uniform(680, 1290, count), rng.uniform(120, 940, count)
        for column, row, size in zip(columns, rows, rng.gamma(2.0, 1.1, (count, 2)) + 0.8, strict=True):
            centre, axes = (int(column * 16), int(row * 16)), (int(size[0] * 16), int(size[1] * 16))
            cv2.ellipse(flecks, centre, axes, 360 * rng.random(), 0, 360, 255, -1, cv2.LINE_AA, 4)
        rgb = mix(rgb, np.array(colour), flecks.astype(np.float32) / 255 * heart * np.float32(strength))
    return rgb
