"""Attention. Two kernels with the same result: ``sdpa``, masked batches; ``blocked``, pair by pair, never padded.

Cross-attention in LightGlue uses one similarity in both directions: ``softmax(S) v_b`` and ``softmax(S^T) v_a``. The
blocked kernel computes S and its powers of two once, a few hundred rows at a time so that they stay in the second
level cache, and adds up both directions from them: a quarter fewer products and half the exponentials.
"""

from __future__ import annotations

import math
import threading
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from resight.match.engine.batch import PairBatch, Side

Kernel = Literal["blocked", "sdpa"]
LN_2 = math.log(2)
BLOCK_BYTES = 2 << 20
SCRATCH_BYTES = 128 << 20
SMALL_PAIR = 256 * 256  # up to here one call of each direction is faster
_local = threading.local()


def self_attention(qk: Tensor, v: Tensor, batch: PairBatch, kernel: Kernel) -> Tensor:
    """Each photo attends to itself.

    Args:
        qk: (T, 2, H, h), queries and keys after the rotation, queries scaled.
        v: (T, H, h).
        batch: Says which rows are whose.
        kernel: Which of the two ways.

    Returns:
        (T, H h).
    """
    if kernel == "sdpa" and batch.a.length == batch.b.length:
        masks = both_masks(batch.a, batch.b, qk.device)
        everyone = Side(batch.a.counts + batch.b.counts, batch.a.length, None if masks is None else torch.cat(masks))
        return _attend_side(qk, v, everyone, kernel)
    sides = zip((batch.a, batch.b), batch.split(qk), batch.split(v), strict=True)
    return torch.cat([_attend_side(own_qk, own_v, side, kernel) for side, own_qk, own_v in sides])


def cross_attention(cross: tuple[Tensor, Tensor], batch: PairBatch, kernel: Kernel, n_heads: int) -> Tensor:
    """Each photo attends to its partner.

    Args:
        cross: (rows, 2 d) of either side: keys, scaled so that their product is the similarity in powers of two, and values.
        batch: Says which rows are whose.
        kernel: Which way.
        n_heads: H.

    Returns:
        (T, d).
    """
    (k_a, v_a), (k_b, v_b) = (_keys_and_values(t, len(batch), n_heads) for t in cross)
    if kernel == "sdpa":
        to_a, to_b = _sdpa(k_a, k_b, v_b, LN_2, batch.b), _sdpa(k_b, k_a, v_a, LN_2, batch.a)
        return torch.cat([t.transpose(1, 2).flatten(2).flatten(0, 1) for t in (to_a, to_b)])
    out = (torch.zeros if batch.a.ragged or batch.b.ragged else torch.empty)(batch.x.shape, dtype=k_a.dtype)
    to_a, to_b = batch.split(out)
    for i, (n_a, n_b) in enumerate(zip(batch.a.counts, batch.b.counts, strict=True)):
        rows_a, rows_b = (to[i * s.length :][:n] for to, s, n in ((to_a, batch.a, n_a), (to_b, batch.b, n_b)))
        cross_attend(k_a[i, :, :n_a], k_b[i, :, :n_b], v_a[i, :, :n_a], v_b[i, :, :n_b], rows_a, rows_b)
    return out


