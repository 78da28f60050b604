"""Votes that survive spatial verification: those whose keypoints agree in turn, size and place.

HotSpotter (Crall et al., WACV 2013) counts LNBNN votes only after spatial verification. Here the two
keypoints of a vote must differ in turn and size no more than an upright head that is photographed again, and all votes must
agree with one affine map (RANSAC, OpenCV, seeded).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from resight.extract.base import Features

LARGEST_TURN_RAD = 0.7
LARGEST_LOG2_SCALE = 1.5
THRESHOLD_FRACTION = 0.04  # of the gallery crop's long side; generous, because heads are curved and bend
MIN_VOTES = 4  # one more than fixes an affine map
RNG_SEED = 0


class Verified(NamedTuple):
    """What verification says of a query and a gallery crop.

    Attributes:
        votes: Sum of the query's votes for the crop that pass.
        voters: (V,) uint16, the query's descriptors whose votes agree in turn and size, each as often as it votes. Fewer than `MIN_VOTES` pass nothing.
    """

    votes: float
    voters: np.ndarray


def verified_votes(
    query: Features, gallery: Features, background: np.ndarray, per_crop: int, neighbours: int
) -> Verified:
    """The query's votes for the gallery crop that pass.

    Each of the query's descriptors votes ``background - distance`` for every descriptor of the gallery crop that is nearer
    than its background, for at most ``neighbours`` of them.

    Args:
        query, gallery: Features, strongest first.
        background: (N,) distance of each of the query's descriptors to the nearest one that gets no vote.
        per_crop: Strongest descriptors that count.
        neighbours: K.
    """
    x, y = (np.asarray(f.descriptors[:per_crop], np.float32) for f in (query, gallery))
    if not len(x) or not len(y) or query.binary:
        return Verified(0.0, np.zeros(0, np.uint16))
    i, j, vote = _votes(x, y, background[: len(x)], neighbours)
    upright = _agree(query, gallery, i, j)
    i, j, vote = i[upright], j[upright], vote[upright]
    inside = _on_one_map(query.xy_px[i], gallery.xy_px[j], THRESHOLD_FRACTION * max(gallery.size_wh_px))
    return Verified(float(vote[inside].sum()), i.astype(np.uint16))


def as_floats(features: Features) -> Features:
    """The same with descriptors as they are compared, for one that is compared with many; binary ones stay."""
    if features.binary:
        return features
    return replace(features, descriptors=np.asarray(features.descriptors, np.float32))


def _votes(
    x: np.ndarray, y: np.ndarray, background: np.ndarray, neighbours: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(V,) rows of ``x`` and of ``y`` and votes above 0, the most for each row of ``x``.

    Hardly any of all pairs is near enough to vote, so only for these is a distance computed, and from differences: |x - y| < b is
    x y > (|x|^2 + |y|^2 - b^2) / 2.
    """
    least = (np.square(x).sum(axis=1) - np.square(background))[:, None] + np.square(y).sum(axis=1)
    i, j = np.nonzero(x @ y.T > 0.5 * least)
    vote = background[i].astype(np.float64) - np.linalg.norm((x[i] - y[j]).astype(np.float64), axis=1)
    order = np.lexsort((j, -vote, i))
    i, j, vote = i[order], j[order], vote[order]
    starts = np.searchsorted(i, np.arange(len(x)))
    counts = (vote > 0) & (np.arange(len(i)) - starts[i] < neighbours)
    return i[counts], j[counts], vote[counts]


def _agree(query: Features, gallery: Features, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """(M,) bool, turn and change of size are small; True where the detector gives neither."""
    turn = query.angle_rad[i] - gallery.angle_rad[j]
    turn = np.abs(np.mod(turn + np.pi, 2 * np.pi) - np.pi)
    a, b = query.scale_px[i], gallery.scale_px[j]
    have_size = (a > 0) & (b > 0)
    change = np.abs(np.log2(np.divide(a, b, out=np.ones_like(a), where=have_size)))
    return (turn < LARGEST_TURN_RAD) & (change < LARGEST_LOG2_SCALE)


def _on_one_map(a: np.ndarray, b: np.ndarray, threshold_px: float) -> np.ndarray:
    none = np.zeros(len(a), bool)
    if len(a) < MIN_VOTES:
        return none
    cv2.setRNGSeed(RNG_SEED)
    a, b = np.ascontiguousarray(a, np.float64), np.ascontiguousarray(b, np.float64)
    model, mask = cv2.estimateAffine2D(
        a, b, method=cv2.RANSAC, ransacReprojThreshold=threshold_px, maxIters=1000, confidence=0.99
    )
    if model is None or mask is None or mask.sum() < MIN_VOTES:
        return none
    return mask.ravel().astype(bool)
