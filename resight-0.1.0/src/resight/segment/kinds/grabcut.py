"""The whole animal by GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004), as OpenCV has it: no weights needed.

It finds what has other colours than the frame's border. Underwater, light falls off smoothly towards the frame's edge,
which GrabCut would take for an object; so a smooth background is taken away first.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from resight.segment.base import Photo, Region, Segmenter
from resight.segment.geometry import bounds
from resight.segment.params import SegmenterBase
from resight.status import CropStatus
from resight.weights.store import WeightStore

SEED = 1
WORK_SIDE_PX = 320  # an outline needs no more, and GrabCut takes seconds on a whole photo
ROUNDS = 3
BORDER_FRACTION = 0.06  # frame border that is taken for background
MIN_AREA_FRACTION = 0.01  # smaller pieces are specks, no animals
OPENING_FRACTION = 0.01
FIT_ROUNDS = 6
FIT_EDGE = 0.8
FIT_INNER_WEIGHT = 0.05
CONTRAST = 2.0
OFF_CENTER_PENALTY = 0.7


class GrabCutParams(SegmenterBase):
    """OpenCV GrabCut for the whole animal: needs no weights, finds what differs from the frame's border."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["grabcut"] = "grabcut"

    def build(self, weights: WeightStore) -> Segmenter:
        return GrabCutSegmenter()


class GrabCutSegmenter:
    """Works on a small copy of the photo and gives at most one region.

    Its confidence is the share of the foreground that lies in the chosen piece: 1 where all of it is connected.
    """

    nothing_found = CropStatus.NO_HEAD

    def find(self, photo: Photo) -> list[Region]:
        from resight.segment.masks import polygons_of, resized

        small = resized(photo.rgb, min(1.0, WORK_SIDE_PX / max(photo.rgb.shape[:2])))
        foreground = _open(self._cut(small))
        piece = fill_holes(main_component(foreground))
        if piece.sum() < MIN_AREA_FRACTION * piece.size:
            return []
        scale = np.array(photo.rgb.shape[1::-1]) / np.array(small.shape[1::-1])
        polygon = np.array(polygons_of(piece)[0]) * scale
        return [
            Region(
                "whole",
                bounds(polygon),
                (tuple((float(x), float(y)) for x, y in polygon),),
                confidence=float((foreground & piece).sum() / foreground.sum()),
                segmenter="grabcut",
            )
        ]

    def _cut(self, rgb: np.ndarray) -> np.ndarray:
        """Foreground of a small image, (H, W) bool. An image of one colour has none."""
        import cv2

        if np.ptp(rgb.reshape(-1, 3), axis=0).max() == 0:
            return np.zeros(rgb.shape[:2], bool)
        height, width = rgb.shape[:2]
        x, y = (max(1, round(BORDER_FRACTION * side)) for side in (width, height))
        labels = np.zeros((height, width), np.uint8)
        cv2.setRNGSeed(SEED)
        cv2.grabCut(
            flatten(rgb),
            labels,
            (x, y, width - 2 * x, height - 2 * y),
            np.zeros((1, 65)),
            np.zeros((1, 65)),
            ROUNDS,
            cv2.GC_INIT_WITH_RECT,
        )
        foreground: np.ndarray = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
        return foreground


def flatten(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab minus a smooth background, grey where the image is like it: (H, W, 3) uint8 in, the same out.

    The background is a quadratic surface per channel, fitted by iteratively reweighted least squares with Cauchy's weights
    squared. It starts from the outer tenth on each side; what does not fit, the animal, soon weighs nothing.
    """
    import cv2

    height, width = rgb.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    weight = np.where(np.maximum(abs(x), abs(y)) > FIT_EDGE, 1.0, FIT_INNER_WEIGHT)
    for _ in range(FIT_ROUNDS):
        weighted = terms * weight[:, None]
        rest = lab - terms @ np.linalg.lstsq(weighted.T @ terms, weighted.T @ lab, rcond=None)[0]
        distance = np.linalg.norm(rest, axis=1)
        spread = 1.0 + 1.5 * np.median(distance[weight > 0.5] if (weight > 0.5).any() else distance)
        weight = 1 / (1 + (distance / spread) ** 2) ** 2
    flat: np.ndarray = np.clip(CONTRAST * rest + 128, 0, 255).astype(np.uint8).reshape(rgb.shape)
    return flat


def main_component(mask: np.ndarray) -> np.ndarray:
    """The connected piece with most area, pieces off the centre counting less; an empty mask stays empty.

    Area is multiplied by 1 - 0.7 d, with d the distance of the piece's centroid from the centre of the frame in units of
    half the diagonal.
    """
    import cv2

    n, labels, stats, centroids = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if n == 1:
        return mask
    half_wh = np.array(mask.shape[::-1]) / 2
    distance = np.linalg.norm(centroids[1:] + 0.5 - half_wh, axis=1) / np.linalg.norm(half_wh)
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA] * (1 - OFF_CENTER_PENALTY * distance)))
    return np.asarray(labels == best)


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Background that cannot be reached from the frame's edge becomes foreground."""
    import cv2

    outside = np.pad((~mask).astype(np.uint8), 1, constant_values=1)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return np.asarray(labels != labels[0, 0])[1:-1, 1:-1]


def _open(mask: np.ndarray) -> np.ndarray:
    """Cut off threads and specks thinner than about 1 % of the long side."""
    import cv2

    size = 2 * round(OPENING_FRACTION * max(mask.shape) / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel).astype(bool)
