"""ALIKED (Zhao et al., IEEE TIM 2023), 128-d (t16: 64-d), with kornia's network."""

from __future__ import annotations

import numpy as np
import torch
from kornia.feature import ALIKED

from resight.extract.base import Features
from resight.extract.params import AlikedParams
from resight.extract.torch_base import TorchExtractor, to_tensor
from resight.weights.loading import strict_load
from resight.weights.store import WeightStore

DIM = {"aliked-t16": 64}


class AlikedExtractor(TorchExtractor):
    """Sub-pixel keypoints. The mask is applied to the maxima, so its edge makes none, and only those that stay are described."""

    def __init__(self, params: AlikedParams, weights: WeightStore, device: str) -> None:
        super().__init__(params, device)
        self.descriptor_dim = DIM.get(params.variant, 128)
        # As many as there are pixels for a peak of 5 x 5: all maxima come back, the strongest inside the mask are chosen here.
        model = ALIKED(params.variant, max_num_keypoints=1 << 20, detection_threshold=0.0)
        name = params.weight_names()[0]
        strict_load(model, weights.state_dict(name), ("dkd.hw_grid",), name)
        self._model = model.eval().to(self.device)

    def _extract(self, rgb: np.ndarray, mask: np.ndarray | None, size_wh_px: tuple[int, int]) -> Features | None:
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
