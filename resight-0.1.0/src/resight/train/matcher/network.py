"""LightGlue (Lindenberger et al., ICCV 2023) to be trained: padded batches with masks, an assignment head at every layer.

Tensors have kornia's names and shapes, so that a state dict loads into `kornia.feature.LightGlue`, into cvg/LightGlue and into
`resight.match.engine`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Dimensions of a network.

    Attributes:
        n_layers: Layers of one self- and one cross-attention block.
        width: Inner width; above that of the descriptors, so that they come in turned and scaled but otherwise unchanged.
        num_heads: Attention heads.
        input_dim: Width of the descriptors.
    """

    n_layers: int = 3
    width: int = 160
    num_heads: int = 2
    input_dim: int = 128


@dataclass(frozen=True)
class Sides:
    """One side of B pairs, padded to N keypoints.

    Attributes:
        descriptors: (B, N, input_dim) of unit length.
        positions: (B, N, 4): x and y in -1 to 1 along the longer side, sigma in pixels, angle in rad.
        mask: (B, N) bool, True for keypoints.
    """

    descriptors: Tensor
    positions: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Assignment:
    """Output of one head for B pairs.

    Attributes:
        log_p: (B, N, M), log-probability that two keypoints match; far below zero for padding.
        z_a, z_b: (B, N) and (B, M), logits of being matchable at all.
    """

    log_p: Tensor
    z_a: Tensor
    z_b: Tensor


class SelfBlock(nn.Module):
    """Each photo attends to itself; rotary phases encode the keypoints' positions."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.Wqkv = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.ffn = _ffn(width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, d), cos and sin (B, 1, N, h), mask (B, 1, 1, N) bool."""
        q, k, v = self.Wqkv(x).unflatten(-1, (self.num_heads, -1, 3)).transpose(1, 2).unbind(-1)
        q, k = (t * cos.to(t.dtype) + _rotate_half(t) * sin.to(t.dtype) for t in (q, k))
        context = F.scaled_dot_product_attention(q, k, v.contiguous(), attn_mask=mask)
        update: Tensor = self.ffn(torch.cat([x.to(context.dtype), self.out_proj(_joined(context))], -1))
        return x + update


class CrossBlock(nn.Module):
    """Each photo attends to its partner, by one similarity in both directions."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_qk, self.to_v, self.to_out = (nn.Linear(width, width) for _ in range(3))
        self.ffn = _ffn(width)

    def forward(self, a: Tensor, b: Tensor, mask_a: Tensor, mask_b: Tensor) -> tuple[Tensor, Tensor]:
        """a (B, N, d), b (B, M, d), masks (B, 1, 1, N) and (B, 1, 1, M)."""
        (k_a, v_a), (k_b, v_b) = ((self._split(self.to_qk(x)), self._split(self.to_v(x))) for x in (a, b))
        to_a = F.scaled_dot_product_attention(k_a, k_b, v_b, attn_mask=mask_b)
        to_b = F.scaled_dot_product_attention(k_b, k_a, v_a, attn_mask=mask_a)
        return self._add(a, to_a), self._add(b, to_b)

    def _split(self, t: Tensor) -> Tensor:
        return torch.unflatten(t, -1, (self.num_heads, -1)).transpose(1, 2)

    def _add(self, x: Tensor, context: Tensor) -> Tensor:
        update: Tensor = self.ffn(torch.cat([x.to(context.dtype), self.to_out(_joined(context))], -1))
        return x + update


class Layer(nn.Module):
    """A self-attention block for either photo and a cross-attention block between them."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.self_attn, self.cross_attn = SelfBlock(width, num_heads), CrossBlock(width, num_heads)


class Head(nn.Module):
    """Assignment: dual softmax of similarities, times both keypoints' chances of having a partner."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.matchability, self.final_proj = nn.Linear(width, 1), nn.Linear(width, width)

    def forward(self, a: Tensor, b: Tensor, mask_a: Tensor, mask_b: Tensor) -> Assignment:
        """In float32 whatever the products before it were; masks (B, N) and (B, M)."""
        with torch.autocast(a.device.type, enabled=False):
            a, b = (x.to(self.final_proj.weight.dtype) for x in (a, b))
            scale = a.shape[-1] ** -0.25
            similarity = (self.final_proj(a) * scale) @ (self.final_proj(b) * scale).transpose(1, 2)
            z_a, z_b = self.matchability(a).squeeze(-1), self.matchability(b).squeeze(-1)
        padding = torch.finfo(similarity.dtype).min / 8
        real = mask_a[:, :, None] & mask_b[:, None]
        similarity = similarity.masked_fill(~real, padding)
        rows, columns = similarity.logsumexp(2, keepdim=True), similarity.logsumexp(1, keepdim=True)
        log_p = 2 * similarity - rows - columns + F.logsigmoid(z_a)[:, :, None] + F.logsigmoid(z_b)[:, None]
        return Assignment(log_p.masked_fill(~real, padding), z_a, z_b)


class Positions(nn.Module):
    """Learnt frequencies of the rotary phases."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.Wr = nn.Linear(4, head_width // 2, bias=False)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, 4) to cosine and sine, (B, 1, N, head width)."""
        with torch.autocast(positions.device.type, enabled=False):
            phases = self.Wr(positions.to(self.Wr.weight.dtype))[:, None]
        return phases.cos().repeat_interleave(2, -1), phases.sin().repeat_interleave(2, -1)


