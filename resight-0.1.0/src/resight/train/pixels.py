"""Pictures as the networks take them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_tensor(rgb: np.ndarray, device: str) -> Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float32 in 0 to 1, channels last."""
    return torch.from_numpy(rgb).to(device).permute(0, 3, 1, 2).float() / 255
