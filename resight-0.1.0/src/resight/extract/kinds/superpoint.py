"""SuperPoint (DeTone, Malisiewicz, Rabinovich, CVPR Workshops 2018), 256-d.

The published weights are for non-commercial use only and are never fetched.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from resight.extract.base import Extractor
from resight.extract.params import ExtractorBase
from resight.extract.torch_base import Described, Detections, TorchExtractor, to_grey, to_tensor
from resight.plugins.params import expert_field
from resight.weights.store import WeightStore

BORDER_PX = 4
NMS_RADIUS_PX = 4  # as published


class SuperpointParams(ExtractorBase):
    """SuperPoint (DeTone et al. 2018), 256-d. Its weights are for non-commercial use only, so they are never fetched."""

    family: ClassVar[str] = "superpoint"
    kind: Literal["superpoint"] = "superpoint"
    weights: str = Field(description="path of superpoint_v1.pth (Magic Leap licence, non-commercial)")
    detection_threshold: float = expert_field(0.0005, ge=0, description="least strength of a keypoint")

    def weight_names(self) -> list[str]:
        return [self.weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        return SuperpointExtractor(self, weights, device)


class SuperpointExtractor(TorchExtractor):
    """Keypoints at integer pixels, at least 4 px from the border."""

    descriptor_dim = 256

    def __init__(self, params: SuperpointParams, weights: WeightStore, device: str) -> None:
        from resight.extract.superpoint_network import SuperpointNetwork

        super().__init__(params, device)
        self._network = self._filled(SuperpointNetwork(), weights.state_dict(params.weights), params.weights)

    def _detect(self, rgb: np.ndarray, mask: np.ndarray | None) -> Detections:
        import torch
        import torch.nn.functional as F

        from resight.extract.superpoint_network import CELL_PX, peaks, sample

        logits, dense = self._network(to_grey(to_tensor(rgb, self.device, CELL_PX)))
        heat = F.pixel_shuffle(logits.softmax(dim=1)[:, : CELL_PX**2], CELL_PX)[0, 0]
        good = peaks(heat, NMS_RADIUS_PX) & (heat > self.params.detection_threshold)
        y, x = good.nonzero(as_tuple=True)
        height, width = rgb.shape[:2]
        inner = (x >= BORDER_PX) & (x < width - BORDER_PX) & (y >= BORDER_PX) & (y < height - BORDER_PX)
        xy = torch.stack([x, y], dim=1)[inner].float()
        return Detections(xy, heat[y, x][inner], lambda index: Described(sample(dense, xy[index])))
