"""Reading a LightGlue checkpoint: every dimension follows from the shapes, and every key is checked."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from resight.errors import WeightsError

SHOWN_KEYS = 5
UNIFORM_KS_LIMIT = 1.95  # Kolmogorov-Smirnov sqrt(n) D, exceeded by a uniform sample once in a thousand


@dataclass(frozen=True)
class Architecture:
    """Dimensions of a checkpoint.

    Attributes:
        n_layers: Transformer layers, each a self- and a cross-attention block.
        width: Inner descriptor width d.
        num_heads: Attention heads; the head width is ``width / num_heads``.
        input_dim: Width of the descriptors that come in.
        scale_ori: Whether scale and orientation are fed beside x and y.
        assignment_heads: Per layer, whether the file holds its assignment head.
        token_heads: Per layer but the last, whether the file holds its token confidence.
        trained_heads: Per layer, whether the assignment head is more than a fresh initialisation.
    """

    n_layers: int
    width: int
    num_heads: int
    input_dim: int
    scale_ori: bool
    assignment_heads: tuple[bool, ...]
    token_heads: tuple[bool, ...]
    trained_heads: tuple[bool, ...]

    @property
    def head_width(self) -> int:
        return self.width // self.num_heads


def read_checkpoint(state: dict[str, Tensor], num_heads: int | None) -> tuple[Architecture, dict[str, Tensor]]:
    """Check all keys and shapes and give float64 tensors under kornia's names.

    The older names of the published files (``self_attn.0…``, ``matcher.…``) are read too. Assignment heads of inner layers,
    token confidences and the table of thresholds may be missing: only early exit needs them.

    Raises:
        WeightsError: The first few keys that are missing, unknown or of the wrong shape.
    """
    named = kornia_names(state)
    arch = _architecture(named, num_heads)
    required, optional = _expected(arch)
    _refuse("misses", [key for key in required if key not in named])
    _refuse("has unknown keys", [key for key in named if key not in required and key not in optional])
    for key, shape in (required | optional).items():
        if key in named and tuple(named[key].shape) != shape:
            raise WeightsError(
                f"LightGlue checkpoint: {key} has shape {tuple(named[key].shape)}, expected {shape}; this is another model's file."
            )
    _refuse(
        "has values that are not finite in",
        [key for key, value in named.items() if not bool(torch.isfinite(value).all())],
    )
    return arch, {key: value.detach().to("cpu", torch.float64) for key, value in named.items()}


def kornia_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of older and of training checkpoints; of the latter only the matcher's part is kept."""
    if any(key.startswith("matcher.") for key in state):
        state = {key.removeprefix("matcher."): value for key, value in state.items() if key.startswith("matcher.")}
    return {
        re.sub(r"^(self_attn|cross_attn)\.(\d+)\.", r"transformers.\2.\1.", key): value for key, value in state.items()
    }


def _refuse(what: str, keys: list[str]) -> None:
    if keys:
        more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
        raise WeightsError(
            f"LightGlue checkpoint {what}: {', '.join(sorted(keys)[:SHOWN_KEYS])}{more}; check that the file is a LightGlue model."
        )


def _architecture(named: dict[str, Tensor], num_heads: int | None) -> Architecture:
    layers = {int(m.group(1)) for key in named if (m := re.match(r"transformers\.(\d+)\.", key))}
    _refuse("misses", [key for key in ("posenc.Wr.weight", "transformers.0.self_attn.Wqkv.weight") if key not in named])
    n_layers, posenc, qkv = max(layers) + 1, named["posenc.Wr.weight"], named["transformers.0.self_attn.Wqkv.weight"]
    if posenc.ndim != 2 or qkv.ndim != 2 or 0 in posenc.shape or 0 in qkv.shape:
        raise WeightsError(
            "LightGlue checkpoint: posenc.Wr.weight and transformers.0.self_attn.Wqkv.weight must be matrices; this is another model's file."
        )
    width, head_width = qkv.shape[1], 2 * posenc.shape[0]
    _check_dimensions(width, head_width, posenc.shape[1], num_heads)
    inputs = named.get("input_proj.weight")
    return Architecture(
        n_layers=n_layers,
        width=width,
        num_heads=width // head_width,
        input_dim=inputs.shape[-1] if inputs is not None else width,
        scale_ori=posenc.shape[1] == 4,
        assignment_heads=tuple(any(k.startswith(f"log_assignment.{i}.") for k in named) for i in range(n_layers)),
        token_heads=tuple(any(k.startswith(f"token_confidence.{i}.") for k in named) for i in range(n_layers - 1)),
        trained_heads=tuple(_is_trained(named.get(f"log_assignment.{i}.final_proj.weight")) for i in range(n_layers)),
    )


