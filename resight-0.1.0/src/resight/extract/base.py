"""What an extractor takes and gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


def is_binary(descriptors: np.ndarray) -> bool:
    """Whether descriptors (N, D) are packed bits: that is what uint8 means, here and in the store."""
    return descriptors.dtype == np.uint8


@dataclass(frozen=True)
class Features:
    """Keypoints of one crop.

    Attributes:
        xy_px: (N, 2) float32, x right, y down, pixel centres are integers, in crop pixels.
        descriptors: (N, D). float16 of unit length from networks and (Root)SIFT; DeDoDe's keep the length that its network
            gives them, because its matcher was trained on it. uint8 (N, bytes) where they are binary.
        scale_px: (N,) float32, the detector's sigma in crop pixels; 0 where the detector has none.
        angle_rad: (N,) float32 in (-pi, pi], from the x axis towards the y axis, which is clockwise on the screen (the sense
            of OpenCV and COLMAP, the opposite of kornia's); 0 where the detector has none.
        score: (N,) float32, detector response; larger is stronger.
        size_wh_px: (width, height) of the crop.
    """

    xy_px: np.ndarray
    descriptors: np.ndarray
    scale_px: np.ndarray
    angle_rad: np.ndarray
    score: np.ndarray
    size_wh_px: tuple[int, int]

    @property
    def binary(self) -> bool:
        """Whether the descriptors are bits, to be compared by Hamming distance."""
        return is_binary(self.descriptors)

    def __len__(self) -> int:
        return int(self.xy_px.shape[0])


@runtime_checkable
class Extractor(Protocol):
    """Turns a crop into keypoints.

    Attributes:
        family: Which descriptors it gives (``sift``, ``xfeat``, ``aliked``, …); a matcher states which it accepts.
        descriptor_dim: D, or the number of bytes of a binary descriptor.
        descriptor_dtype: How they are stored: ``float16``, ``float32`` or ``uint8``.
        max_keypoints: At most so many rows come back, strongest first.
    """

    family: str
    descriptor_dim: int
    descriptor_dtype: str
    max_keypoints: int

    def extract(self, rgb: np.ndarray, mask: np.ndarray | None) -> Features:
        """Keypoints of ``rgb`` (H, W, 3) uint8 whose pixel lies inside ``mask`` (H, W) bool, strongest first."""
        ...
