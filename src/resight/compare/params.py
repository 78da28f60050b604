"""Settings of the methods that look at two pictures together. kornia and torch are imported in ``build``."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pydantic import Field

from resight.plugins.params import Params

if TYPE_CHECKING:
    from resight.compare.pictures import PictureComparer
    from resight.weights.store import WeightStore


class PictureParams(Params):
    """What these methods share."""

    pairs_per_block: int = Field(512, ge=1, description="pairs that a worker does in one go and keeps together")
    crops_held: int = Field(2048, ge=2, description="prepared crops that a worker keeps in memory")

    @abstractmethod
    def build(self, weights: WeightStore, device: str) -> PictureComparer:
        """The comparer on its device."""


class SsimParams(PictureParams):
    """Structural similarity of the grey crops (Wang et al., IEEE TIP 2004), by kornia."""

    side_px: int = Field(128, ge=32, description="side of the squares that are compared")
    window: int = Field(11, ge=3, description="taps of the Gaussian window, odd")

    def build(self, weights: WeightStore, device: str) -> PictureComparer:
        from resight.compare.ssim import SsimComparer

        return SsimComparer(self, device)


class LoftrParams(PictureParams):
    """LoFTR (Sun et al., CVPR 2021) by kornia: dense matching without keypoints, slow."""

    pairs_per_block: int = Field(16, ge=1, description="pairs that a worker does in one go and keeps together")
    crops_held: int = Field(40, ge=2, description="prepared crops that a worker keeps in memory, 12 MB each")
    weights: str = Field("loftr-outdoor", description="registry name or path; empty leaves the network untrained")
    side_px: int = Field(320, ge=64, multiple_of=8, description="long side of the pictures")

    def weight_names(self) -> list[str]:
        return [self.weights] if self.weights else []

    def build(self, weights: WeightStore, device: str) -> PictureComparer:
        from resight.compare.loftr import LoftrComparer

        return LoftrComparer(self, weights, device)
