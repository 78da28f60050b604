"""Geometric verification: which matches agree with one homography or one epipolar geometry."""

from __future__ import annotations

import cv2
import numpy as np

from resight.match.params import VerifyParams

# One more than the smallest sample that fixes the model: that sample always agrees with itself and proves nothing.
MIN_MATCHES = {"homography": 5, "fundamental": 8}
RNG_SEED = 0


def inliers(xy_a_px: np.ndarray, xy_b_px: np.ndarray, params: VerifyParams) -> np.ndarray:
    """Fit one geometry with MAGSAC++ (Barath et al., CVPR 2020; OpenCV) and say which matches agree with it.

    The sampling is seeded, so equal input gives equal output; the fit goes from a to b and is therefore not exactly
    mirrored when the two are swapped.

    Args:
        xy_a_px: (M, 2) float, matched points of crop a.
        xy_b_px: (M, 2) float, their partners in crop b.
        params: Model, threshold in pixels of crop b, and effort.

    Returns:
        (M,) bool; all False where nothing is to be fitted, or too few matches or inliers to prove anything.
    """
    none = np.zeros(len(xy_a_px), bool)
    if params.model == "none" or len(xy_a_px) < MIN_MATCHES[params.model]:
        return none
    a, b = np.ascontiguousarray(xy_a_px, np.float64), np.ascontiguousarray(xy_b_px, np.float64)
    cv2.setRNGSeed(RNG_SEED)
    model, mask = _fit(a, b, params)
    if model is None or mask is None or mask.sum() < MIN_MATCHES[params.model]:
        return none
    return mask.ravel().astype(bool)


def _fit(a: np.ndarray, b: np.ndarray, params: VerifyParams) -> tuple[np.ndarray | None, np.ndarray | None]:
    if params.model == "homography":
        return cv2.findHomography(
            a, b, cv2.USAC_MAGSAC, params.threshold_px, maxIters=params.iterations, confidence=params.confidence
        )
    return cv2.findFundamentalMat(a, b, cv2.USAC_MAGSAC, params.threshold_px, params.confidence, params.iterations)
