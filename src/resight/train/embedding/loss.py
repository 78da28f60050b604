"""Circle loss: the further a similarity is from where it ought to be, the harder it is pulled."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

NEVER = float("-inf")


def circle_loss(
    similarity: Tensor, positive: Tensor, negative: Tensor, margin: float = 0.25, gamma: float = 64.0
) -> Tensor:
    """Circle loss with pair-wise labels (Sun et al., CVPR 2020, equation 6), the mean over the anchors.

    Per anchor ``log(1 + sum_n exp(gamma a_n (s_n - margin)) * sum_p exp(-gamma a_p (s_p - (1 - margin))))`` with
    ``a_p = max(0, 1 + margin - s_p)`` and ``a_n = max(0, s_n + margin)``, through which no gradient flows.

    Args:
        similarity: (A, B) cosines of A anchors and B others.
        positive: (A, B) bool, the same animal; False for the anchor itself.
        negative: (A, B) bool, another animal. What is neither (left and right of one animal) is passed over.
        margin: ``m``; similarities of one animal ought to exceed ``1 - m``, those of two fall below ``m``.
        gamma: Scale.

    Returns:
        A scalar; 0 where no anchor has both a positive and a negative.
    """
    pull = (1 + margin - similarity.detach()).clamp_min(0)
    push = (similarity.detach() + margin).clamp_min(0)
    p = (-gamma * pull * (similarity - (1 - margin))).masked_fill(~positive, NEVER)
    n = (gamma * push * (similarity - margin)).masked_fill(~negative, NEVER)
    anchors = positive.any(1) & negative.any(1)
    if not bool(anchors.any()):
        return similarity.sum() * 0
    return F.softplus(p[anchors].logsumexp(1) + n[anchors].logsumexp(1)).mean()
