"""Boxes as detectors give them, and which of them say the same thing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_OVERLAP = 0.5  # two boxes that share more show the same animal
MAX_REGIONS = 4  # photos of more turtles than this are not used to tell one


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


def suppress(boxes: Boxes, max_overlap: float = MAX_OVERLAP) -> np.ndarray:
    """Places of the boxes that are kept, best first: greedy, by intersection over union within a class."""
    order = np.argsort(-boxes.scores, kind="stable")
    kept: list[int] = []
    for place in order:
        rivals = [k for k in kept if boxes.classes[k] == boxes.classes[place]]
        if not rivals or _iou(boxes.xyxy_px[place], boxes.xyxy_px[rivals]).max() <= max_overlap:
            kept.append(int(place))
    return np.array(kept, int)


def _iou(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    return both / (np.prod(one[2:] - one[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - both + 1e-9)
