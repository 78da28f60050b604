"""From descriptors to mutual matches, without copies of the similarity matrix.

LightGlue's log assignment is ``2 S - lse_row - lse_col + log sigmoid(z_a) + log sigmoid(z_b)``: two log-softmaxes of one
matrix, so two vectors of sums are all that is needed beside it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from resight.match.engine.attention import LN_2, Kernel, borrow, both_masks, overflow_shift, trusted
from resight.match.engine.batch import PairBatch, Scores, Side
from resight.match.engine.fold import LOG2_E, Head


def assign(batch: PairBatch, head: Head, kernel: Kernel) -> Scores:
    """Mutual matches of every pair under this layer's head. Ties go to the lower index."""
    if 0 in (batch.a.length, batch.b.length):
        return _no_match(len(batch), batch.a.length, batch.x)
    y = head.proj(batch.x)
    (s_a, s_b), (z_a, z_b) = batch.split(y[:, :-1]), batch.split(F.logsigmoid(y[:, -1]))
    s_a, z_a = (t.unflatten(0, (len(batch), batch.a.length)) for t in (s_a, z_a))
    s_b, z_b = (t.unflatten(0, (len(batch), batch.b.length)) for t in (s_b, z_b))
    if kernel == "sdpa":
        return _mutual(*_best_masked(s_a, s_b, z_a, z_b, batch.a, batch.b))
    out = _no_match(len(batch), batch.a.length, batch.x)
    for i, (n, m) in enumerate(zip(batch.a.counts, batch.b.counts, strict=True)):
        if n and m:
            best, partner, column_best = _best_of_pair(s_a[i, :n], s_b[i, :m], z_a[i, :n], z_b[i, :m])
            pair = _mutual(best[None], partner[None], column_best[None])
            out.confidence[i, :n], out.partner[i, :n] = pair.confidence[0], pair.partner[0]
    return out


def _no_match(b: int, n: int, like: Tensor) -> Scores:
    return Scores(like.new_zeros(b, n), torch.full((b, n), -1, dtype=torch.int64, device=like.device))


def _best_of_pair(s_a: Tensor, s_b: Tensor, z_a: Tensor, z_b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Best log assignment of each row (n_a,), where it is, and best of each column (n_b,)."""
    n_a, n_b = s_a.shape[0], s_b.shape[0]
    half, power = (borrow(name, n_a * n_b, s_a.dtype).view(n_a, n_b) for name in ("similarity", "power"))
    torch.mm(s_a, s_b.t(), out=half)
    half.sub_(overflow_shift(s_a, s_b, float(max(n_a, n_b))))
    torch.exp2(half, out=power)
    row_sum, column_sum = power.sum(-1), power.sum(-2)
    if trusted(row_sum) and trusted(column_sum):
        row, column = row_sum.log2_(), column_sum.log2_()
    else:
        row, column = (torch.logsumexp(half * LN_2, axis) * LOG2_E for axis in (-1, -2))
    half.add_((z_b * LOG2_E - column) / 2).add_(((z_a * LOG2_E - row) / 2)[:, None])
    best, partner = half.max(-1)
    return best * (2 * LN_2), partner, half.amax(-2) * (2 * LN_2)


def _best_masked(s_a: Tensor, s_b: Tensor, z_a: Tensor, z_b: Tensor, a: Side, b: Side) -> tuple[Tensor, Tensor, Tensor]:
    """The same of B padded pairs: (B, N_a), (B, N_a), (B, N_b); minus infinity for padding."""
    similarity = torch.bmm(s_a, s_b.transpose(1, 2)).mul_(LN_2)
    real = _real_pairs(a, b, similarity.device)
    if real is not None:
        # Far below all else, yet finite: infinities would turn the difference below into something that is no number.
        similarity.masked_fill_(~real, torch.finfo(similarity.dtype).min / 8)
    row, column = torch.logsumexp(similarity, -1), torch.logsumexp(similarity, -2)
    log_p = similarity.mul_(2).sub_((row - z_a)[..., None]).sub_((column - z_b)[:, None])
    if real is not None:
        log_p.masked_fill_(~real, -torch.inf)
    best, partner = log_p.max(-1)
    return best, partner, log_p.amax(-2)


def _real_pairs(a: Side, b: Side, device: torch.device) -> Tensor | None:
    """(B, N_a, N_b) bool, which entries are of two keypoints; None where all are."""
    masks = both_masks(a, b, device)
    if masks is None:
        return None
    real = masks[0][:, :, None] & masks[1][:, None]
    empty = [i for i, counts in enumerate(zip(a.counts, b.counts, strict=True)) if 0 in counts]
    return real.index_fill_(0, torch.tensor(empty, device=device), False) if empty else real


def _mutual(best: Tensor, partner: Tensor, column_best: Tensor) -> Scores:
    """Keep what is best both ways."""
    mutual = (best == column_best.gather(1, partner)) & (best > -torch.inf)
    row = torch.arange(best.shape[1], device=best.device).expand_as(partner)
    no_row = best.shape[1]
    first = torch.full_like(column_best, no_row, dtype=torch.int64).scatter_reduce_(
        1, partner, torch.where(mutual, row, no_row), "amin"
    )
    mutual &= first.gather(1, partner) == row  # of rows that tie for a column the first keeps it
    confidence = torch.where(mutual, best.exp().clamp(max=1.0), 0.0)
    return Scores(confidence, torch.where(confidence > 0, partner, -1))
