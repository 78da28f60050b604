"""Margin softmax: every animal's side has a centre on the sphere, and its pictures must lie nearer to it than to any other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NEVER = float("-inf")


def margin_softmax(cosines: Tensor, target: Tensor, neither: Tensor, margin: float, scale: float) -> Tensor:
    """Large margin cosine loss (Wang et al., CosFace, CVPR 2018, equation 4), the mean over the pictures.

    Per picture ``-log(exp(s (c_y - m)) / (exp(s (c_y - m)) + sum_j exp(s c_j)))`` over the centres ``j`` of other animals.

    Args:
        cosines: (B, C) of B pictures and C centres.
        target: (B,) index of the own centre.
        neither: (B, C) bool, centres of other sides of the same animal, which are passed over: they share colour and scars.
        margin: ``m``.
        scale: ``s``.

    Returns:
        A scalar.
    """
    own = F.one_hot(target, cosines.shape[1]).to(cosines.dtype)
    return F.cross_entropy((scale * (cosines - margin * own)).masked_fill(neither, NEVER), target)


def neither_of(animals: Tensor, target: Tensor) -> Tensor:
    """(B, C) bool: which centres belong to the picture's animal and are not its own; ``animals`` is (C,)."""
    same = animals[target][:, None] == animals[None, :]
    return same & (torch.arange(len(animals), device=animals.device)[None, :] != target[:, None])
