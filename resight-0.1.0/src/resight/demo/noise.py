"""Random fields that make surfaces look grown rather than drawn. All are float32 and follow from the generator alone."""

from __future__ import annotations

import cv2
import numpy as np

Colour = tuple[float, float, float]


def value_noise(rng: np.random.Generator, size_wh_px: tuple[int, int], cell_px: float, octaves: int = 3) -> np.ndarray:
    """Smooth noise.

    Args:
        rng: Source of randomness.
        size_wh_px: Width and height of the field.
        cell_px: Size of the largest blobs.
        octaves: Each one halves the blobs and the amplitude.

    Returns:
        (H, W) float32 with mean about 0 and values mostly within -1 to 1.
    """
    width, height = size_wh_px
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cell = max(cell_px / 2**octave, 1.0)
        grid = rng.standard_normal((int(height / cell) + 3, int(width / cell) + 3), dtype=np.float32)
        total += cv2.resize(grid, size_wh_px, interpolation=cv2.INTER_CUBIC) * np.float32(0.5**octave)
    return total * np.float32(0.55)


def caustics(rng: np.random.Generator, size_wh_px: tuple[int, int], cell_px: float) -> np.ndarray:
    """The net of bright lines that waves throw on what lies below: (H, W) float32, 0 to about 1, mostly dark.

    Ridges of two smooth fields, as in refracted light: bright where a field crosses zero.
    """
    out = np.zeros((size_wh_px[1], size_wh_px[0]), np.float32)
    for scale in (1.0, 0.6):
        field = value_noise(rng, size_wh_px, cell_px * scale, 2)
        out = np.maximum(out, np.exp(-np.abs(field) * np.float32(9.0)) * np.float32(scale))
    return out


def smoothstep(low: float | np.ndarray, high: float | np.ndarray, x: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, a cubic between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def mix(a: np.ndarray | Colour, b: np.ndarray | Colour, t: np.ndarray) -> np.ndarray:
    """``a`` where t is 0, ``b`` where t is 1; t is (H, W) and each of the two a colour (3,) or a picture (H, W, 3)."""
    weight = t.astype(np.float32, copy=False)
    return cv2.merge([x + (y - x) * weight for x, y in zip(_planes(a), _planes(b), strict=True)])


def shade(rgb: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) times a field (H, W)."""
    weight = factor.astype(np.float32, copy=False)
    return cv2.merge([plane * weight for plane in _planes(rgb)])


def _planes(colour: np.ndarray | Colour) -> tuple[np.ndarray, ...]:
    # plane by plane: numpy is several times slower on a last axis of three
    colour = np.asarray(colour, np.float32)
    return tuple(colour) if colour.ndim == 1 else tuple(cv2.split(np.ascontiguousarray(colour)))
