"""Beak, mouth, nostrils and eyes, painted over the scutes."""

from __future__ import annotations

import cv2
import numpy as np

from resight.demo.noise import mix, smoothstep, value_noise
from resight.demo.shape import X_MAX
from resight.demo.unroll import texture_window

_EYE_X, _EYE_Y = 0.665, 0.075


def paint_beak(rng: np.random.Generator, rgb: np.ndarray) -> np.ndarray:
    """The horny sheath of both jaws, the mouth between them and the nostril."""
    part, x, y, z = texture_window(0.45, X_MAX)
    size = (x.shape[1], x.shape[0])
    wobble = value_noise(rng, size, 60, 3)
    mouth = -0.155 + 0.06 * (1 - x) - 0.26 * np.clip(0.68 - x, 0, None) - 0.25 * np.clip(x - 0.86, 0, None)
    upper = smoothstep(0.010, -0.012, y - (mouth + 0.075 + 0.75 * np.clip(x - 0.80, 0, None)) + 0.012 * wobble)
    upper *= smoothstep(0.60, 0.68, x + 0.02 * wobble)
    front = smoothstep(0.905, 0.925, x + 0.012 * wobble)
    lower = smoothstep(0.004, -0.004, y - mouth) * smoothstep(0.56, 0.64, x + 0.02 * wobble)
    horn = np.maximum(np.maximum(upper, front), lower * 0.9)
    stain = smoothstep(-0.2, 1.1, value_noise(rng, size, 70, 2) + 0.6 * _stripes(rng, size))
    colour = mix((0.80, 0.68, 0.46), (0.42, 0.29, 0.17), stain * np.float32(rng.uniform(0.45, 0.85)))
    horned = mix(rgb[:, part], colour, horn * 0.94)
    line = np.exp(-(((y - mouth) / 0.0075) ** 2)) * smoothstep(0.50, 0.56, x)
    horned = mix(horned, (0.10, 0.07, 0.05), line * 0.9)
    hole = np.exp(-(((x - 0.945) / 0.014) ** 2 + ((y + 0.022) / 0.012) ** 2)) * (np.abs(z) < 0.09)
    rgb[:, part] = mix(horned, (0.08, 0.06, 0.05), np.clip(hole * 1.3, 0, 0.95))
    return rgb


def _stripes(rng: np.random.Generator, size_wh_px: tuple[int, int]) -> np.ndarray:
    """Upright stains of the beak, (H, W) float32."""
    width, height = size_wh_px
    coarse = rng.standard_normal((height // 90, width // 16), dtype=np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def paint_eyes(rng: np.random.Generator, rgb: np.ndarray) -> np.ndarray:
    """Wrinkled lids around a dark eye on either side."""
    part, x, y, z = texture_window(_EYE_X - 0.15, _EYE_X + 0.15)
    wobble = value_noise(rng, (x.shape[1], x.shape[0]), 50, 3)
    eyed = rgb[:, part]
    for sign in (-1, 1):
        dx, dy = x - _EYE_X - rng.normal(0, 0.006), y - _EYE_Y - rng.normal(0, 0.006)
        dx, dy = dx * 0.97 + dy * 0.25, dy * 0.97 - dx * 0.25  # the slit falls a little to the front
        radius = np.hypot(dx / 0.098, dy / np.where(dy > 0, 0.092, 0.080)) + 0.06 * wobble
        side = (z * sign > 0).astype(np.float32)
        lid = smoothstep(1.0, 0.86, radius) * side
        rings = 0.5 + 0.5 * np.sin(radius * 34 + 2.2 * wobble)
        wrinkles = (rings * smoothstep(0.45, 0.9, radius)).astype(np.float32)
        skin = mix((0.20, 0.17, 0.14), (0.42, 0.37, 0.30), wrinkles)
        eyed = mix(eyed, skin, lid * np.float32(0.92))
        ball = np.hypot(dx / 0.070, dy / 0.054)
        eyed = mix(eyed, (0.055, 0.045, 0.04), smoothstep(1.06, 0.94, ball) * side)
        iris = np.exp(-(((ball - 0.72) / 0.12) ** 2)) * side
        eyed = mix(eyed, (0.24, 0.17, 0.10), (iris * 0.6).astype(np.float32))
        glint = smoothstep(1.0, 0.6, np.hypot((dx + 0.016) / 0.010, (dy - 0.017) / 0.008)) * side
        eyed = mix(eyed, (0.85, 0.9, 0.92), glint * np.float32(0.9))
    rgb[:, part] = eyed
    return rgb
