"""SIFT (Lowe, IJCV 2004) in OpenCV or kornia, with RootSIFT (Arandjelovic and Zisserman, CVPR 2012)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from resight.extract.base import Extractor, Features
from resight.extract.params import ExtractorBase
from resight.extract.select import features, is_blank, keep, nothing, opencv_keypoints, wrap
from resight.extract.torch_base import Described, Detections, TorchExtractor, to_grey, to_numpy, to_tensor
from resight.plugins.params import expert_field
from resight.weights.store import WeightStore

if TYPE_CHECKING:
    import cv2

LAYERS = 3
EDGE_THRESHOLD = 10.0  # as Lowe has it; OpenCV's default
EPSILON = 1e-7
SIGMAS_PER_FRAME = 6.0
DOUBLED = 255 | 1 << 8  # OpenCV's octave field: octave -1, in which the picture is twice as large, and its first layer


class SiftParams(ExtractorBase):
    """SIFT (Lowe 2004), OpenCV; the best of those that were measured on turtles; needs no weights."""

    family: ClassVar[str] = "sift"
    kind: Literal["sift"] = "sift"
    root: bool = expert_field(
        True, description="RootSIFT (Arandjelovic and Zisserman 2012), which LightGlue's SIFT checkpoint expects"
    )
    contrast_threshold: float = expert_field(
        0.01, ge=0, description="least contrast of a keypoint; lower finds more keypoints on hazy photos"
    )
    size_exponent: float = expert_field(
        2.0, ge=0, le=4, description="strength is contrast times sigma to this power; 0: contrast alone, as in OpenCV"
    )
    backend: Literal["opencv", "kornia"] = expert_field(
        "opencv", description="kornia: the same detector in torch, slower on a CPU"
    )

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        return SiftExtractor(self) if self.backend == "opencv" else KorniaSiftExtractor(self, device)


def lightglue_scale_ori(keypoints: Features) -> tuple[np.ndarray, np.ndarray]:
    """What LightGlue's SIFT checkpoint reads besides the position.

    It was trained on COLMAP keypoints (cvg/LightGlue issue 130; kornia's ``LightGlueMatcher``): sigma, and the angle from
    the x towards the y axis in (-pi, pi]. That is how `Features` holds them. OpenCV's own ``size`` would be twice sigma.

    Returns:
        (N,) float32 sigma in pixels and (N,) float32 angle in rad.
    """
    return keypoints.scale_px, wrap(keypoints.angle_rad)


def root_sift(descriptors: np.ndarray) -> np.ndarray:
    """Square root of the L1-normalised histogram; (N, 128) float32 of unit L2 length."""
    descriptors = np.asarray(descriptors, np.float32)
    rooted: np.ndarray = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), EPSILON))
    return rooted


def unit(descriptors: np.ndarray) -> np.ndarray:
    """(N, D) float32 of unit L2 length."""
    descriptors = np.asarray(descriptors, np.float32)
    normed: np.ndarray = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), EPSILON)
    return normed


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
        import cv2

        self.params, self.family, self.max_keypoints = params, params.family, params.max_keypoints
        # OpenCV cuts to nfeatures before it looks at a mask, so it must find all. Its default doubling of the image
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
        import cv2

        size = (rgb.shape[1], rgb.shape[0])
        if is_blank(rgb, mask):
            return nothing(size, self.descriptor_dim, self.descriptor_dtype)
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        points = self._sift.detect(grey, None)
        if not points:
            return nothing(size, self.descriptor_dim, self.descriptor_dtype)
        xy, response, angle = opencv_keypoints(points)
        scale = np.array([point.size / 2 for point in points], np.float32)
        score = strength(response, scale, self.params.size_exponent)
        index = keep(xy, score, angle, mask, size, self.max_keypoints)
        normalise = root_sift if self.params.root else unit
        return features(
            xy[index],
            normalise(self._describe(grey, [points[i] for i in index])),
            score[index],
            size,
            self.descriptor_dtype,
            scale[index],
            angle[index],
        )

    def _describe(self, grey: np.ndarray, points: list[cv2.KeyPoint]) -> np.ndarray:
        """(N, 128) descriptors of the points that stay: most are found and dropped, and describing them all takes as long as finding them.

        OpenCV builds its pyramid anew, from the doubled picture only where a point lies there; another one lies there always, so that all are
        described on the same pixels on which they were found, to the last bit.
        """
        import cv2

        if not points:
            return np.zeros((0, self.descriptor_dim), np.float32)
        x, y = points[0].pt
        there = cv2.KeyPoint(x, y, 2.0, 0.0, 0.0, DOUBLED)
        described, descriptors = self._sift.compute(grey, [*points, there])
        if len(described) != len(points) + 1:
            raise RuntimeError(f"OpenCV described {len(described)} of {len(points) + 1} keypoints")
        return np.asarray(descriptors[:-1])


class KorniaSiftExtractor(TorchExtractor):
    """One orientation per point and no edge rejection, otherwise as OpenCV's; the response is the same quantity."""

    descriptor_dim = 128

    def __init__(self, params: SiftParams, device: str) -> None:
        from kornia.feature import SIFTFeatureScaleSpace

        super().__init__(params, device)
        self._sift = SIFTFeatureScaleSpace(
            # More than the budget: some fall outside the exact mask or under the contrast threshold, and large ones that
            # `strength` prefers are not among those of the highest contrast.
            num_features=(8 if params.size_exponent else 2) * params.max_keypoints,
            rootsift=params.root,
            descriptor_backend="pyramid",
            descriptor_layout="opencv",
            device=self.device,
        ).eval()

    def _detect(self, rgb: np.ndarray, mask: np.ndarray | None) -> Detections:
        import torch

        from resight.extract.lafs import detector_mask, filled, read_lafs

        grey = to_grey(to_tensor(rgb, self.device))
        lafs, response, descriptors = self._sift(grey, detector_mask(mask, grey))
        # OpenCV's threshold: |DoG| x layers.
        good = filled(lafs) & (response[0] * LAYERS >= self.params.contrast_threshold)
        lafs, response, descriptors = lafs[:, good], response[0, good], descriptors[0, good]
        xy, scale, angle = read_lafs(lafs)
        sigma = scale / SIGMAS_PER_FRAME
        score = strength(to_numpy(response), to_numpy(sigma), self.params.size_exponent)
        return Detections(
            xy,
            torch.from_numpy(score),
            lambda index: Described(descriptors[index], sigma[index], angle[index]),
            angle,
        )
