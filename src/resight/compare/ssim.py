"""Structural similarity: the simplest thing that one could do, as a floor for the others."""

from __future__ import annotations

import numpy as np
import torch
from kornia.metrics import ssim
from torch import Tensor

from resight.compare.params import SsimParams
from resight.extract.torch_base import to_grey
from resight.train.embedding.samples import canvas
from resight.train.pixels import to_tensor


class SsimComparer:
    """``(1 + mean SSIM) / 2`` over the square that both crops fill as far as they can."""

    def __init__(self, params: SsimParams, device: str) -> None:
        self.params, self.device = params, device

    def prepare(self, rgb: np.ndarray, mask: np.ndarray) -> Tensor:
        """(1, 1, S, S) grey in 0 to 1."""
        return to_grey(to_tensor(canvas(rgb, mask, self.params.side_px)[None], self.device)).contiguous()

    @torch.inference_mode()
    def compare(self, a: Tensor, b: Tensor) -> float:
        """0 to 1; 1 for equal pictures."""
        return float((1 + ssim(a, b, self.params.window).mean()) / 2)
