"""Detectors of kornia that give local affine frames (LAFs): reading them, and the mask on the way in.

kornia's frames have pixel centres at integers; their orientation is counter-clockwise on the screen, the opposite of
`Features`.
"""

from __future__ import annotations

import numpy as np
import torch
from kornia.feature import get_laf_center, get_laf_orientation, get_laf_scale, laf_is_filled

MASK_MARGIN_PX = 9


def read_lafs(lafs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(N, 2) centre, (N,) scale and (N,) orientation in rad, clockwise on the screen, of (1, N, 2, 3) frames."""
    return get_laf_center(lafs)[0], get_laf_scale(lafs)[0, :, 0, 0], -torch.deg2rad(get_laf_orientation(lafs)[0, :, 0])


def filled(lafs: torch.Tensor) -> torch.Tensor:
    """(N,) bool: slots that hold a detection. kornia fills the rest of its fixed number with zeros."""
    return laf_is_filled(lafs)[0]


def detector_mask(mask: np.ndarray | None, picture: torch.Tensor) -> torch.Tensor | None:
    """(1, 1, H, W) bool for the detector, grown by a margin and padded like ``picture``.

    kornia drops what lies within a pixel of a coarse level of the mask's edge. With the margin it drops nothing that
    belongs inside; the exact mask is applied afterwards.
    """
    if mask is None:
        return None
    whole = torch.zeros(1, 1, *picture.shape[-2:], device=picture.device)
    whole[0, 0, : mask.shape[0], : mask.shape[1]] = torch.from_numpy(mask.astype(np.float32)).to(picture.device)
    return torch.nn.functional.max_pool2d(whole, 2 * MASK_MARGIN_PX + 1, 1, MASK_MARGIN_PX) > 0
