"""SIFT in torch: kornia's scale-space detector with descriptors in OpenCV's layout."""

from __future__ import annotations

import numpy as np
import torch
from kornia.feature import SIFTFeatureScaleSpace

from resight.extract.base import Features
from resight.extract.lafs import detector_mask, filled, read_lafs
from resight.extract.params import SiftParams
from resight.extract.select import keep
from resight.extract.sift import LAYERS, strength
from resight.extract.torch_base import TorchExtractor, to_grey, to_numpy, to_tensor

SIGMAS_PER_FRAME = 6.0


class KorniaSiftExtractor(TorchExtractor):
    """One orientation per point and no edge rejection, otherwise as OpenCV's; the response is the same quantity."""

    descriptor_dim = 128

    def __init__(self, params: SiftParams, device: str) -> None:
        super().__init__(params, device)
        self._sift = SIFTFeatureScaleSpace(
            # More than the budget: some fall outside the exact mask or under the contrast threshold, and large ones that
            # `strength` prefers are not among those of the highest contrast.
            num_features=(8 if params.size_exponent else 2) * params.max_keypoints,
            rootsift=params.root,
            descriptor_backend="pyramid",
            descriptor_layout="opencv",
            device=self.device,
        ).eval()

    def _extract(self, rgb: np.ndarray, mask: np.ndarray | None, size_wh_px: tuple[int, int]) -> Features | None:
        grey = to_grey(to_tensor(rgb, self.device))
        lafs, response, descriptors = self._sift(grey, detector_mask(mask, grey))
        # OpenCV's threshold: |DoG| x layers.
        good = filled(lafs) & (response[0] * LAYERS >= self.params.contrast_threshold)
        lafs, response, descriptors = lafs[:, good], response[0, good], descriptors[0, good]
        xy, scale, angle = read_lafs(lafs)
        sigma = scale / SIGMAS_PER_FRAME
        score = strength(to_numpy(response), to_numpy(sigma), self.params.size_exponent)
        index = keep(to_numpy(xy), score, to_numpy(angle), mask, size_wh_px, self.max_keypoints)
        strengths = torch.from_numpy(score[index])
        return self._features(xy[index], descriptors[index], strengths, size_wh_px, sigma[index], angle[index])
