"""SIFT (Lowe, IJCV 2004) in OpenCV or kornia, with RootSIFT (Arandjelovic and Zisserman, CVPR 2012)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from resight.extract.base import Extractor, Features
from resight.extract.params import SiftParams
from resight.extract.select import features, is_blank, keep, nothing, wrap

LAYERS = 3
EDGE_THRESHOLD = 10.0  # as Lowe has it; OpenCV's default
EPSILON = 1e-7


def build_sift(params: SiftParams, device: str) -> Extractor:
    """The extractor of the chosen backend."""
    if params.backend == "opencv":
        return SiftExtractor(params)
    from resight.extract.sift_kornia import KorniaSiftExtractor

    return KorniaSiftExtractor(params, device)


def lightglue_scale_ori(found: Features) -> tuple[np.ndarray, np.ndarray]:
    """What LightGlue's SIFT checkpoint reads besides the position.

    It was trained on COLMAP keypoints (cvg/LightGlue issue 130; kornia's ``LightGlueMatcher``): sigma, and the angle from
    the x towards the y axis in (-pi, pi]. That is how `Features` holds them. OpenCV's own ``size`` would be twice sigma.

    Returns:
        (N,) float32 sigma in pixels and (N,) float32 angle in rad.
    """
    return found.scale_px, wrap(found.angle_rad)


def root_sift(descriptors: np.ndarray) -> np.ndarray:
    """Square root of the L1-normalised histogram; (N, 128) float32 of unit L2 length."""
    descriptors = np.asarray(descriptors, np.float32)
    return np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), EPSILON))


def unit(descriptors: np.ndarray) -> np.ndarray:
    """(N, D) float32 of unit L2 length."""
    descriptors = np.asarray(descriptors, np.float32)
    return descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), EPSILON)


def strength(response: np.ndarray, sigma_px: np.ndarray, exponent: float) -> np.ndarray:
    """``response * sigma^exponent``, (N,) float32: what decides which keypoints stay.

    By contrast alone a sharp close-up spends its budget on skin texture of two or three pixels, which no photo from farther
    away, in haze or of another year shows; the borders of the scutes are several times as large.
    """
    return np.asarray(response * sigma_px.astype(np.float64) ** exponent, np.float32)


class SiftExtractor:
    """OpenCV's SIFT.

    A point with several dominant orientations gives several keypoints at one place. Descriptors are kept as float16: on
    real crops its rounding (2^-11) changes no match that passes the ratio test.
    """

    descriptor_dim = 128
    descriptor_dtype = "float16"

    def __init__(self, params: SiftParams) -> None:
        self.params, self.family, self.max_keypoints = params, params.family, params.max_keypoints
        # OpenCV cuts to nfeatures before it looks at a mask, so it is asked for all. Its default doubling of the picture
        # moves every keypoint by a quarter of a pixel; the precise one does not.
        self._sift = cv2.SIFT.create(
            nfeatures=0,
            nOctaveLayers=LAYERS,
            contrastThreshold=params.contrast_threshold,
            edgeThreshold=EDGE_THRESHOLD,
            sigma=1.6,
            enable_precise_upscale=True,
        )

    def extract(self, rgb: np.ndarray, mask: np.ndarray | None) -> Features:
        """Keypoints of ``rgb`` (H, W, 3) uint8 whose pixel lies inside ``mask`` (H, W) bool, strongest first."""
        size = (rgb.shape[1], rgb.shape[0])
        if is_blank(rgb, mask):
            return nothing(size, self.descriptor_dim, self.descriptor_dtype)
        points, descriptors = self._sift.detectAndCompute(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), None)
        if not points:
            return nothing(size, self.descriptor_dim, self.descriptor_dtype)
        xy, response, angle = arrays(points)
        scale = np.array([point.size / 2 for point in points], np.float32)
        score = strength(response, scale, self.params.size_exponent)
        index = keep(xy, score, angle, mask, size, self.max_keypoints)
        normalise = root_sift if self.params.root else unit
        return features(
            xy[index],
            normalise(descriptors[index]),
            score[index],
            size,
            self.descriptor_dtype,
            scale[index],
            angle[index],
        )


def arrays(points: Sequence[cv2.KeyPoint]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 2) position, (N,) response and (N,) angle in rad of OpenCV keypoints; OpenCV's angle is clockwise on the screen."""
    xy = np.array([point.pt for point in points], np.float32)
    score = np.array([point.response for point in points], np.float32)
    return xy, score, wrap(np.deg2rad([point.angle for point in points]))
