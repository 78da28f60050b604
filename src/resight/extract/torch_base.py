"""What the extractors that run in torch share: device, picture to tensor, and the way from a network to `Features`.

torch is imported in the functions, so that a kind can inherit from `TorchExtractor` in the file of its settings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from resight.errors import DeviceError
from resight.extract.base import Features
from resight.extract.select import features, is_blank, keep, nothing, wrap

if TYPE_CHECKING:
    import torch

# Networks with many stages need a few pixels at their coarsest; smaller crops are padded on the right and at the bottom.
SMALLEST_SIDE_PX = 64


def torch_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        DeviceError: This machine does not have it.
    """
    import torch

    kind = name.partition(":")[0]
    if (kind == "cuda" and not torch.cuda.is_available()) or (kind == "mps" and not torch.backends.mps.is_available()):
        raise DeviceError(f"device = '{name}', but torch sees no such device on this machine; set device = 'cpu'.")
    return torch.device(name)


def to_tensor(rgb: np.ndarray, device: torch.device, multiple: int = 1) -> torch.Tensor:
    """(H, W, 3) uint8 to (1, 3, H', W') float32 in 0 to 1, both sides padded to a multiple.

    The padding repeats the last row and column, so it makes no corners; pixel coordinates stay as they are.
    """
    import torch
    import torch.nn.functional as F

    picture = torch.from_numpy(np.ascontiguousarray(rgb)).to(device).permute(2, 0, 1)[None].float() / 255
    height, width = rgb.shape[:2]
    right, below = (_padded(side, multiple) - side for side in (width, height))
    return F.pad(picture, (0, right, 0, below), mode="replicate")


def _padded(side: int, multiple: int) -> int:
    side = max(side, SMALLEST_SIDE_PX)
    return side + -side % multiple


def to_grey(picture: torch.Tensor) -> torch.Tensor:
    """(1, 3, H, W) to (1, 1, H, W) with the weights of ITU-R BT.601."""
    weights = picture.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (picture * weights).sum(dim=1, keepdim=True)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """float32 on the CPU."""
    array: np.ndarray = tensor.detach().float().cpu().numpy()
    return array


class TorchExtractor(ABC):
    """One picture at a time, in float32, no gradients. A subclass detects and describes."""

    family: str
    descriptor_dim: int
    descriptor_dtype: str = "float16"

    def __init__(self, params: Any, device: str) -> None:
        self.params, self.device = params, torch_device(device)
        self.family, self.max_keypoints = params.family, params.max_keypoints

    def extract(self, rgb: np.ndarray, mask: np.ndarray | None) -> Features:
        """Keypoints of ``rgb`` (H, W, 3) uint8 whose pixel lies inside ``mask`` (H, W) bool, strongest first."""
        import torch

        size = (rgb.shape[1], rgb.shape[0])
        with torch.inference_mode():
            extracted = None if is_blank(rgb, mask) else self._extract(rgb, mask, size)
        return nothing(size, self.descriptor_dim, self.descriptor_dtype) if extracted is None else extracted

    @abstractmethod
    def _extract(self, rgb: np.ndarray, mask: np.ndarray | None, size_wh_px: tuple[int, int]) -> Features | None:
        """As `extract`, for a picture that shows something; None where nothing was found."""

    def _chosen(
        self, xy: torch.Tensor, score: torch.Tensor, mask: np.ndarray | None, size: tuple[int, int]
    ) -> torch.Tensor:
        """Indices of the (N, 2) keypoints that stay, strongest first."""
        import torch

        index = keep(to_numpy(xy), to_numpy(score), np.zeros(len(xy)), mask, size, self.max_keypoints)
        return torch.from_numpy(index).to(xy.device)

    def _features(
        self,
        xy: torch.Tensor,
        descriptors: torch.Tensor,
        score: torch.Tensor,
        size: tuple[int, int],
        scale: torch.Tensor | None = None,
        angle: torch.Tensor | None = None,
    ) -> Features:
        return features(
            to_numpy(xy),
            to_numpy(descriptors),
            to_numpy(score),
            size,
            self.descriptor_dtype,
            None if scale is None else to_numpy(scale),
            None if angle is None else wrap(to_numpy(angle)),
        )
