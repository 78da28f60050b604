"""From the network to a file that the engine, kornia and cvg/LightGlue read, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from safetensors.torch import save
from torch import Tensor

from resight.errors import WeightsError
from resight.match.engine.checkpoint import read_checkpoint
from resight.train.matcher.network import Shape, TrainedLightGlue
from resight.weights.loading import strict_load
from resight.weights.store import WeightStore
from resight.weights.trained_on import header_of

SIFT_WIDTH = 128


def to_bytes(state: Mapping[str, Tensor], individuals: Collection[str] = ()) -> bytes:
    """A safetensors file in half precision, whose header names the animals it was trained on.

    Raises:
        WeightsError: A weight is too large for half precision, or the tensors are no LightGlue.
    """
    half = {key: value.detach().cpu().half().contiguous() for key, value in sorted(state.items())}
    read_checkpoint(half, None)
    return save(half, header_of(individuals))


def from_store(weights: WeightStore, name: str) -> TrainedLightGlue:
    """A network to go on from.

    Raises:
        WeightsError: The file is missing, no LightGlue for SIFT with an inner width of its own and scale and orientation, or lacks
            a layer's assignment head.
    """
    return from_tensors(weights.state_dict(name), name)


def from_tensors(state: Mapping[str, Tensor], name: str) -> TrainedLightGlue:
    """The same from tensors of any precision."""
    arch, named = read_checkpoint(dict(state), None)
    if arch.input_dim != SIFT_WIDTH or arch.width == SIFT_WIDTH or not arch.scale_ori:
        raise WeightsError(
            f"'{name}' reads descriptors of width {arch.input_dim}; `resight train matcher` goes on from LightGlue for SIFT "
            "(width 128, with scale and orientation), such as lightglue-sift-turtle or lightglue-sift."
        )
    net = TrainedLightGlue(Shape(arch.n_layers, arch.width, arch.num_heads, arch.input_dim))
    kept = {k: v.to(torch.float32) for k, v in named.items() if not k.startswith(("token_confidence", "confidence_"))}
    strict_load(net, kept, name=name)
    return net