class TrainedLightGlue(nn.Module):
    """The whole network. Starts as mutual nearest neighbours: see `start`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.input_proj = nn.Linear(shape.input_dim, shape.width)
        self.posenc = Positions(shape.width // shape.num_heads)
        self.transformers = nn.ModuleList(Layer(shape.width, shape.num_heads) for _ in range(shape.n_layers))
        self.log_assignment = nn.ModuleList(Head(shape.width) for _ in range(shape.n_layers))

    @property
    def layers(self) -> list[tuple[Layer, Head]]:
        """Every layer with its head."""
        both = zip(self.transformers, self.log_assignment, strict=True)
        return [(cast(Layer, layer), cast(Head, head)) for layer, head in both]

    def forward(self, a: Sides, b: Sides) -> list[Assignment]:
        """The assignment of every layer's head."""
        placed_a, placed_b = self.posenc(a.positions), self.posenc(b.positions)
        keys_a, keys_b = (side.mask[:, None, None] for side in (a, b))
        x, y = self.input_proj(a.descriptors), self.input_proj(b.descriptors)
        assignments = []
        for layer, head in self.layers:
            x, y = layer.self_attn(x, *placed_a, keys_a), layer.self_attn(y, *placed_b, keys_b)
            x, y = layer.cross_attn(x, y, keys_a, keys_b)
            assignments.append(head(x, y, a.mask, b.mask))
        return assignments


def start(shape: Shape, seed: int, temperature: float = 44.0, matchable: float = 0.5) -> TrainedLightGlue:
    """A network that equals mutual nearest neighbours of the descriptors, and so can only get better.

    Descriptors come in turned and ``sqrt(width)`` long, so that their numbers are about one; the last projection of every residual
    branch is zero, so that they go through unchanged; every head's similarity is ``temperature`` times their cosine; all keypoints
    have the same chance ``matchable``. Matches with a confidence above ``matchable ** 2 / 2`` are then mutual nearest neighbours,
    for both softmaxes must give them more than a half.

    Args:
        shape: Dimensions.
        seed: Of what is random: the inner weights and the frequencies.
        temperature: Of the softmaxes, to begin with.
        matchable: Chance that a keypoint has a partner, to begin with.

    Raises:
        ValueError: The network is too narrow.
    """
    if shape.width <= shape.input_dim:
        raise ValueError(f"the inner width must be above {shape.input_dim}, the descriptors' own")
    generator = torch.Generator().manual_seed(seed)
    net = TrainedLightGlue(shape)
    with torch.no_grad():
        for name, value in net.named_parameters():
            _begin(name, value, generator)
        turned = torch.linalg.qr(torch.randn(shape.width, shape.width, generator=generator)).Q
        net.input_proj.weight.copy_(turned[:, : shape.input_dim] * math.sqrt(shape.width))
        for layer, head in net.layers:
            head.final_proj.weight.copy_(torch.eye(shape.width) * math.sqrt(temperature) * shape.width**-0.25)
            head.matchability.bias.fill_(math.log(matchable / (1 - matchable)))
            _look_near(layer.self_attn)
            _look_alike(layer.cross_attn, temperature, generator)
        _spread(net.posenc.Wr.weight, generator)
    return net


def _begin(name: str, value: Tensor, generator: torch.Generator) -> None:
    if name.endswith(("ffn.3.weight", "bias", "matchability.weight")):
        value.zero_()
    elif name.endswith("ffn.1.weight"):
        value.fill_(1.0)
    elif value.ndim == 2:
        bound = math.sqrt(3.0 / value.shape[1])
        value.copy_((torch.rand(value.shape, generator=generator) * 2 - 1) * bound)


def _look_near(block: SelfBlock) -> None:
    """Constant queries and keys: rotary phases then make every keypoint attend to its neighbourhood, each head to another size."""
    bias = torch.unflatten(block.Wqkv.bias, 0, (block.num_heads, -1, 3))
    for head in range(block.num_heads):
        bias[head, :, :2] = math.sqrt(6.0 / 2**head) / bias.shape[1] ** 0.25


def _look_alike(block: CrossBlock, temperature: float, generator: torch.Generator) -> None:
    """Keys are parts of a random rotation of the descriptors, so that every keypoint attends to those that look like it."""
    width = block.to_qk.weight.shape[0]
    turned = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
    sharp = temperature * block.num_heads * (width / block.num_heads) ** 0.5 / width
    block.to_qk.weight.copy_(turned * math.sqrt(sharp))


def _spread(frequencies: Tensor, generator: torch.Generator) -> None:
    """Coarse to fine in position; slow in sigma; whole numbers in the angle, which is the same after a full turn."""
    n = frequencies.shape[0]
    octave = torch.logspace(0, 1.2, n, base=10.0)[torch.randperm(n, generator=generator)]
    turn = torch.rand(n, generator=generator) * 2 * math.pi
    frequencies[:, 0], frequencies[:, 1] = octave * turn.cos(), octave * turn.sin()
    frequencies[:, 2] = torch.randn(n, generator=generator) * 0.05
    frequencies[:, 3] = (torch.arange(n) % 4 == 0) * torch.randint(-2, 3, (n,), generator=generator).float()


def _ffn(width: int) -> nn.Sequential:
    wide = 2 * width
    return nn.Sequential(nn.Linear(wide, wide), nn.LayerNorm(wide), nn.GELU(), nn.Linear(wide, width))


def _joined(context: Tensor) -> Tensor:
    return context.transpose(1, 2).flatten(2)


def _rotate_half(t: Tensor) -> Tensor:
    first, second = torch.unflatten(t, -1, (-1, 2)).unbind(-1)
    return torch.stack((-second, first), -1).flatten(-2)
