"""The background of the animal, and the effects of water and camera on the picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from resight.demo.noise import caustics, mix, shade, smoothstep, value_noise

KINDS = ("sand", "rocks", "seagrass", "water")
_HUES = ((0.13, 0.52, 0.60), (0.08, 0.40, 0.62), (0.25, 0.52, 0.45), (0.34, 0.60, 0.58), (0.06, 0.26, 0.36))
_MARGIN = 1.3  # how much larger than a photo the painted site is, so that the camera can move about in it


@dataclass(frozen=True)
class Look:
    """Everything about a photo that is neither the animal nor where the camera stands.

    Attributes:
        site_seed: Place; photos of one day there share the background.
        encounter_seed: Algae and scratches, visibility and sunlight.
        photo_seed: Camera shake, noise, particles, where in the site the camera points.
    """

    site_seed: int
    encounter_seed: int
    photo_seed: int


@dataclass(frozen=True)
class Water:
    """Light under water on one occasion; colours are RGB, 0 to 1."""

    veil: np.ndarray
    transmission: np.ndarray
    sun: float
    caustic: float


def water_of(look: Look) -> Water:
    """Water of an encounter: the hue belongs to the place, how far one sees belongs to the hour."""
    place, hour = np.random.default_rng([look.site_seed, 4]), np.random.default_rng([look.encounter_seed, 5])
    veil = np.array(_HUES[place.integers(len(_HUES))]) * place.uniform(0.85, 1.1)
    path = min(0.2 + hour.gamma(1.5, 0.58), 3.0)
    transmission = np.exp(-path * np.array([1.15, 0.52, 0.45]))
    veil = veil * hour.uniform(0.9, 1.1)
    return Water(veil, transmission, float(hour.uniform(0.75, 1.2)), float(hour.uniform(0.0, 1.7)))


@lru_cache(maxsize=6)
def site(site_seed: int, size_wh_px: tuple[int, int]) -> np.ndarray:
    """The place without an animal, a little larger than a photo: (H, W, 3) uint8."""
    rng = np.random.default_rng([site_seed, 6])
    width, height = (int(n * _MARGIN) for n in size_wh_px)
    kind = KINDS[int(rng.integers(len(KINDS)))]
    veil = water_of(Look(site_seed, 0, 0)).veil
    picture = _open_water(rng, veil, (width, height))
    if kind != "water":
        horizon = int(height * rng.uniform(0.25, 0.5))
        ground = _ground(rng, veil, (width, height - horizon), kind)
        blend = smoothstep(0.0, 0.12, np.linspace(0, 1, height - horizon))[:, None].repeat(width, 1)
        picture[horizon:] = mix(picture[horizon:], ground, blend)
    if kind == "seagrass":
        picture = _seagrass(rng, picture, veil)
    return np.clip(picture * 255, 0, 255).astype(np.uint8)


def _open_water(rng: np.random.Generator, veil: np.ndarray, size_wh_px: tuple[int, int]) -> np.ndarray:
    width, height = size_wh_px
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None].repeat(width, 1)
    depth = np.clip(depth + 0.05 * value_noise(rng, size_wh_px, width / 3, 2), 0, 1)
    picture = mix(np.clip(veil * 1.35 + 0.12, 0, 1), veil * 0.72, depth)
    if rng.random() < 0.5:  # the surface from below
        band = smoothstep(0.16, 0.0, depth)
        waves = cv2.resize(caustics(rng, (width // 2, height), 60), (width, height))
        picture = mix(picture, (0.86, 0.95, 0.96), band * (0.25 + 0.75 * waves).astype(np.float32) * np.float32(0.8))
    return picture


def _ground(rng: np.random.Generator, veil: np.ndarray, size_wh_px: tuple[int, int], kind: str) -> np.ndarray:
    """Sea floor seen at a slant, fading into the veil with distance."""
    tile = _floor_tile(rng, kind)
    width, height = size_wh_px
    row = np.arange(height, dtype=np.float32)[:, None].repeat(width, 1)
    away = height * 1.0 / (row + height * 0.10)
    column = (np.arange(width, dtype=np.float32)[None, :] - width / 2) * away
    side = tile.shape[0] - 1
    turn = rng.uniform(0.3, 1.2)  # so that the mirrors of `_bounce` do not show
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    across, along = column * np.float32(0.75), away * np.float32(420)
    map_x, map_y = _bounce(across * cos - along * sin + 450, side), _bounce(across * sin + along * cos, side)
    floor = cv2.remap(tile, map_x, map_y, cv2.INTER_LINEAR)
    return mix(floor, veil, 1 - np.exp(-away * np.float32(0.22)) * np.float32(0.92))


def _bounce(position: np.ndarray, side: int) -> np.ndarray:
    """Coordinates folded back into the tile as between two mirrors."""
    return np.abs((position + side) % (2 * side) - side).astype(np.float32)


def _floor_tile(rng: np.random.Generator, kind: str) -> np.ndarray:
    side = (900, 900)
    grain = value_noise(rng, side, 6, 2)
    broad = value_noise(rng, side, 220, 4)
    ripples = np.sin(np.arange(900, dtype=np.float32)[:, None] / 7.0 + 5 * value_noise(rng, side, 180, 2))
    sand = _tinted((0.70, 0.66, 0.52), 1 + 0.07 * grain + 0.10 * broad + 0.05 * ripples)
    tile = mix(sand, (0.95, 0.96, 0.85), caustics(rng, side, 120) * np.float32(rng.uniform(0.1, 0.6)))
    if kind == "rocks":
        relief = value_noise(rng, side, 150, 5)
        stone = _tinted((0.33, 0.33, 0.25), 1 + 0.5 * value_noise(rng, side, 30, 4) + 0.2 * grain)
        light = np.clip(cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=5) * 0.35, -0.6, 0.6)
        tile = mix(tile, shade(stone, 1 - light), smoothstep(-0.05, 0.12, relief))
    elif kind == "seagrass":
        tile = mix(tile, (0.22, 0.29, 0.14), smoothstep(-0.2, 0.3, broad) * np.float32(0.8))
    return tile


def _tinted(colour: tuple[float, float, float], brightness: np.ndarray) -> np.ndarray:
    return cv2.merge([np.float32(c) * brightness.astype(np.float32) for c in colour])


def _seagrass(rng: np.random.Generator, picture: np.ndarray, veil: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    for near in np.sort(rng.uniform(0.05, 1.0, 420)):
        foot = np.array([rng.uniform(0, width), height * (0.52 + 0.55 * near)])
        length, lean = height * (0.03 + 0.16 * near) * rng.uniform(0.6, 1.2), rng.normal(0.15, 0.35)
        along = np.linspace(0, 1, 7)
        blade = foot + np.stack([np.sin(lean) * length * along**1.7, -length * along], 1)
        colour = np.array([0.20, 0.31, 0.12]) * rng.uniform(0.6, 1.5)
        colour = colour * (0.35 + 0.55 * near) + veil * (0.65 - 0.55 * near)
        thick = max(1, round(9 * near * rng.uniform(0.6, 1.1)))
        cv2.polylines(picture, [(blade * 8).astype(np.int32)], False, colour.tolist(), thick, cv2.LINE_AA, 3)
    return picture


def backdrop(look: Look, size_wh_px: tuple[int, int]) -> np.ndarray:
    """The part of the site that this photo shows, out of focus: (H, W, 3) float32, 0 to 1."""
    painted = site(look.site_seed, size_wh_px)
    occasion, shot = np.random.default_rng([look.encounter_seed, 7]), np.random.default_rng([look.photo_seed, 8])
    width, height = size_wh_px
    spare = np.array([painted.shape[1] - width, painted.shape[0] - height])
    corner = np.clip(occasion.uniform(0.1, 0.9, 2) * spare + shot.normal(0, 0.08, 2) * spare, 0, spare).astype(int)
    part = painted[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
    part = cv2.GaussianBlur(part, (0, 0), float(shot.uniform(0.8, 2.2)))
    return part.astype(np.float32) / np.float32(255)


def through_the_camera(rgb: np.ndarray, look: Look) -> np.ndarray:
    """Particles, blur, uneven light, white balance, noise: (H, W, 3) float32 0 to 1 becomes uint8."""
    rng = np.random.default_rng([look.photo_seed, 9])
    height, width = rgb.shape[:2]
    rgb = _backscatter(rng, rgb)
    rgb = _shaken(rng, cv2.GaussianBlur(rgb, (0, 0), float(min(0.4 + rng.gamma(1.7, 0.5), 3.2))))
    rgb = rgb * (rng.normal(1.0, 0.04, 3) * rng.uniform(0.88, 1.12)).astype(np.float32)
    axes = (np.linspace(-1, 1, n, dtype=np.float32) for n in (width, height))
    rgb = shade(rgb, 1 - np.float32(rng.uniform(0.02, 0.12)) * np.hypot(*np.meshgrid(*axes)) ** 2)
    noise = rng.standard_normal((height, width), dtype=np.float32) * np.float32(rng.uniform(0.008, 0.030))
    rgb = cv2.add(rgb, cv2.merge([noise, noise, noise]))
    return np.clip(rgb * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)


def _shaken(rng: np.random.Generator, rgb: np.ndarray) -> np.ndarray:
    """One photo in four with motion blur along a random direction."""
    length = rng.gamma(2.0, 3.0) if rng.random() < 0.25 else 0.0
    if length < 2:
        return rgb
    half, angle = 24, rng.uniform(0, np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * min(length, 18.0) / 2 * 16
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    ends = [tuple(int(v) for v in half * 16 + sign * step) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 255, 1, cv2.LINE_AA, 4)
    return cv2.filter2D(rgb, -1, kernel.astype(np.float32) / float(kernel.sum()))


def _backscatter(rng: np.random.Generator, rgb: np.ndarray) -> np.ndarray:
    """Bright specks in the water between camera and animal."""
    height, width = rgb.shape[:2]
    specks = np.zeros((height, width), np.uint8)
    for x, y, size in zip(*rng.uniform(0, 1, (2, n := int(rng.gamma(1.5, 60)))), rng.gamma(1.5, 1.2, n), strict=True):
        centre, radius = (int(x * width * 16), int(y * height * 16)), int((0.7 + size) * 16)
        cv2.circle(specks, centre, radius, int(rng.uniform(25, 150)), -1, cv2.LINE_AA, 4)
    blurred = cv2.GaussianBlur(specks, (0, 0), 1.1).astype(np.float32) / np.float32(255)
    return mix(rgb, (0.85, 0.92, 0.92), blurred)