def _check_dimensions(width: int, head_width: int, positions: int, num_heads: int | None) -> None:
    if width % head_width:
        raise WeightsError(
            f"LightGlue checkpoint: width {width} is no multiple of the head width {head_width} of posenc.Wr.weight."
        )
    if num_heads is not None and num_heads != width // head_width:
        raise WeightsError(
            f"LightGlue checkpoint has {width // head_width} attention heads, not {num_heads}; leave num_heads out to read it from the file."
        )
    if positions == 6:
        raise WeightsError(
            "LightGlue checkpoint reads local affine frames (six position values), which this engine does not feed; use backend = 'kornia'."
        )
    if positions not in (2, 4):
        raise WeightsError(
            f"LightGlue checkpoint: posenc.Wr.weight reads {positions} values per keypoint, expected 2 (x, y) or 4 (and scale, orientation)."
        )


def _is_trained(weight: Tensor | None) -> bool:
    """Whether a weight matrix is anything but torch's initialisation, uniform within 1/sqrt(fan in).

    Files that were cut or converted may hold inner heads that were never trained, and load without an error.
    """
    if weight is None or weight.ndim != 2:
        return False
    sample = (weight.detach().double().flatten() * math.sqrt(weight.shape[1])).sort().values
    if float(sample.abs().max()) > 1 + 1e-3:
        return True
    rank = torch.arange(1, sample.numel() + 1, dtype=torch.float64) / sample.numel()
    return float((rank - (sample + 1) / 2).abs().max()) * math.sqrt(sample.numel()) > UNIFORM_KS_LIMIT


def _expected(arch: Architecture) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    d = arch.width
    optional: dict[str, tuple[int, ...]] = {"confidence_thresholds": (arch.n_layers,)}
    required: dict[str, tuple[int, ...]] = {"posenc.Wr.weight": (arch.head_width // 2, 4 if arch.scale_ori else 2)}
    if arch.input_dim != d:
        required |= _linear("input_proj", d, arch.input_dim)
    for i in range(arch.n_layers):
        own, cross = f"transformers.{i}.self_attn", f"transformers.{i}.cross_attn"
        required |= _linear(f"{own}.Wqkv", 3 * d, d) | _linear(f"{own}.out_proj", d, d)
        for name in ("to_qk", "to_v", "to_out"):
            required |= _linear(f"{cross}.{name}", d, d)
        for block in (own, cross):
            required |= _linear(f"{block}.ffn.0", 2 * d, 2 * d) | _linear(f"{block}.ffn.3", d, 2 * d)
            required |= {f"{block}.ffn.1.weight": (2 * d,), f"{block}.ffn.1.bias": (2 * d,)}
        if arch.assignment_heads[i] or i == arch.n_layers - 1:
            required |= _linear(f"log_assignment.{i}.final_proj", d, d) | _linear(
                f"log_assignment.{i}.matchability", 1, d
            )
    for i, has_head in enumerate(arch.token_heads):
        required |= _linear(f"token_confidence.{i}.token.0", 1, d) if has_head else {}
    return required, optional


def _linear(name: str, out: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, inputs), f"{name}.bias": (out,)}
