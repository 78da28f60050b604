"""Negative log-likelihood of assignment and matchability at every layer, and the recall of true matches.

Written after LightGlue's paper (section 3.4) and glue-factory's description of it: matched pairs should have a high assignment,
keypoints without a partner a low matchability, both sides with equal weight; the mean over all layers trains every head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from resight.train.matcher.network import Assignment

UNMATCHED, IGNORED = -1, -2


@dataclass(frozen=True)
class Targets:
    """Truth of B pairs.

    Attributes:
        partner_a: (B, N) int64, keypoint of b; `UNMATCHED` for none, `IGNORED` if undecided, and for padding.
        partner_b: (B, M) int64, likewise.
    """

    partner_a: Tensor
    partner_b: Tensor


def loss_of(layers: Sequence[Assignment], truth: Targets) -> Tensor:
    """Mean over layers and pairs; see `layer_loss`."""
    return torch.stack([layer_loss(assignment, truth) for assignment in layers]).mean()


def layer_loss(assignment: Assignment, truth: Targets) -> Tensor:
    """Half from the matches, a quarter from either side's keypoints without a partner; each a mean within its pair."""
    has_partner = truth.partner_a >= 0
    log_p_of_true = assignment.log_p.gather(2, truth.partner_a.clamp(min=0)[..., None]).squeeze(-1)
    matched = -_mean(log_p_of_true, has_partner)
    alone_a = -_mean(F.logsigmoid(-assignment.z_a), truth.partner_a == UNMATCHED)
    alone_b = -_mean(F.logsigmoid(-assignment.z_b), truth.partner_b == UNMATCHED)
    return (0.5 * matched + 0.25 * (alone_a + alone_b)).mean()


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """(B, N) to (B,), mean over the chosen entries of each row; 0 if there are none."""
    return torch.where(chosen, values, 0.0).sum(1) / chosen.sum(1).clamp(min=1)


@torch.no_grad()
def found_matches(assignment: Assignment) -> tuple[Tensor, Tensor]:
    """Mutual matches as seen from a: (B, N) int64 partner, -1 for none, and (B, N) confidence."""
    best, partner = assignment.log_p.max(2)
    back = assignment.log_p.argmax(1)
    index = torch.arange(best.shape[1], device=best.device)
    mutual = (back.gather(1, partner) == index) & (best > torch.finfo(best.dtype).min / 16)
    return torch.where(mutual, partner, -1), torch.where(mutual, best.exp(), 0.0)


@torch.no_grad()
def counts(assignment: Assignment, truth: Targets, above: float = 0.1) -> dict[str, float]:
    """Right matches, all matches (``told``) with a confidence above ``above``, and true matches; ignored keypoints do not count."""
    partner, confidence = found_matches(assignment)
    sure = (partner >= 0) & (confidence > above)
    judged = sure & (truth.partner_a != IGNORED)
    judged &= truth.partner_b.gather(1, partner.clamp(min=0)) != IGNORED
    right = judged & (partner == truth.partner_a)
    sums = {"right": right.sum(), "told": judged.sum(), "true": (truth.partner_a >= 0).sum()}
    return {name: float(value) for name, value in sums.items()}
