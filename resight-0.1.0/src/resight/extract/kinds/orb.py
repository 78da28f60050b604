"""ORB (Rublee et al., ICCV 2011), OpenCV."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from resight.extract.base import Extractor, Features
from resight.extract.params import ExtractorBase
from resight.extract.select import features, is_blank, keep, nothing, opencv_keypoints
from resight.weights.store import WeightStore

PATCH_PX = 31


class OrbParams(ExtractorBase):
    """ORB (Rublee et al. 2011): the classical binary baseline."""

    family: ClassVar[str] = "orb"
    binary: ClassVar[bool] = True
    kind: Literal["orb"] = "orb"

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        return OrbExtractor(self)


class OrbExtractor:
    """256 comparisons per keypoint, 32 bytes. ``scale_px`` is the pixel size of the pyramid level: ORB has no sigma."""

    descriptor_dim = 32
    descriptor_dtype = "uint8"

    def __init__(self, params: OrbParams) -> None:
        import cv2

        self.params, self.family, self.max_keypoints = params, params.family, params.max_keypoints
        self._orb = cv2.ORB.create(nfeatures=params.max_keypoints, patchSize=PATCH_PX)

    def extract(self, rgb: np.ndarray, mask: np.ndarray | None) -> Features:
        """Keypoints of ``rgb`` (H, W, 3) uint8 whose pixel lies inside ``mask`` (H, W) bool, strongest first."""
        import cv2

        size = (rgb.shape[1], rgb.shape[0])
        if is_blank(rgb, mask):
            return nothing(size, self.descriptor_dim, self.descriptor_dtype)
        # ORB shares its budget out among the levels and looks at the mask before that.
        area = None if mask is None else np.where(mask, 255, 0).astype(np.uint8)
        points, descriptors = self._orb.detectAndCompute(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), area)
        if not points:
            return nothing(size, self.descriptor_dim, self.descriptor_dtype)
        xy, score, angle = opencv_keypoints(points)
        scale = np.array([point.size / PATCH_PX for point in points], np.float32)
        index = keep(xy, score, angle, mask, size, self.max_keypoints)
        return features(
            xy[index], descriptors[index], score[index], size, self.descriptor_dtype, scale[index], angle[index]
        )
