"""Boxes as detectors give them, which of them show the same animal, and the regions that they become."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resight.segment.base import Region

MAX_OVERLAP = 0.5  # two boxes that share more show the same animal
MAX_REGIONS = 4  # a photo of more turtles than this is no portrait of any of them


@dataclass(frozen=True)
class Boxes:
    """Raw detections in pixels of the network's input.

    Attributes:
        xyxy_px: (N, 4) float32.
        scores: (N,) float32, 0 to 1.
        classes: (N,) int.
        coefficients: (N, m) float32; m is 0 for detectors.
    """

    xyxy_px: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    coefficients: np.ndarray

    def take(self, places: np.ndarray) -> Boxes:
        """Those at ``places``."""
        return Boxes(self.xyxy_px[places], self.scores[places], self.classes[places], self.coefficients[places])

    def best(self, wanted: np.ndarray) -> Boxes:
        """Of the boxes that are ``wanted`` ((N,) bool) at most `MAX_REGIONS`, best first, each animal once."""
        chosen = self.take(np.flatnonzero(wanted))
        return chosen.take(suppress(chosen)[:MAX_REGIONS])


def corners_of(centred: np.ndarray) -> np.ndarray:
    """(N, 4) left, top, right and bottom from (N, 4) centre and size."""
    half = centred[:, 2:] / 2
    return np.concatenate([centred[:, :2] - half, centred[:, :2] + half], 1)


def box_region(part: str, xyxy_px: np.ndarray, photo_wh_px: tuple[int, int]) -> Region | None:
    """A region with what of a box (left, top, right, bottom) lies inside the photo; None where nothing does."""
    (left, top), (right, bottom) = np.clip(xyxy_px.reshape(2, 2), 0, photo_wh_px).tolist()
    return Region(part, (left, top, right - left, bottom - top)) if right > left and bottom > top else None


def suppress(boxes: Boxes, max_overlap: float = MAX_OVERLAP) -> np.ndarray:
    """Places of the boxes that are kept, best first: greedy, by intersection over union within a class."""
    order = np.argsort(-boxes.scores, kind="stable")
    kept: list[int] = []
    for place in order:
        rivals = [k for k in kept if boxes.classes[k] == boxes.classes[place]]
        if not rivals or _iou(boxes.xyxy_px[place], boxes.xyxy_px[rivals]).max() <= max_overlap:
            kept.append(int(place))
    return np.array(kept, int)


def _iou(box: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], rivals[:, :2]), np.minimum(box[2:], rivals[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    return both / (np.prod(box[2:] - box[:2]) + np.prod(rivals[:, 2:] - rivals[:, :2], axis=1) - both + 1e-9)
