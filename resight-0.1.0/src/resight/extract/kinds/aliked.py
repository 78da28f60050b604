"""ALIKED (Zhao et al., IEEE TIM 2023), 128-d (t16: 64-d), with kornia's network."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from resight.extract.base import Extractor
from resight.extract.params import ExtractorBase
from resight.extract.torch_base import Described, Detections, TorchExtractor, to_tensor
from resight.plugins.params import expert_field
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

        super().__init__(params, device)
        self.descriptor_dim = DIM.get(params.variant, 128)
        # As many as there are pixels for a peak of 5 x 5: all maxima come back, the strongest inside the mask are chosen here.
        model = ALIKED(params.variant, max_num_keypoints=1 << 20, detection_threshold=0.0)
        name = params.weight_names()[0]
        self._model = self._filled(model, weights.state_dict(name), name, ("dkd.hw_grid",))

    def _detect(self, rgb: np.ndarray, mask: np.ndarray | None) -> Detections:
        import torch

        image = to_tensor(rgb, self.device)
        dense, heat = self._model.extract_dense_map(image)
        (normalised,), (scores,), _ = self._model.dkd(heat)  # from -1 to 1 across the image
        good = scores > self.params.detection_threshold
        normalised, wh = normalised[good], torch.tensor([image.shape[-1] - 1, image.shape[-2] - 1], device=self.device)
        return Detections(
            wh * (normalised + 1) / 2,
            scores[good],
            lambda index: Described(self._model.desc_head(dense, [normalised[index]])[0][0]),
        )
