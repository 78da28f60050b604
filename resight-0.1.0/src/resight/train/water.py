"""Another day's water, light, camera and distance; and things in front of the animal."""

from __future__ import annotations

import math

import cv2
import numpy as np


def under_water(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another day's water and another camera, (S, S, 3) uint8: colour, haze, light from above, ripples, blur, noise."""
    table = water_table(rng, gamma=0.25, tint=0.15, contrast_share=0.4, least_contrast=0.6, most_haze=0.5)
    rgb = cv2.LUT(daylight(rgb) if rng.random() < 0.12 else rgb, table)
    if rng.random() < 0.06:
        rgb = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.45:
        rgb = _lit(rgb, _falling_light(rng, rgb.shape[0]))
    return _noisy(_blurred(rgb, rng, 0.25, (0.4, 1.4)), rng, 0.25, (2, 11))


def under_other_water(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stronger: colour, contrast, haze, shadows, ripples, lost resolution, blur, noise and JPEG; (H, W, 3) uint8."""
    if rng.random() < 0.35:
        rgb = _farther(rgb, rng)
    table = water_table(rng, gamma=0.28, tint=0.12, contrast_share=0.5, least_contrast=0.55, most_haze=0.6)
    rgb = cv2.LUT(rgb, table)
    if rng.random() < 0.6:
        rgb = _lit(rgb, _shadows_and_ripples(rng, (rgb.shape[1], rgb.shape[0])))
    rgb = _blurred(rgb, rng, 0.3, (0.5, 1.8))
    if rng.random() < 0.12:
        rgb = _shaken(rgb, rng)
    rgb = _noisy(rgb, rng, 0.5, (1.5, 8))
    if rng.random() < 0.4:
        _, jpeg = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 92))])
        rgb = np.asarray(cv2.imdecode(jpeg, 1))
    return rgb


def water_table(
    rng: np.random.Generator,
    *,
    gamma: float,
    tint: float,
    contrast_share: float,
    least_contrast: float,
    most_haze: float,
) -> np.ndarray:
    """(1, 256, 3) uint8, a table of tones: another camera, another day's colour and contrast, haze in the colour of water.

    Args:
        rng: Draws it.
        gamma, tint: Standard deviations of the logarithms of the exponent and of each channel's gain.
        contrast_share: How often contrast changes.
        least_contrast: The flattest it gets.
        most_haze: Largest share of the veil.
    """
    curve = np.arange(256, dtype=np.float32)[:, None].repeat(3, 1) / 255
    curve = curve ** np.float32(np.exp(rng.normal(0, gamma)))
    curve = curve * np.exp(rng.normal(0, tint, 3) + rng.normal(0, 0.15)).astype(np.float32)
    if rng.random() < contrast_share:
        curve = (curve - 0.4) * np.float32(rng.uniform(least_contrast, 1.5)) + np.float32(0.4)
    if rng.random() < 0.45:
        veil = rng.uniform((0.05, 0.25, 0.3), (0.45, 0.65, 0.75)).astype(np.float32)
        away = np.float32(rng.uniform(0.05, most_haze))
        curve = curve * (1 - away) + veil * away
    return np.clip(curve * 255 + 0.5, 0, 255).astype(np.uint8)[None]


def daylight(rgb: np.ndarray) -> np.ndarray:
    """The same without water: channels stretched to the same range."""
    pixels = rgb.reshape(-1, 3)[::7]
    low, high = np.percentile(pixels, 2, axis=0), np.percentile(pixels, 98, axis=0)
    return np.asarray(np.clip((rgb - low) * (235 / np.maximum(high - low, 25)) + 8, 0, 255)).astype(np.uint8)


def _lit(rgb: np.ndarray, light: np.ndarray) -> np.ndarray:
    return cv2.multiply(rgb, cv2.merge([light] * 3), dtype=cv2.CV_8U)


def _blurred(rgb: np.ndarray, rng: np.random.Generator, chance: float, sigma_px: tuple[float, float]) -> np.ndarray:
    return cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(*sigma_px))) if rng.random() < chance else rgb


def _noisy(rgb: np.ndarray, rng: np.random.Generator, chance: float, spread: tuple[float, float]) -> np.ndarray:
    if rng.random() >= chance:
        return rgb
    noise = rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(rng.uniform(*spread))
    return cv2.add(rgb, np.asarray(noise), dtype=cv2.CV_8U)


def _falling_light(rng: np.random.Generator, side: int) -> np.ndarray:
    """Light that falls off in some direction, with ripples: (side, side) float32 about 1."""
    coarse = rng.normal(0, 0.12, (5, 5)).astype(np.float32)
    ripple = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    fall = np.linspace(1, -1, side, dtype=np.float32)[:, None] * np.float32(rng.uniform(-0.1, 0.35))
    return np.exp(ripple + fall)


def _shadows_and_ripples(rng: np.random.Generator, size_wh_px: tuple[int, int]) -> np.ndarray:
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
    tint = rng.uniform(0.5, 1.2, 3).astype(np.float32)
    front = np.clip(np.roll(rgb[::-1, ::-1], shift, (0, 1)) * tint, 0, 255).astype(np.uint8)
    return np.where(covered[..., None] > 0, front, rgb), covered > 0
