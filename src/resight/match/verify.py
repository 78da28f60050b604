"""Geometric verification: which matches agree with one homography or one epipolar geometry."""

from __future__ import annotations

import cv2
import numpy as np

from resight.extract.base import Features
from resight.match.base import PairMatch
from resight.match.params import VerifyParams

# One more than the smallest sample that fixes the model: that sample always agrees with itself and proves nothing.
MIN_MATCHES = {"homography": 5, "affine": 4, "fundamental": 8}
RNG_SEED = 0


def verified_match(
    a: Features, b: Features, index_a: np.ndarray, index_b: np.ndarray, confidence: np.ndarray, params: VerifyParams
) -> PairMatch:
    """What a matcher gives back: (M,) mutual matches with confidences in (0, 1], and which of them are `inliers`."""
    return PairMatch(
        index_a=index_a.astype(np.int32),
        index_b=index_b.astype(np.int32),
        confidence=confidence.astype(np.float32),
        inlier=inliers(a.xy_px[index_a], b.xy_px[index_b], params, confidence),
        n_a=len(a),
        n_b=len(b),
        verified=params.model != "none",
    )


def inliers(
    xy_a_px: np.ndarray, xy_b_px: np.ndarray, params: VerifyParams, confidence: np.ndarray | None = None
) -> np.ndarray:
    """Fit one geometry with MAGSAC++ (Barath et al., CVPR 2020; OpenCV) and say which matches agree with it.

    An affine map is fitted by RANSAC instead (OpenCV has no other for it): the scutes of one side lie nearly in a plane, and
    its six numbers are fixed by fewer matches, which weak evidence has few of.

    The sampling is seeded, so equal input gives equal output; the fit goes from a to b and is therefore not exactly
    mirrored when the two are swapped.

    Args:
        xy_a_px: (M, 2) float, matched points of crop a.
        xy_b_px: (M, 2) float, their partners in crop b.
        params: Model, threshold in pixels of crop b, and effort.
        confidence: (M,) of the matches; those below ``params.min_confidence`` are no inliers and fix no geometry.

    Returns:
        (M,) bool; all False where nothing is to be fitted, or too few matches or inliers to prove anything.
    """
    agree = np.zeros(len(xy_a_px), bool)
    sure = np.arange(len(agree)) if confidence is None else np.flatnonzero(confidence >= params.min_confidence)
    if params.model == "none" or len(sure) < MIN_MATCHES[params.model]:
        return agree
    a, b = np.ascontiguousarray(xy_a_px[sure], np.float64), np.ascontiguousarray(xy_b_px[sure], np.float64)
    cv2.setRNGSeed(RNG_SEED)
    model, mask = _fit(a, b, params)
    if model is not None and mask is not None and mask.sum() >= MIN_MATCHES[params.model]:
        agree[sure] = mask.ravel() > 0
    return agree


def _fit(a: np.ndarray, b: np.ndarray, params: VerifyParams) -> tuple[np.ndarray | None, np.ndarray | None]:
    if params.model == "homography":
        return cv2.findHomography(
            a, b, cv2.USAC_MAGSAC, params.threshold_px, maxIters=params.iterations, confidence=params.confidence
        )
    if params.model == "affine":
        return cv2.estimateAffine2D(
            a, b, method=cv2.RANSAC, ransacReprojThreshold=params.threshold_px,
            maxIters=params.iterations, confidence=params.confidence,
        )  # fmt: skip
    return cv2.findFundamentalMat(a, b, cv2.USAC_MAGSAC, params.threshold_px, params.confidence, params.iterations)
