"""DISK (Tyszkiewicz et al., NeurIPS 2020), 128-d, with kornia's network."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from resight.extract.base import Extractor, Features
from resight.extract.params import ExtractorBase
from resight.extract.torch_base import TorchExtractor, to_tensor

if TYPE_CHECKING:
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

        from resight.weights.loading import strict_load

        super().__init__(params, device)
        model = DISK()
        strict_load(model, weights.state_dict(params.weights), name=params.weights)
        self._model = model.eval().to(self.device)

    def _extract(self, rgb: np.ndarray, mask: np.ndarray | None, size_wh_px: tuple[int, int]) -> Features | None:
        found = self._model(to_tensor(rgb, self.device, STRIDE_PX))[0]
        index = self._chosen(found.keypoints, found.detection_scores, mask, size_wh_px)
        return self._features(
            found.keypoints[index], found.descriptors[index], found.detection_scores[index], size_wh_px
        )
