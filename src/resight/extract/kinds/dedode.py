"""DeDoDe (Edstedt et al., 3DV 2024), detector L and descriptor B, 256-d, with kornia's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from resight.extract.base import Extractor, Features
from resight.extract.params import ExtractorBase
from resight.extract.torch_base import TorchExtractor, to_tensor
from resight.plugins.params import expert_field

if TYPE_CHECKING:
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

    The detector always gives as many as are asked for. Descriptors keep their length: the LightGlue checkpoint for
    DeDoDe was trained on them as they come.
    """

    descriptor_dim = 256

    def __init__(self, params: DedodeParams, weights: WeightStore, device: str) -> None:
        import torch
        from kornia.feature import DeDoDe

        from resight.weights.loading import strict_load

        super().__init__(params, device)
        model = DeDoDe("L", "B", amp_dtype=torch.float32)
        strict_load(model.detector, weights.state_dict(params.detector_weights), name=params.detector_weights)
        strict_load(model.descriptor, weights.state_dict(params.descriptor_weights), name=params.descriptor_weights)
        self._model = model.eval().to(self.device)

    def _extract(self, rgb: np.ndarray, mask: np.ndarray | None, size_wh_px: tuple[int, int]) -> Features | None:
        picture = to_tensor(rgb, self.device, STRIDE_PX)
        height, width = picture.shape[-2:]
        normalised, scores = self._model.detect(picture, n=height * width)
        # kornia puts pixel i at (2 i + 1) / side - 1.
        xy = (normalised[0] + 1) * normalised.new_tensor([width, height]) / 2 - 0.5
        index = self._chosen(xy.round(), scores[0], mask, size_wh_px)
        if len(index) == 0:
            return None
        descriptors = self._model.describe(picture, normalised[:, index])[0]
        return self._features(xy[index].round(), descriptors, scores[0][index], size_wh_px)
