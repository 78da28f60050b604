"""Weights rearranged for speed, in float64, so that the rearrangement costs no accuracy.

- ``out_proj`` / ``to_out`` go into the second half of ``ffn.0``: ``[A | B] [x; W c + b] = A x + (B W) c + B b``.
- ``Wqkv`` is sorted into q, k, v, and its rotary pairs ``(2i, 2i + 1)`` into two halves: no strided copies.
- The softmax scale goes into q; that of cross-attention, in powers of two, half into each side's ``to_qk``.
- ``d^-1/4`` and the change to powers of two go into ``final_proj``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from resight.match.engine.checkpoint import Architecture
from resight.match.engine.linear import Linear

LOG2_E = 1 / math.log(2)


@dataclass(frozen=True)
class Ffn:
    """``out(gelu(norm(proj([x | context]))))``."""

    proj: Linear
    norm_weight: Tensor
    norm_bias: Tensor
    out: Linear


@dataclass(frozen=True)
class Layer:
    """A transformer layer: self-attention of either photo, then cross-attention between the two."""

    qkv: Linear
    self_ffn: Ffn
    cross_qkv: Linear
    cross_ffn: Ffn


@dataclass(frozen=True)
class Head:
    """What turns descriptors into an assignment; always in the state's precision.

    Attributes:
        proj: (d + 1, d); the last row is the matchability, the others give similarities in powers of two.
    """

    proj: Linear


@dataclass(frozen=True)
class Weights:
    """All of a checkpoint, folded.

    Attributes:
        input_proj: Missing where descriptors have the inner width already.
        frequencies: (head width / 2, 2 or 4), phases in radians per unit of position.
        heads: Per layer, None where the file has none.
        tokens: Per layer but the last, None where the file has none.
        thresholds: Per layer, token confidence from which a keypoint counts as settled.
    """

    input_proj: Linear | None
    frequencies: Tensor
    layers: tuple[Layer, ...]
    heads: tuple[Head | None, ...]
    tokens: tuple[Linear | None, ...]
    thresholds: tuple[float, ...]


def fold(arch: Architecture, named: dict[str, Tensor], dtype: torch.dtype, device: torch.device) -> Weights:
    """Fold a checkpoint. ``dtype`` is that of products and attention; heads and phases have at least float32."""
    state = torch.promote_types(dtype, torch.float32)

    def linear(name: str, to: torch.dtype = dtype) -> Linear:
        return Linear(named[f"{name}.weight"], named[f"{name}.bias"], to, device)

    thresholds = named.get("confidence_thresholds", _default_thresholds(arch.n_layers))
    return Weights(
        input_proj=linear("input_proj", state) if arch.input_dim != arch.width else None,
        frequencies=named["posenc.Wr.weight"].to(device, state),
        layers=tuple(_layer(arch, named, f"transformers.{i}", dtype, device) for i in range(arch.n_layers)),
        heads=tuple(
            _head(named, f"log_assignment.{i}", state, device) if has_head else None
            for i, has_head in enumerate(arch.assignment_heads)
        ),
        tokens=tuple(
            linear(f"token_confidence.{i}.token.0", state) if has_head else None
            for i, has_head in enumerate(arch.token_heads)
        ),
        thresholds=tuple(float(t) for t in thresholds),
    )


def _default_thresholds(n_layers: int) -> Tensor:
    return torch.tensor(
        [min(max(0.8 + 0.1 * math.exp(-4.0 * i / n_layers), 0.0), 1.0) for i in range(n_layers)], dtype=torch.float32
    )


def _layer(arch: Architecture, named: dict[str, Tensor], name: str, dtype: torch.dtype, device: torch.device) -> Layer:
    own, cross = f"{name}.self_attn", f"{name}.cross_attn"
    half_scale = arch.head_width**-0.25 * math.sqrt(LOG2_E)
    weight = torch.cat([named[f"{cross}.to_qk.weight"] * half_scale, named[f"{cross}.to_v.weight"]])
    bias = torch.cat([named[f"{cross}.to_qk.bias"] * half_scale, named[f"{cross}.to_v.bias"]])
    return Layer(
        qkv=Linear(*_sorted_qkv(arch, named[f"{own}.Wqkv.weight"], named[f"{own}.Wqkv.bias"]), dtype, device),
        self_ffn=_ffn(named, own, "out_proj", dtype, device),
        cross_qkv=Linear(weight, bias, dtype, device),
        cross_ffn=_ffn(named, cross, "to_out", dtype, device),
    )


def _sorted_qkv(arch: Architecture, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Rows from (head, width, 3) to (3, head, width), q and k with their rotary pairs apart, q scaled."""
    heads, width = arch.num_heads, arch.head_width
    q, k, v = torch.cat([weight, bias[:, None]], 1).unflatten(0, (heads, width, 3)).unbind(2)
    q, k = (t.unflatten(1, (width // 2, 2)).transpose(1, 2).flatten(1, 2) for t in (q * width**-0.5, k))
    rows = torch.stack([q, k, v]).flatten(0, 2)
    return rows[:, :-1], rows[:, -1]


def _ffn(named: dict[str, Tensor], block: str, out: str, dtype: torch.dtype, device: torch.device) -> Ffn:
    d = named[f"{block}.{out}.weight"].shape[0]
    first, second = named[f"{block}.ffn.0.weight"].split(d, 1)
    weight = torch.cat([first, second @ named[f"{block}.{out}.weight"]], 1)
    bias = named[f"{block}.ffn.0.bias"] + second @ named[f"{block}.{out}.bias"]
    return Ffn(
        proj=Linear(weight, bias, dtype, device),
        norm_weight=named[f"{block}.ffn.1.weight"].to(device, dtype),
        norm_bias=named[f"{block}.ffn.1.bias"].to(device, dtype),
        out=Linear(named[f"{block}.ffn.3.weight"], named[f"{block}.ffn.3.bias"], dtype, device),
    )


def _head(named: dict[str, Tensor], name: str, dtype: torch.dtype, device: torch.device) -> Head:
    weight, bias = named[f"{name}.final_proj.weight"], named[f"{name}.final_proj.bias"]
    scale = weight.shape[0] ** -0.25 * math.sqrt(LOG2_E)
    rows = torch.cat([weight * scale, named[f"{name}.matchability.weight"]])
    return Head(Linear(rows, torch.cat([bias * scale, named[f"{name}.matchability.bias"]]), dtype, device))
