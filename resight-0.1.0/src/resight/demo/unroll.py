"""How the skin is unrolled into a texture.

The texture spans x from `X_MIN` to `X_MAX` (columns) and theta from -pi to pi (rows, so that the crown is in the middle).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from resight.demo.shape import X_MAX, X_MIN, HeadShape, surface_point

TEXTURE_WH_PX = (1320, 1064)
PX_PER_HEAD = TEXTURE_WH_PX[0] / (X_MAX - X_MIN)


def to_texture(x: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skin coordinates to texture pixels (column, row), float32."""
    column = (x - X_MIN) * PX_PER_HEAD
    row = (theta + np.pi) * (TEXTURE_WH_PX[1] / (2 * np.pi))
    return column.astype(np.float32), row.astype(np.float32)


@lru_cache(maxsize=1)
def texture_grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, theta and the point in space (for the mean shape) of every texture pixel."""
    width, height = TEXTURE_WH_PX
    x = (X_MIN + np.arange(width) / PX_PER_HEAD)[None, :].repeat(height, 0).astype(np.float32)
    theta = (-np.pi + np.arange(height) * (2 * np.pi / height))[:, None].repeat(width, 1).astype(np.float32)
    return x, theta, surface_point(HeadShape(), x, theta).astype(np.float32)


def texture_window(x_low: float, x_high: float) -> tuple[slice, np.ndarray, np.ndarray, np.ndarray]:
    """Columns of the texture between two x, and x, y, z of their pixels."""
    columns = slice(int((x_low - X_MIN) * PX_PER_HEAD), int((x_high - X_MIN) * PX_PER_HEAD))
    x, _, xyz = texture_grid()
    return columns, x[:, columns], xyz[:, columns, 1], xyz[:, columns, 2]