def _keys_and_values(t: Tensor, b: int, n_heads: int) -> tuple[Tensor, Tensor]:
    """(B n, 2 d) to twice (B, H, n, h)."""
    k, v = (
        t.unflatten(0, (b, t.shape[0] // b))
        .unflatten(-1, (2, n_heads, t.shape[-1] // (2 * n_heads)))
        .permute(2, 0, 3, 1, 4)
    )
    return k, v


def cross_attend(k_a: Tensor, k_b: Tensor, v_a: Tensor, v_b: Tensor, to_a: Tensor, to_b: Tensor) -> None:
    """Both directions of one pair.

    The similarities are shifted by a bound (Cauchy-Schwarz) so that no sum overflows. Should a row or column lie so far
    below the bound that its sum loses digits, the pair is done again by `scaled_dot_product_attention`.

    Args:
        k_a, k_b: (H, n_a, h) and (H, n_b, h), keys; their product is the similarity in powers of two.
        v_a, v_b: Values, likewise.
        to_a, to_b: (n_a, H h) and (n_b, H h), written.
    """
    n_a, n_b = k_a.shape[1], k_b.shape[1]
    if n_a == 0 or n_b == 0:
        to_a.zero_()
        to_b.zero_()
        return
    if n_a * n_b <= SMALL_PAIR or not _both_ways(
        k_a, k_b, v_a, v_b, to_a.view(n_a, *v_a.shape[::2]).transpose(0, 1), to_b
    ):
        for to, q, k, v in ((to_a, k_a, k_b, v_b), (to_b, k_b, k_a, v_a)):
            to.copy_(
                F.scaled_dot_product_attention(q[None], k[None], v[None], scale=LN_2)[0].transpose(0, 1).flatten(1)
            )


def _both_ways(k_a: Tensor, k_b: Tensor, v_a: Tensor, v_b: Tensor, to_a: Tensor, to_b: Tensor) -> bool:
    """Write ``to_a`` (H, n_a, h) and ``to_b`` (n_b, H h); False where a sum is too small to be trusted."""
    (heads, n_a, width), n_b = k_a.shape, k_b.shape[1]
    reach = max(1.0, *(abs(float(end)) for v in (v_a, v_b) for end in v.aminmax())) * max(n_a, n_b)
    shift = overflow_shift(k_a, k_b, reach)
    shifted = bool(shift.any())
    rows = block_rows(heads, n_a, n_b, k_a.element_size())
    scratch = borrow("block", heads * rows * n_b, k_a.dtype)
    sum_a, sum_b = k_a.new_empty(heads, n_a, 1), k_a.new_zeros(heads, 1, n_b)
    gathered, keys, values = k_a.new_zeros(heads, width, n_b), k_b.transpose(1, 2), v_a.transpose(1, 2)
    for start in range(0, n_a, rows):
        part = slice(start, min(start + rows, n_a))
        power = scratch[: heads * (part.stop - start) * n_b].view(heads, -1, n_b)
        torch.bmm(k_a[:, part], keys, out=power)
        if shifted:
            power.sub_(shift)
        power.exp2_()
        torch.sum(power, -1, keepdim=True, out=sum_a[:, part])
        torch.bmm(power, v_b, out=to_a[:, part])
        gathered.baddbmm_(values[:, :, part], power)
        sum_b += power.sum(-2, keepdim=True)
    to_a.div_(sum_a)
    to_b.view(n_b, heads, width).copy_(gathered.div_(sum_b).permute(2, 0, 1))
    return trusted(sum_a) and trusted(sum_b)


def overflow_shift(k_a: Tensor, k_b: Tensor, reach: float) -> Tensor:
    """(…, 1, 1), how far similarities in powers of two must come down so that ``reach`` times their power is finite."""
    bound = torch.linalg.vector_norm(k_a, dim=-1).amax(-1) * torch.linalg.vector_norm(k_b, dim=-1).amax(-1)
    room = math.log2(torch.finfo(k_a.dtype).max) - 1 - math.log2(reach)
    return (bound - room).clamp_(min=0.0)[..., None, None]


def trusted(sums: Tensor) -> bool:
    """Whether sums of powers of two are so far above the smallest normal number that what was flushed does not count."""
    info = torch.finfo(sums.dtype)
    return float(sums.amin()) >= info.tiny / info.eps**2


def block_rows(heads: int, n_a: int, n_b: int, item_bytes: int) -> int:
    """Rows of a similarity block of about `BLOCK_BYTES`, a multiple of 64."""
    return min(n_a, max(64, BLOCK_BYTES // (heads * n_b * item_bytes) // 64 * 64))


def borrow(name: str, size: int, dtype: torch.dtype) -> Tensor:
    """Scratch of this thread, flat. Fresh megabytes cost more page faults than the arithmetic done in them takes."""
    if size * dtype.itemsize > SCRATCH_BYTES:
        return torch.empty(size, dtype=dtype)
    store = _local.__dict__.setdefault("store", {})
    scratch = store.get((name, dtype))
    if scratch is None or scratch.numel() < size:
        with torch.inference_mode(False):  # so that it can be written to in either mode
            scratch = store[name, dtype] = torch.empty(size, dtype=dtype)
    return scratch[:size]


def _attend_side(qk: Tensor, v: Tensor, side: Side, kernel: Kernel) -> Tensor:
    b, n = len(side.counts), side.length
    q, k, v = (t.unflatten(0, (b, n)).transpose(1, 2) for t in (*qk.unbind(1), v))
    if kernel == "sdpa" or not side.ragged:
        return _sdpa(q, k, v, 1.0, side).transpose(1, 2).flatten(2).flatten(0, 1)
    out = q.new_zeros(b, n, *v.shape[1::2])
    for i, count in enumerate(side.counts):
        own_q, own_k, own_v = (t[i : i + 1, :, :count] for t in (q, k, v))
        out[i, :count] = F.scaled_dot_product_attention(own_q, own_k, own_v, scale=1.0)[0].transpose(0, 1)
    return out.flatten(2).flatten(0, 1)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, scale: float, keys: Side) -> Tensor:
    """(B, H, N, h), masked by the side that gives the keys."""
    mask = None if keys.mask is None else keys.mask[:, None, None, :]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def both_masks(a: Side, b: Side, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """Masks of both sides, None if neither is padded."""
    if a.mask is None and b.mask is None:
        return None
    masks = (
        torch.ones(len(s.counts), s.length, dtype=torch.bool, device=device) if s.mask is None else s.mask
        for s in (a, b)
    )
    mask_a, mask_b = masks
    return mask_a, mask_b
