"""The transformer on flat rows: every linear layer sees the keypoints of all photos of a batch at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from resight.match.engine.assignment import assign
from resight.match.engine.attention import Kernel, cross_attention, self_attention
from resight.match.engine.batch import Encoded, PairBatch, Scores, Side
from resight.match.engine.checkpoint import Architecture
from resight.match.engine.fold import Ffn, Layer, Weights


@dataclass(frozen=True)
class Network:
    """Folded weights and how attention is done. The residual stream has at least float32, products have ``dtype``."""

    arch: Architecture
    weights: Weights
    kernel: Kernel
    dtype: torch.dtype

    def encode(self, positions: Tensor, descriptors: Tensor) -> Encoded:
        """What depends on one photo only.

        Args:
            positions: (N, 2 or 4), x and y in [-1, 1], scale and orientation as they are.
            descriptors: (N, input_dim), in the precision of the residual stream.
        """
        phases = positions @ self.weights.frequencies.t()
        cos, sin = phases.cos(), phases.sin()
        x = descriptors if self.weights.input_proj is None else self.weights.input_proj(descriptors)
        n, layer = x.shape[0], self.weights.layers[0]
        no_side = Side((0,), 0, None)
        alone = PairBatch(x, cos[:, None, None], sin[:, None, None], Side((n,), n, None), no_side, (x, x))
        x = self._self_block(alone, layer)
        return Encoded(x, layer.cross_qkv(x.to(self.dtype)), cos, sin)

    def run(self, batch: PairBatch, start: int, stop: int) -> PairBatch:
        """Layers ``start`` to ``stop - 1``; the first begins with its cross-attention, `encode` did the rest."""
        return batch.with_x(self.descriptors(batch, start, stop))

    def descriptors(self, batch: PairBatch, start: int, stop: int) -> Tensor:
        """(T, d), what `run` changes."""
        for index in range(start, stop):
            layer, cross = self.weights.layers[index], batch.cross
            if index:
                batch = batch.with_x(self._self_block(batch, layer))
                cross = batch.split(layer.cross_qkv(batch.x.to(self.dtype)))
            context = cross_attention(cross, batch, self.kernel, self.arch.num_heads)
            batch = batch.with_x(_feed_forward(batch.x, context, layer.cross_ffn))
        return batch.x

    def assign(self, batch: PairBatch, layer: int) -> Scores:
        """Mutual matches under the head of ``layer``."""
        head = self.weights.heads[layer]
        if head is None:
            raise ValueError(f"layer {layer} has no assignment head")
        return assign(batch, head, self.kernel)

    def _self_block(self, batch: PairBatch, layer: Layer) -> Tensor:
        heads, width = self.arch.num_heads, self.arch.head_width
        qkv = layer.qkv(batch.x.to(self.dtype)).unflatten(-1, (3, heads, width))
        qk = _rotate(qkv[:, :2], batch.cos.to(self.dtype), batch.sin.to(self.dtype))
        return _feed_forward(batch.x, self_attention(qk, qkv[:, 2], batch, self.kernel), layer.self_ffn)


def _rotate(t: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (first half, second half) by its phase (Su et al. 2021, as LightGlue uses it)."""
    half = cos.shape[-1]
    first, second = t[..., :half], t[..., half:]
    if torch.compiler.is_compiling():  # which breaks off at `out=`
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
    out = torch.empty(t.shape, dtype=t.dtype, device=t.device)
    torch.mul(first, cos, out=out[..., :half]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out[..., half:]).addcmul_(first, sin)
    return out


def _feed_forward(x: Tensor, context: Tensor, ffn: Ffn) -> Tensor:
    hidden = ffn.proj(torch.cat([x.to(context.dtype), context], -1))
    hidden = F.gelu(F.layer_norm(hidden, hidden.shape[-1:], ffn.norm_weight, ffn.norm_bias))
    return x + ffn.out(hidden)
