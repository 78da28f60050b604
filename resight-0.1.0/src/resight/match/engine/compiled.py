"""The layers compiled: once per batch shape, on CUDA recorded as a CUDA graph, and batches padded to few shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from resight.match.engine.batch import PairBatch
from resight.match.engine.network import Network

Layers = Callable[[PairBatch, int, int], Tensor]
MOST_SHAPES = 512  # beyond that a shape runs uncompiled


def compile_layers(network: Network, device: torch.device) -> Layers:
    """`Network.descriptors`, compiled for the shapes that come.

    On CUDA with torch.compile's mode ``reduce-overhead``: it records each shape's kernels as a CUDA graph, copies the batch
    into the graph's own memory and replays it, so that a batch is one launch.
    """
    config = torch._dynamo.config
    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, limit, max(MOST_SHAPES, getattr(config, limit)))
    if device.type != "cuda":
        return torch.compile(network.descriptors, dynamic=False)
    graphs = torch.compile(network.descriptors, dynamic=False, mode="reduce-overhead")

    def replay(batch: PairBatch, start: int, stop: int) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        x: Tensor = graphs(batch, start, stop).clone()  # the next replay writes over it
        return x

    return replay


def few_sizes(rows: np.ndarray) -> np.ndarray:
    """(B,) rows of a batch, the first repeated until there are a power of two: a handful of sizes instead of any."""
    return np.concatenate([rows, rows[:1].repeat(power_of_two_up(len(rows)) - len(rows))])


def power_of_two_up(n: int) -> int:
    """Smallest power of two that is not below ``n``."""
    return 1 << (n - 1).bit_length() if n else 0


def power_of_two_down(n: int) -> int:
    """Largest power of two that is not above ``n``, which is 1 or more."""
    return 1 << (n.bit_length() - 1)
