"""From tensors to the network, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from resight.segment.learned.network import HeadNet
from resight.weights.loading import strict_load


def from_tensors(state: Mapping[str, Tensor], name: str = "the weights file") -> HeadNet:
    """The network with these tensors, of any precision, ready to run.

    Raises:
        WeightsError: They belong to another network.
    """
    net = HeadNet()
    strict_load(net, {key: value.float() for key, value in state.items()}, name=name)
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def to_tensors(net: HeadNet) -> dict[str, Tensor]:
    """Half-precision tensors for a safetensors file; what counts training steps is left out."""
    return {
        key: value.detach().cpu().half().contiguous(memory_format=torch.contiguous_format)
        for key, value in sorted(net.state_dict().items())
        if value.is_floating_point()
    }
