"""LoFTR: matches between all places of two pictures, without keypoints."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from resight.compare.base import Family
from resight.compare.pictures import PictureComparer, PictureMethod, PictureParams
from resight.extract.torch_base import to_grey, to_tensor, torch_device

if TYPE_CHECKING:
    from torch import Tensor

    from resight.weights.store import WeightStore


class LoftrParams(PictureParams):
    """LoFTR (Sun et al., CVPR 2021) by kornia: dense matching without keypoints, slow."""

    pairs_per_block: int = Field(16, ge=1, description="pairs that a worker does in one go and keeps together")
    crops_held: int = Field(40, ge=2, description="prepared crops that a worker keeps in memory, 12 MB each")
    weights: str = Field("loftr-outdoor", description="registry name or path; empty leaves the network untrained")
    side_px: int = Field(320, ge=64, multiple_of=8, description="long side of the pictures")

    def weight_names(self) -> list[str]:
        return [self.weights] if self.weights else []

    def build(self, weights: WeightStore, device: str) -> PictureComparer:
        return LoftrComparer(self, weights, device)


@dataclass(frozen=True)
class Prepared:
    """Feature maps of a crop, and where it is animal: ``inside`` (H, W) bool at the network's scale."""

    maps: dict[str, Tensor]
    inside: np.ndarray


class LoftrComparer:
    """Sum of the confidences of the matches whose two ends both lie on the animal (those above LoFTR's own 0.2)."""

    def __init__(self, params: LoftrParams, weights: WeightStore, device: str) -> None:
        from kornia.feature import LoFTR
        from kornia.feature.loftr.loftr import default_cfg

        from resight.weights.loading import strict_load

        self.params, self.device = params, torch_device(device)
        self._net = LoFTR(pretrained=None, config=copy.deepcopy(default_cfg))
        if params.weights:
            state = {k.removeprefix("matcher."): v for k, v in weights.state_dict(params.weights).items()}
            strict_load(self._net, state, ("pos_encoding.pe",), params.weights)
        self._net.eval().to(self.device)

    def prepare(self, rgb: np.ndarray, mask: np.ndarray) -> Prepared:
        """The part of the network that sees one picture, grey outside of the mask."""
        import cv2
        import torch

        from resight.embed.picture import OUTSIDE

        scale = self.params.side_px / max(rgb.shape[:2])
        size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        shown = cv2.resize(np.where(mask[..., None], rgb, np.uint8(OUTSIDE)), size, interpolation=how)
        inside = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        picture = to_grey(to_tensor(shown, self.device))  # a thin one is padded on the right and below
        with torch.inference_mode():
            return Prepared(self._net.extract_features(picture), _padded(inside, tuple(picture.shape[2:])))

    def compare(self, a: Prepared, b: Prepared) -> float:
        import torch

        with torch.inference_mode():
            matches = self._net({"features0": a.maps, "features1": b.maps})
        keep = _on(matches["keypoints0"], a.inside) & _on(matches["keypoints1"], b.inside)
        return float(matches["confidence"].float().cpu().numpy()[keep].sum())


def _on(xy: Tensor, inside: np.ndarray) -> np.ndarray:
    """(N,) bool: which keypoints lie on the animal."""
    place = np.floor(xy.float().cpu().numpy()).astype(np.int64).reshape(-1, 2)
    height, width = inside.shape
    return np.asarray(inside[place[:, 1].clip(0, height - 1), place[:, 0].clip(0, width - 1)])


def _padded(inside: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    below, right = shape[0] - inside.shape[0], shape[1] - inside.shape[1]
    return np.pad(inside, ((0, below), (0, right)))


METHODS = (PictureMethod("loftr", "LoFTR", Family.DENSE, False, LoftrParams()),)
