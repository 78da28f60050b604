"""Structural similarity: the simplest method, as a baseline for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from resight.compare.base import Family
from resight.compare.pictures import PictureComparer, PictureMethod, PictureParams
from resight.extract.torch_base import to_grey

if TYPE_CHECKING:
    from torch import Tensor

    from resight.weights.store import WeightStore


class SsimParams(PictureParams):
    """Structural similarity of the grey crops (Wang et al., IEEE TIP 2004), by kornia."""

    side_px: int = Field(128, ge=32, description="side of the squares that are compared")
    window: int = Field(11, ge=3, description="taps of the Gaussian window, odd")

    def build(self, weights: WeightStore, device: str) -> PictureComparer:
        return SsimComparer(self, device)


class SsimComparer:
    """``(1 + mean SSIM) / 2`` over the square that both crops fill as far as they can."""

    def __init__(self, params: SsimParams, device: str) -> None:
        self.params, self.device = params, device

    def prepare(self, rgb: np.ndarray, mask: np.ndarray) -> Tensor:
        """(1, 1, S, S) grey in 0 to 1."""
        from resight.embed.picture import canvas
        from resight.train.pixels import to_tensor

        return to_grey(to_tensor(canvas(rgb, mask, self.params.side_px)[None], self.device)).contiguous()

    def compare(self, a: Tensor, b: Tensor) -> float:
        """0 to 1; 1 for equal pictures."""
        import torch
        from kornia.metrics import ssim

        with torch.inference_mode():
            return float((1 + ssim(a, b, self.params.window).mean()) / 2)


METHODS = (PictureMethod("ssim", "SSIM", Family.PIXELS, True, SsimParams()),)
