"""DISK (Tyszkiewicz et al., NeurIPS 2020), 128-d, with kornia's network."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from resight.extract.base import Extractor
from resight.extract.params import ExtractorBase
from resight.extract.torch_base import Described, Detections, TorchExtractor, to_tensor
from resight.weights.store import WeightStore

STRIDE_PX = 16


class DiskParams(ExtractorBase):
    """DISK (Tyszkiewicz et al., NeurIPS 2020), 128-d. Apache-2.0 weights."""

    family: ClassVar[str] = "disk"
    kind: Literal["disk"] = "disk"
    weights: str = Field("disk-depth", description="registry name or path")

    def weight_names(self) -> list[str]:
        return [self.weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        return DiskExtractor(self, weights, device)


class DiskExtractor(TorchExtractor):
    """Keypoints at integer pixels; the score is the network's raw heat."""

    descriptor_dim = 128

    def __init__(self, params: DiskParams, weights: WeightStore, device: str) -> None:
        from kornia.feature import DISK

        super().__init__(params, device)
        self._model = self._filled(DISK(), weights.state_dict(params.weights), params.weights)

    def _detect(self, rgb: np.ndarray, mask: np.ndarray | None) -> Detections:
        detected = self._model(to_tensor(rgb, self.device, STRIDE_PX))[0]
        return Detections(
            detected.keypoints, detected.detection_scores, lambda index: Described(detected.descriptors[index])
        )
