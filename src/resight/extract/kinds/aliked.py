"""ALIKED (Zhao et al., IEEE TIM 2023), 128-d (t16: 64-d), with kornia's network."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from resight.extract.base import Extractor, Features
from resight.extract.params import ExtractorBase
from resight.extract.torch_base import TorchExtractor, to_tensor
from resight.plugins.params import expert_field

if TYPE_CHECKING:
    from resight.weights.store import WeightStore

DIM = {"aliked-t16": 64}


class AlikedParams(ExtractorBase):
    """ALIKED (Zhao et al., TIM 2023), 128-d (t16: 64-d). BSD-3-Clause weights."""

    family: ClassVar[str] = "aliked"
    kind: Literal["aliked"] = "aliked"
    variant: Literal["aliked-t16", "aliked-n16", "aliked-n16rot", "aliked-n32"] = expert_field(
        "aliked-n16", description="which of the published networks"
    )
    weights: str = Field("", description="registry name or path; empty takes the variant's")
    detection_threshold: float = expert_field(
        0.0, ge=0, description="least strength of a keypoint; 0: the strongest are kept however weak they are"
    )

    def weight_names(self) -> list[str]:
        return [self.weights or self.variant]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        return AlikedExtractor(self, weights, device)


class AlikedExtractor(TorchExtractor):
    """Sub-pixel keypoints. The mask is applied to the maxima, so its edge makes none, and only those that stay are described."""

    def __init__(self, params: AlikedParams, weights: WeightStore, device: str) -> None:
        from kornia.feature import ALIKED

        from resight.weights.loading import strict_load

        super().__init__(params, device)
        self.descriptor_dim = DIM.get(params.variant, 128)
        # As many as there are pixels for a peak of 5 x 5: all maxima come back, the strongest inside the mask are chosen here.
        model = ALIKED(params.variant, max_num_keypoints=1 << 20, detection_threshold=0.0)
        name = params.weight_names()[0]
        strict_load(model, weights.state_dict(name), ("dkd.hw_grid",), name)
        self._model = model.eval().to(self.device)

    def _extract(self, rgb: np.ndarray, mask: np.ndarray | None, size_wh_px: tuple[int, int]) -> Features | None:
        import torch

        picture = to_tensor(rgb, self.device)
        dense, heat = self._model.extract_dense_map(picture)
        normalised, scores, _ = self._model.dkd(heat)
        wh = torch.tensor([picture.shape[-1] - 1, picture.shape[-2] - 1], device=self.device)
        xy = wh * (normalised[0] + 1) / 2
        index = self._chosen(xy, scores[0], mask, size_wh_px)
        index = index[scores[0][index] > self.params.detection_threshold]
        if len(index) == 0:
            return None
        descriptors, _ = self._model.desc_head(dense, [normalised[0][index]])
        return self._features(xy[index], descriptors[0], scores[0][index], size_wh_px)
