"""Another day's water, light, camera and distance; and things in front of the animal."""

from __future__ import annotations

import math

import cv2
import numpy as np

from resight.train.segmenter.augment import water_table


def under_other_water(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colour, contrast, haze, light that falls off, ripples, lost resolution, blur, noise and JPEG; (H, W, 3) uint8."""
    x = rgb
    if rng.random() < 0.35:
        x = _farther(x, rng)
    x = cv2.LUT(x, _curve(rng))
    if rng.random() < 0.6:
        x = cv2.multiply(x, cv2.merge([_light(rng, (x.shape[1], x.shape[0]))] * 3), dtype=cv2.CV_8U)
    if rng.random() < 0.3:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.5, 1.8)))
    if rng.random() < 0.12:
        x = _shaken(x, rng)
    if rng.random() < 0.5:
        noise = np.asarray(rng.standard_normal(x.shape, dtype=np.float32) * np.float32(rng.uniform(1.5, 8)))
        x = cv2.add(x, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.4:
        x = np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 92))])[1], 1)
        )
    return x


def _curve(rng: np.random.Generator) -> np.ndarray:
    return water_table(rng, gamma=0.28, tint=0.12, contrast_share=0.5, least_contrast=0.55, most_haze=0.6)


def _light(rng: np.random.Generator, size_wh_px: tuple[int, int]) -> np.ndarray:
    """(H, W) float32 about 1: broad shadows, and in some pictures the ripples' net."""
    field = cv2.resize(rng.normal(0, 0.16, (4, 4)).astype(np.float32), size_wh_px, interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.35:
        cells = int(rng.integers(10, 24))
        net = cv2.resize(rng.normal(0, 1, (cells, cells)).astype(np.float32), size_wh_px, interpolation=cv2.INTER_CUBIC)
        field = field + np.float32(rng.uniform(0.1, 0.5)) * np.exp(-np.abs(net) * 6)
    return np.exp(field)


def _farther(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same size with fewer pixels in it."""
    share = math.exp(rng.uniform(math.log(0.3), math.log(0.8)))
    small = cv2.resize(rgb, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_CUBIC)


def _shaken(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    length, angle = int(rng.integers(3, 9)), rng.uniform(0, math.pi)
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    end = np.array([math.cos(angle), math.sin(angle)]) * length / 2
    low, high = (tuple(np.round(length + sign * end).astype(int).tolist()) for sign in (-1, 1))
    cv2.line(kernel, low, high, 1.0, 1)
    return cv2.filter2D(rgb, -1, kernel / kernel.sum())


def cover(rgb: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Put a flipper, weed or the picture's edge in front: the picture, and what is covered (H, W) bool."""
    height, width = rgb.shape[:2]
    covered = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 3))):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        axes = (int(width * rng.uniform(0.08, 0.28)), int(height * rng.uniform(0.05, 0.2)))
        cv2.ellipse(covered, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    shift = (int(rng.integers(height)), int(rng.integers(width)))
    other = np.roll(rgb[::-1, ::-1], shift, (0, 1))
    tint = (rng.uniform(0.5, 1.2, 3)).astype(np.float32)
    other = np.clip(other * tint, 0, 255).astype(np.uint8)
    there = covered > 0
    return np.where(there[..., None], other, rgb), there
