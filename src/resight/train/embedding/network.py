"""A compact ConvNeXt (Liu et al., A ConvNet for the 2020s, CVPR 2022) that turns a picture into a point on a sphere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GREY = 0.5
CONTRAST = 0.25


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    """Depthwise 7 x 7, then a perceptron on every place: ``x + gamma * f(x)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.spatial(x).permute(0, 2, 3, 1))
        y = self.gamma * self.narrow(F.gelu(self.widen(y)))
        return x + y.permute(0, 3, 1, 2)


class EmbeddingNet(nn.Module):
    """Stem of stride 4, stages with a halving between them, mean over the places, one linear layer, batch norm.

    The batch norm (Luo et al., CVPRW 2019) keeps the mean of a batch at 0: without it all pictures end at one point, from
    which no gradient leads away.

    Args:
        widths: Channels of each stage.
        depths: Blocks of each stage.
        dim: Length of the embedding.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int], dim: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), ChannelNorm(widths[0], eps=1e-6))
        stages: list[nn.Module] = []
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            before = [ChannelNorm(widths[i - 1], eps=1e-6), nn.Conv2d(widths[i - 1], width, 2, stride=2)] if i else []
            stages.append(nn.Sequential(*before, *(ConvNextBlock(width) for _ in range(depth))))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(widths[-1], eps=1e-6)
        self.head = nn.Linear(widths[-1], dim, bias=False)
        self.centre = nn.BatchNorm1d(dim, affine=False)
        self.apply(_start)

    def forward(self, rgb: Tensor) -> Tensor:
        """(B, 3, S, S) float in 0 to 1 to (B, dim) of unit length."""
        features = self.stages(self.stem((rgb - GREY) / CONTRAST))
        return F.normalize(self.centre(self.head(self.norm(features.mean((2, 3))))), dim=1)


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
