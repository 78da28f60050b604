"""XFeat (Potje et al., CVPR 2024), 64-d, with kornia's network."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from resight.extract.base import Extractor
from resight.extract.params import ExtractorBase
from resight.extract.torch_base import Described, Detections, TorchExtractor, to_tensor
from resight.plugins.params import expert_field
from resight.weights.store import WeightStore

CELL_PX = 8
STRIDE_PX = 32
NMS_PX = 5


class XFeatParams(ExtractorBase):
    """XFeat (Potje et al., CVPR 2024), 64-d; fast on CPU. Apache-2.0 weights."""

    family: ClassVar[str] = "xfeat"
    kind: Literal["xfeat"] = "xfeat"
    max_keypoints: int = Field(
        512, ge=1, le=8192, description="most keypoints per crop, strongest first; more take longer to match"
    )
    weights: str = Field("xfeat", description="registry name, or path of a .safetensors, .pt or .pth file")
    detection_threshold: float = expert_field(0.05, ge=0, description="least strength of a keypoint")

    def weight_names(self) -> list[str]:
        return [self.weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        return XFeatExtractor(self, weights, device)


class XFeatExtractor(TorchExtractor):
    """Sparse keypoints at integer pixels.

    kornia's own wrapper shrinks the image to a multiple of 32, which moves keypoints by up to half of the difference;
    here it is padded instead, and the mask is applied before the strongest are chosen. float32 only (the network breaks in
    half precision). The fine matcher, which only the semi-dense variant uses, need not be in the file.
    """

    descriptor_dim = 64

    def __init__(self, params: XFeatParams, weights: WeightStore, device: str) -> None:
        from kornia.feature.xfeat import InterpolateSparse2d, XFeatModel

        from resight.weights.loading import without_prefix

        super().__init__(params, device)
        state = without_prefix(without_prefix(weights.state_dict(params.weights), "extractor.model.net."), "net.")
        self._model = self._filled(XFeatModel(), state, params.weights, ("fine_matcher.*",))
        self._bilinear, self._bicubic = InterpolateSparse2d("bilinear"), InterpolateSparse2d("bicubic")

    def _detect(self, rgb: np.ndarray, mask: np.ndarray | None) -> Detections | None:
        import torch
        import torch.nn.functional as F
        from kornia.geometry.subpix import nms2d

        image = to_tensor(rgb, self.device, STRIDE_PX)
        height, width = image.shape[-2:]
        dense, logits, reliability = self._model(image)
        heat = F.pixel_shuffle(logits.softmax(dim=1)[:, : CELL_PX**2], CELL_PX)
        peaks = nms2d(heat, (NMS_PX, NMS_PX), mask_only=True) & (heat > self.params.detection_threshold)
        y, x = peaks[0, 0].nonzero(as_tuple=True)
        if len(x) == 0:
            return None
        xy = torch.stack([x, y], dim=1).float()
        score = heat[0, 0, y, x] * self._bilinear(reliability, xy[None], height, width)[0, :, 0]

        def describe(index: torch.Tensor) -> Described:
            descriptors = self._bicubic(F.normalize(dense, dim=1), xy[index][None], height, width)[0]
            return Described(F.normalize(descriptors, dim=-1))

        return Detections(xy, score, describe)
