"""What the extractors that run in torch share: device, image to tensor, and the way from a network to `Features`.

torch is imported in the functions, so that a kind can inherit from `TorchExtractor` in the file of its settings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

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

    image = torch.from_numpy(np.ascontiguousarray(rgb)).to(device).permute(2, 0, 1)[None].float() / 255
    height, width = rgb.shape[:2]
    right, below = (_padded(side, multiple) - side for side in (width, height))
    return F.pad(image, (0, right, 0, below), mode="replicate")


def _padded(side: int, multiple: int) -> int:
    side = max(side, SMALLEST_SIDE_PX)
    return side + -side % multiple


def to_grey(image: torch.Tensor) -> torch.Tensor:
    """(1, 3, H, W) to (1, 1, H, W) with the weights of ITU-R BT.601."""
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (image * weights).sum(dim=1, keepdim=True)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """float32 on the CPU."""
    array: np.ndarray = tensor.detach().float().cpu().numpy()
    return array


class Described(NamedTuple):
    """What is computed for the K keypoints that stay: (K, D) descriptors, and (K,) scale and angle where there are any."""

    descriptors: torch.Tensor
    scale: torch.Tensor | None = None
    angle: torch.Tensor | None = None


@dataclass(frozen=True)
class Detections:
    """All keypoints that a network sees in a crop, before the strongest are chosen.

    Attributes:
        xy: (N, 2), crop pixels.
        score: (N,).
        describe: From the (K,) int64 indices of the keypoints that stay, strongest first, to their descriptors.
        angle: (N,) rad, decides between keypoints of equal score and place; None: they have none yet.
    """

    xy: torch.Tensor
    score: torch.Tensor
    describe: Callable[[torch.Tensor], Described]
    angle: torch.Tensor | None = None


class TorchExtractor(ABC):
    """One crop at a time, in float32, no gradients. A subclass detects and describes."""

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
            detections = None if is_blank(rgb, mask) else self._detect(rgb, mask)
            if detections is not None:
                xy, score = to_numpy(detections.xy), to_numpy(detections.score)
                angle = np.zeros(len(xy)) if detections.angle is None else to_numpy(detections.angle)
                index = keep(xy, score, angle, mask, size, self.max_keypoints)
                if len(index):
                    described = detections.describe(torch.from_numpy(index).to(self.device))
                    return self._features(xy[index], score[index], size, described)
        return nothing(size, self.descriptor_dim, self.descriptor_dtype)

    @abstractmethod
    def _detect(self, rgb: np.ndarray, mask: np.ndarray | None) -> Detections | None:
        """Keypoints of a crop that shows something, inside the mask or not; None may stand for no keypoints."""

    def _features(self, xy: np.ndarray, score: np.ndarray, size: tuple[int, int], described: Described) -> Features:
        scale = None if described.scale is None else to_numpy(described.scale)
        angle = None if described.angle is None else wrap(to_numpy(described.angle))
        return features(xy, to_numpy(described.descriptors), score, size, self.descriptor_dtype, scale, angle)

    def _filled(
        self, network: torch.nn.Module, state: Mapping[str, torch.Tensor], name: str, may_lack: Iterable[str] = ()
    ) -> Any:
        """``network`` with the tensors of the weights ``name``, on the device, ready to run."""
        from resight.weights.loading import strict_load

        strict_load(network, state, may_lack, name)
        return network.eval().to(self.device)
