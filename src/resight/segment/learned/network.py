"""The network of both looks: an encoder of plain convolutions, a light decoder, and a vote on view and upright direction."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VIEWS = ("left", "right", "top", "front", "back", "none")
SWAPPED = (1, 0, 2, 3, 4, 5)  # places of VIEWS in a mirrored picture
MAPS = ("head", "body", "snoutward", "crownward")
MAP_STRIDE = 4
STRIDE = 32  # sides of the input are multiples of this
MEAN, SPREAD = (0.30, 0.46, 0.50), (0.22, 0.20, 0.21)  # red is what water takes away


class HeadNet(nn.Module):
    """From RGB to maps of head and body, the view and the direction that is up.

    Plain 3 x 3 convolutions: on one CPU core they are faster than depthwise ones with the same accuracy. Depth follows U-Net
    (Ronneberger et al., MICCAI 2015), the blocks follow He et al. (CVPR 2016).
    """

    def __init__(self, widths: tuple[int, int, int, int, int] = (16, 32, 64, 112, 160)) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.at_4 = nn.Sequential(_conv(3, a, 2), _conv(a, b, 2), Residual(b))
        self.at_8 = nn.Sequential(_conv(b, c, 2), Residual(c))
        self.at_16 = nn.Sequential(_conv(c, d, 2), Residual(d))
        self.at_32 = nn.Sequential(_conv(d, e, 2), Residual(e))
        self.context = nn.Sequential(nn.Linear(e, e), nn.ReLU(inplace=True), nn.Linear(e, e))
        self.up_16, self.up_8, self.up_4 = Up(e, d, d), Up(d, c, c), Up(c, b, b)
        self.maps = nn.Conv2d(b, len(MAPS), 1)
        self.vote = nn.Sequential(nn.Linear(2 * e + d + c + 5, 96), nn.ReLU(inplace=True), nn.Dropout(0.3))
        self.view, self.upright = nn.Linear(96, len(VIEWS)), nn.Linear(96, 2)

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Look at a batch.

        Args:
            rgb: (B, 3, H, W) float, 0 to 1; sides are multiples of `STRIDE`.

        Returns:
            (B, 4, H/4, W/4): logits of head and body, and for pixels of the head where on it they lie, from -1 at the neck to
            1 at the snout and from -1 at the throat to 1 at the crown; logits (B, 6) of `VIEWS`; (B, 2) sine and cosine, times
            any length, of the counter-clockwise turn that brings the head upright.
        """
        x4 = self.at_4(normalised(rgb))
        x8 = self.at_8(x4)
        x16 = self.at_16(x8)
        x32 = self.at_32(x16)
        x32 = x32 + self._apart(self.context, x32.mean((2, 3)))[:, :, None, None]
        y16 = self.up_16(x32, x16)
        y8 = self.up_8(y16, x8)
        maps = self.maps(self.up_4(y8, x4))
        chance = maps[:, :1].detach().sigmoid()
        features = [x32.mean((2, 3)), *(_pooled(x, chance) for x in (x32, y16, y8)), _lie(maps[:, 2:], chance)]
        voted = self._apart(self.vote, torch.cat(features, 1))
        return maps, self._apart(self.view, voted), self._apart(self.upright, voted)

    def _apart(self, layers: nn.Module, rows: Tensor) -> Tensor:
        """Linear layers on two rows at a time, but in training: what they add up to depends in the last bits on how many rows they are given
        and on where these begin in memory, and a picture with its mirror image is to get what it gets alone. Convolutions take each picture by itself anyhow."""
        return layers(rows) if self.training else torch.cat([layers(two.clone()) for two in rows.split(2)])


class Residual(nn.Module):
    """Two convolutions, added to what goes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)), inplace=True)


class Up(nn.Module):
    """Half the stride: coarse features, enlarged, plus fine ones."""

    def __init__(self, coarse: int, fine: int, out: int) -> None:
        super().__init__()
        self.coarse, self.fine = nn.Conv2d(coarse, out, 1), nn.Conv2d(fine, out, 1)
        self.mix = _conv(out, out)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        grown = F.interpolate(self.coarse(coarse), scale_factor=2.0, mode="nearest")
        return self.mix(F.relu(grown + self.fine(fine), inplace=True))


def normalised(rgb: Tensor) -> Tensor:
    """Shift and scale colours, 0 to 1, to about zero mean and unit spread under water."""
    mean, spread = rgb.new_tensor(MEAN), rgb.new_tensor(SPREAD)
    if not rgb.is_contiguous(memory_format=torch.channels_last):
        return (rgb - mean[:, None, None]) / spread[:, None, None]
    # The same sums: three numbers at a time take ten times as long as a whole row.
    rows = rgb.permute(0, 2, 3, 1).flatten(2)
    n = rgb.shape[3]
    return (rows - mean.repeat(n)).div_(spread.repeat(n)).unflatten(2, (n, 3)).permute(0, 3, 1, 2)


def _conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


def _pooled(features: Tensor, chance: Tensor) -> Tensor:
    """Mean of features (B, C, h, w) over the pixels that are head, by their chance (B, 1, H, W)."""
    weight = F.adaptive_avg_pool2d(chance, (features.shape[2], features.shape[3])) + 1e-4
    return (features * weight).sum((2, 3)) / weight.sum((2, 3))


def _lie(along: Tensor, chance: Tensor) -> Tensor:
    """How the head lies in the image, (B, 5): the slopes of the maps ``along`` (B, 2, h, w) to the right and down, over the
    pixels that are head, and their determinant, whose sign distinguishes left from right however the head is turned."""
    height, width = along.shape[2:]
    x = torch.linspace(-1, 1, width, device=along.device, dtype=along.dtype)[None, None, None, :].expand_as(chance)
    y = torch.linspace(-1, 1, height, device=along.device, dtype=along.dtype)[None, None, :, None].expand_as(chance)
    weight = (chance + 1e-4) / (chance + 1e-4).sum((2, 3), keepdim=True)
    place = torch.cat([x, y], 1)
    place = place - (weight * place).sum((2, 3), keepdim=True)
    spread = (weight * place.square()).sum((1, 2, 3)).div(2).sqrt()[:, None, None] + 1e-3
    slopes = torch.einsum("bihw,bjhw->bij", weight * along, place) / spread
    turn = slopes[:, 0, 0] * slopes[:, 1, 1] - slopes[:, 0, 1] * slopes[:, 1, 0]
    return 3 * torch.cat([slopes.flatten(1), 3 * turn[:, None]], 1)
