"""Smaller copies of a large photo, for networks that see little of its detail.

A window that shows a large head in 128 pixels is sampled as densely as the photo (`cropper.resample`), which takes most of
the time where photos have 24 megapixels. Halved by averaging four pixels each, they say the same as long as what is looked at is smaller still.
"""

from __future__ import annotations

import cv2
import numpy as np

LARGE_PX = 3000  # photos with a shorter long side are looked at as they are, and as they always were
WAY = "copies-1"  # raised by every change of what large photos are looked at by way of
SPARE = 2.0  # a copy is at least so many times as large as what is made from it
QUICK_SPARE = 1.4


class Copies:
    """A photo and its halves, each made when it is first needed.

    Attributes:
        quick: Whether photos of any size are looked at by way of halves, and the smallest that will do.
    """

    def __init__(self, rgb: np.ndarray, quick: bool = False) -> None:
        """From (H, W, 3) uint8, which is not copied."""
        self._copies = [rgb]
        self.quick = quick

    @property
    def rgb(self) -> np.ndarray:
        """The photo."""
        return self._copies[0]

    def for_scale(self, scale: float) -> tuple[np.ndarray, int]:
        """The smallest copy that is still `SPARE` times (`QUICK_SPARE`) as large as the photo scaled by ``scale``, and how many pixels of the photo one of its pixels is wide.

        Pixel (x, y) of a copy of factor f covers the photo from (f x, f y) to (f x + f, f y + f); a last row or column that is
        left over when halving is left out.
        """
        level, spare = 0, QUICK_SPARE if self.quick else SPARE
        if self.quick or is_large(self.rgb.shape[1], self.rgb.shape[0]):
            while spare * scale * 2 ** (level + 1) <= 1 and min(self._at(level).shape[:2]) > 1:
                level += 1
        return self._at(level), 1 << level

    def _at(self, level: int) -> np.ndarray:
        while len(self._copies) <= level:
            last = self._copies[-1]
            height, width = (side // 2 for side in last.shape[:2])
            even = last[: 2 * height, : 2 * width]
            self._copies.append(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
        return self._copies[level]


def is_large(width_px: int, height_px: int) -> bool:
    """Whether a photo of that size is looked at by way of copies."""
    return max(width_px, height_px) >= LARGE_PX
