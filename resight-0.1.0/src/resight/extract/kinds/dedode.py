"""DeDoDe (Edstedt et al., 3DV 2024), detector L and descriptor B, 256-d, with kornia's networks."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from resight.extract.base import Extractor
from resight.extract.params import ExtractorBase
from resight.extract.torch_base import Described, Detections, TorchExtractor, to_tensor
from resight.plugins.params import expert_field
from resight.weights.store import WeightStore

STRIDE_PX = 14


class DedodeParams(ExtractorBase):
    """DeDoDe (Edstedt et al., 3DV 2024) detector L with descriptor B, 256-d. MIT weights."""

    family: ClassVar[str] = "dedodeb"
    kind: Literal["dedode"] = "dedode"
    detector_weights: str = expert_field("dedode-detector-l", description="registry name or path")
    descriptor_weights: str = expert_field("dedode-descriptor-b", description="registry name or path")

    def weight_names(self) -> list[str]:
        return [self.detector_weights, self.descriptor_weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        return DedodeExtractor(self, weights, device)


class DedodeExtractor(TorchExtractor):
    """Keypoints at integer pixels, without non-maximum suppression, as its authors do.

    The detector gives as many as it is asked for. Descriptors keep their length: the LightGlue checkpoint for
    DeDoDe was trained on them as they come.
    """

    descriptor_dim = 256

    def __init__(self, params: DedodeParams, weights: WeightStore, device: str) -> None:
        import torch
        from kornia.feature import DeDoDe

        super().__init__(params, device)
        model = DeDoDe("L", "B", amp_dtype=torch.float32)
        for network, name in zip((model.detector, model.descriptor), params.weight_names(), strict=True):
            self._filled(network, weights.state_dict(name), name)
        self._model = model.eval().to(self.device)

    def _detect(self, rgb: np.ndarray, mask: np.ndarray | None) -> Detections:
        image = to_tensor(rgb, self.device, STRIDE_PX)
        height, width = image.shape[-2:]
        normalised, scores = self._model.detect(image, n=height * width)
        # kornia puts pixel i at (2 i + 1) / side - 1.
        xy = (normalised[0] + 1) * normalised.new_tensor([width, height]) / 2 - 0.5
        return Detections(
            xy.round(), scores[0], lambda index: Described(self._model.describe(image, normalised[:, index])[0])
        )
