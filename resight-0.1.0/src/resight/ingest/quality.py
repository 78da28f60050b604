"""How sharp and how well exposed a photo is, measured on a small grey copy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

MEASURE_SIDE_PX = 512
WHITE = 255.0


@dataclass(frozen=True)
class Quality:
    """The columns of the same names in ``photos``. Sharpness is missing for pictures of less than 3 px a side."""

    sharpness: float | None
    exposure: float
    contrast: float
    clipped_fraction: float


def measure(image: Image.Image) -> Quality:
    """Measure a decoded picture (RGB or grey) on its grey copy with a long side of at most 512 px.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000; four neighbours, frame left out) of grey
    values 0 to 255. The copy is averaged over boxes, so single clipped pixels of a large photo do not count.
    """
    grey = np.asarray(_small(image.convert("L")), dtype=np.float64)
    return Quality(
        sharpness=float(_laplacian(grey).var()) if min(grey.shape) >= 3 else None,
        exposure=float(grey.mean() / WHITE),
        contrast=float(grey.std() / WHITE),
        clipped_fraction=float(np.mean((grey == 0) | (grey == WHITE))),
    )


def _small(grey: Image.Image) -> Image.Image:
    scale = MEASURE_SIDE_PX / max(grey.size)
    if scale >= 1:
        return grey
    width, height = (max(1, round(side * scale)) for side in grey.size)
    return grey.resize((width, height), Image.Resampling.BOX)


def _laplacian(grey: np.ndarray) -> np.ndarray:
    return grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
