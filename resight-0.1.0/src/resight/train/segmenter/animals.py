"""Where the animal is in a photo whose head is outlined: GrabCut between the outline and the body's box."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from resight.segment.geometry import Box
from resight.train.segmenter.samples import OutlinedPhoto

WORK_SIDE_PX = 224
ROUNDS = 3
LIKELY = (0.25, 0.95)  # share of the body's box that an animal covers; anything else is a cut that went wrong


def with_animal(sample: OutlinedPhoto) -> OutlinedPhoto:
    """The photo with `OutlinedPhoto.animal`, or without if the cut cannot be trusted: no box of the body, nothing beside it, or
    an unlikely share of it."""
    height, width = sample.rgb.shape[:2]
    if sample.body_xywh_px is None or not len(sample.head_xy_px):
        return sample
    scale = WORK_SIDE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(sample.rgb, size, interpolation=cv2.INTER_AREA)
    labels, inside = _prior(sample, sample.body_xywh_px, scale, size)
    if inside.mean() > 0.9:
        return sample
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(small, labels, (0, 0, 1, 1), *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # too few pixels of one kind
        return sample
    animal = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    share = float(animal[inside].mean())
    if not LIKELY[0] <= share <= LIKELY[1]:
        return sample
    large = cv2.resize(animal * 255, (width, height), interpolation=cv2.INTER_CUBIC)
    return replace(sample, animal=cv2.GaussianBlur(large, (0, 0), 0.7 / scale))


def _prior(
    sample: OutlinedPhoto, body_xywh_px: Box, scale: float, size_wh_px: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Labels for GrabCut, (h, w) uint8, and the inside of the body's box, (h, w) bool."""
    x, y, w, h = (v * scale for v in body_xywh_px)
    labels = np.full(size_wh_px[::-1], cv2.GC_BGD, np.uint8)
    box = np.zeros(labels.shape, bool)
    box[max(0, int(y)) : int(y + h) + 1, max(0, int(x)) : int(x + w) + 1] = True
    head = np.zeros(labels.shape, np.uint8)
    cv2.fillPoly(head, [np.round(sample.head_xy_px * scale).astype(np.int32)], 1)
    middle = np.zeros(labels.shape, np.uint8)
    cv2.ellipse(middle, (int(x + w / 2), int(y + h / 2)), (int(w * 0.38), int(h * 0.38)), 0, 0, 360, 1, -1)
    labels[box] = cv2.GC_PR_BGD
    labels[(middle > 0) & box] = cv2.GC_PR_FGD
    labels[head > 0] = cv2.GC_FGD
    return labels, box | (head > 0)
