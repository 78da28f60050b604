"""The network from its file."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from resight.embed.network import EmbeddingNet
from resight.embed.params import BUNDLED as BUNDLED
from resight.errors import WeightsError
from resight.weights.loading import strict_load

HEADER = "recipe"


def load_net(path: Path, device: str = "cpu") -> tuple[EmbeddingNet, int]:
    """Network and side of its pictures from a weights file of `resight train embedding`, to be run, not trained; nothing is unpickled.

    Args:
        path: A safetensors file, in half precision or not; its header says ``dim``, ``width`` and ``view_px``.
        device: Where the network goes, in single precision.

    Raises:
        WeightsError: It is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get(HEADER, "null"))
            state: dict[str, Tensor] = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is no whole safetensors file ({error}); train it again.") from None
    if about is None:
        raise WeightsError(f"{path} does not describe its network; use a file from `resight train embedding`.")
    if not {"dim", "width", "view_px"} <= about.keys():
        raise WeightsError(f"{path} is an embedding of another version of Resight; train it again.")
    net = EmbeddingNet(about["dim"], about["width"])
    strict_load(net, state, name=str(path))
    moved: EmbeddingNet = net.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved.fix(), int(about["view_px"])
