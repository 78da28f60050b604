"""Geometric verification: which matches agree with one affine map, one homography or one epipolar geometry."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from resight.extract.base import Features
from resight.match.affine import Shapes, affine_agreement, affine_consensus
from resight.match.base import Matches, PairMatch
from resight.match.params import GRADED, VerifyParams

# One more than the smallest sample that fixes the model: such a sample always agrees with itself and proves nothing.
AFFINE = "affine"
MIN_MATCHES = {"homography": 5, AFFINE: 4, GRADED: 4, "fundamental": 8}
RNG_SEED = 0
# Sampling stops when the best geometry is found with this probability, or after so many samples.
SURE = 0.999
MAX_SAMPLES = 2000


def verified_match(a: Features, b: Features, matches: Matches, params: VerifyParams) -> PairMatch:
    """What a matcher gives back: the matches of two crops, which of them are `inliers`, and how well they agree."""
    fits = fit_of(a, b, matches, params)
    return PairMatch(
        index_a=matches.index_a.astype(np.int32),
        index_b=matches.index_b.astype(np.int32),
        confidence=matches.confidence.astype(np.float32),
        inlier=fits.inlier,
        n_a=len(a),
        n_b=len(b),
        verified=params.model != "none",
        agreement=fits.agreement,
    )


@dataclass(frozen=True)
class Fit:
    """How the matches of two crops fit one geometry.

    Attributes:
        inlier: (M,) bool, see `inliers`.
        agreement: See `match.affine.affine_agreement`; None where matches are not graded.
    """

    inlier: np.ndarray
    agreement: float | None


def fit_of(a: Features, b: Features, matches: Matches, params: VerifyParams) -> Fit:
    """`inliers` of matched keypoints and how well they agree, with their sizes and directions where the detectors give any."""
    index_a, index_b = matches.index_a, matches.index_b
    xy_a, xy_b, shapes = a.xy_px[index_a], b.xy_px[index_b], _shapes(a, b, matches)
    inlier = inliers(xy_a, xy_b, params, matches.confidence, shapes)
    if params.model != GRADED:
        return Fit(inlier, None)
    return Fit(inlier, affine_agreement(xy_a, xy_b, matches.confidence, inlier, params.threshold_px, shapes))


def _shapes(a: Features, b: Features, matches: Matches) -> Shapes | None:
    """Of the matched keypoints; None where the detector gives a keypoint no size."""
    size_a, size_b = a.scale_px[matches.index_a], b.scale_px[matches.index_b]
    if not len(size_a) or min(size_a.min(), size_b.min()) <= 0:
        return None
    return Shapes(size_b / size_a, b.angle_rad[matches.index_b] - a.angle_rad[matches.index_a])


def inliers(
    xy_a_px: np.ndarray,
    xy_b_px: np.ndarray,
    params: VerifyParams,
    confidence: np.ndarray | None = None,
    shapes: Shapes | None = None,
) -> np.ndarray:
    """Fit one geometry and tell which matches agree with it.

    Homography and epipolar geometry by MAGSAC++ (Barath et al., CVPR 2020; OpenCV): the sampling is seeded, so equal input
    gives equal output; the fit is one from a to b, so swapping the two does not exactly mirror it.

    An affine map by `affine_consensus`, which is exactly mirrored. The scutes of one side lie nearly in a plane, and an affine
    map needs fewer matches than the others, which helps where there are few.

    Args:
        xy_a_px: (M, 2) float, matched points of crop a.
        xy_b_px: (M, 2) float, their partners in crop b.
        params: Model and threshold in pixels of crop b (affine: of either crop).
        confidence: (M,) of the matches; those below ``params.min_confidence`` are no inliers and fix no geometry.
        shapes: Of the matched keypoints, where the detectors give any; only the affine map uses them.

    Returns:
        (M,) bool; all False where nothing is to be fitted, or too few matches or inliers to prove anything.
    """
    agree = np.zeros(len(xy_a_px), bool)
    sure = np.arange(len(agree)) if confidence is None else np.flatnonzero(confidence >= params.min_confidence)
    if params.model == "none" or len(sure) < MIN_MATCHES[params.model]:
        return agree
    a, b = np.ascontiguousarray(xy_a_px[sure], np.float64), np.ascontiguousarray(xy_b_px[sure], np.float64)
    if params.model in (AFFINE, GRADED):
        weight = np.ones(len(sure)) if confidence is None else confidence[sure]
        chosen = None if shapes is None else Shapes(shapes.zoom[sure], shapes.turn_rad[sure])
        mask = affine_consensus(a, b, weight, params.threshold_px, MAX_SAMPLES, chosen)
    else:
        mask = _magsac(a, b, params)
    if mask.sum() >= MIN_MATCHES[params.model]:
        agree[sure] = mask
    return agree


def _magsac(a: np.ndarray, b: np.ndarray, params: VerifyParams) -> np.ndarray:
    """(M,) bool; all False where OpenCV finds nothing."""
    cv2.setRNGSeed(RNG_SEED)
    if params.model == "homography":
        model, mask = cv2.findHomography(
            a, b, cv2.USAC_MAGSAC, params.threshold_px, maxIters=MAX_SAMPLES, confidence=SURE
        )
    else:
        model, mask = cv2.findFundamentalMat(a, b, cv2.USAC_MAGSAC, params.threshold_px, SURE, MAX_SAMPLES)
    return np.zeros(len(a), bool) if model is None or mask is None else np.asarray(mask.ravel() > 0)
