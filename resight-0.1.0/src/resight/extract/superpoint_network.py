"""SuperPoint's network, written after the paper (DeTone et al. 2018); tensor names are those of the published file."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

CELL_PX = 8
WIDTHS = (64, 64, 128, 128)


class SuperpointNetwork(nn.Module):
    """VGG-like encoder with a detector head (65 logits per cell of 8 x 8) and a descriptor head."""

    def __init__(self) -> None:
        super().__init__()
        before = 1
        for stage, width in enumerate(WIDTHS, start=1):
            setattr(self, f"conv{stage}a", nn.Conv2d(before, width, 3, padding=1))
            setattr(self, f"conv{stage}b", nn.Conv2d(width, width, 3, padding=1))
            before = width
        self.convPa, self.convPb = nn.Conv2d(before, 256, 3, padding=1), nn.Conv2d(256, CELL_PX**2 + 1, 1)
        self.convDa, self.convDb = nn.Conv2d(before, 256, 3, padding=1), nn.Conv2d(256, 256, 1)

    def forward(self, grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, 1, H, W) in 0 to 1 to logits (1, 65, H/8, W/8) and descriptors (1, 256, H/8, W/8) of unit length."""
        x = grey
        for stage in range(1, len(WIDTHS) + 1):
            x = F.relu(getattr(self, f"conv{stage}a")(x))
            x = F.relu(getattr(self, f"conv{stage}b")(x))
            x = F.max_pool2d(x, 2) if stage < len(WIDTHS) else x
        logits = self.convPb(F.relu(self.convPa(x)))
        return logits, F.normalize(self.convDb(F.relu(self.convDa(x))), dim=1)


def peaks(heat: torch.Tensor, radius: int) -> torch.Tensor:
    """(H, W) bool: the largest of their window; two more rounds find the largest beside the windows of the first."""

    def largest(values: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(values[None, None], 2 * radius + 1, 1, radius)[0, 0]

    is_peak = heat == largest(heat)
    for _ in range(2):
        covered = largest(is_peak.float()) > 0
        rest = torch.where(covered, torch.zeros_like(heat), heat)
        is_peak |= (rest == largest(rest)) & ~covered
    return is_peak


def sample(dense: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
    """(N, 256) descriptors of unit length at the pixels ``xy`` (N, 2), bilinear between the centres of the cells.

    The centre of cell i lies at 8 i + 3.5 px. The divisor is that of the published code, a little larger than the distance
    between the outermost centres: the weights of matchers were trained with it.
    """
    cells = dense.new_tensor([dense.shape[-1], dense.shape[-2]])
    grid = (xy - (CELL_PX - 1) / 2) / (CELL_PX * cells - (CELL_PX + 1) / 2) * 2 - 1
    sampled = F.grid_sample(dense, grid[None, None], mode="bilinear", align_corners=True)
    return F.normalize(sampled[0, :, 0].T, dim=1)
