"""What goes into the network: one photo's share, stacks of photos, and batches of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """All that depends on one photo only; N keypoints, inner width d, head width h.

    Attributes:
        x: (N, d), descriptors after the first self-attention block.
        cross: (N, 2 d), keys and values of the first cross-attention.
        cos, sin: (N, h / 2), of the positional phases.
    """

    x: Tensor
    cross: Tensor
    cos: Tensor
    sin: Tensor

    def __len__(self) -> int:
        return self.x.shape[0]

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in (self.x, self.cross, self.cos, self.sin))


@dataclass(frozen=True)
class Scores:
    """Mutual matches of B pairs, seen from photo a, padded to N keypoints.

    Attributes:
        confidence: (B, N) in [0, 1]; 0 for keypoints without a mutual match and for padding.
        partner: (B, N) int64, keypoint of photo b; -1 where the confidence is 0.
    """

    confidence: Tensor
    partner: Tensor


@dataclass(frozen=True)
class Side:
    """One side of a batch of pairs.

    Attributes:
        counts: True keypoint counts, on the host.
        length: Rows that every photo is padded to.
        mask: (B, length) bool, True for keypoints; None where nothing is padded.
    """

    counts: tuple[int, ...]
    length: int
    mask: Tensor | None

    @property
    def rows(self) -> int:
        return len(self.counts) * self.length

    @property
    def ragged(self) -> bool:
        return any(n != self.length for n in self.counts)


@dataclass(frozen=True)
class PairBatch:
    """B pairs on their way through the network. The rows of all a come first, then those of all b.

    Attributes:
        x: (T, d), T = B (length of a + length of b).
        cos, sin: (T, 1, 1, h / 2).
        cross: Keys and values of the first cross-attention, (rows, 2 d) of either side; used up by the first layer.
    """

    x: Tensor
    cos: Tensor
    sin: Tensor
    a: Side
    b: Side
    cross: tuple[Tensor, Tensor]

    def __len__(self) -> int:
        return len(self.a.counts)

    def with_x(self, x: Tensor) -> PairBatch:
        return replace(self, x=x)

    def without_counts(self) -> PairBatch:
        """The same to a kernel that goes by masks; two batches of equal shape then look alike to a compiler."""
        a, b = (replace(s, counts=(s.length,) * len(self)) for s in (self.a, self.b))
        return replace(self, a=a, b=b)

    def select(self, keep_a: Tensor, keep_b: Tensor) -> PairBatch:
        """Only these keypoints of a batch of one pair, after the first layer."""
        rows = torch.cat([keep_a, keep_b + self.a.rows])
        a, b = (Side((k.numel(),), k.numel(), None) for k in (keep_a, keep_b))
        return PairBatch(self.x[rows], self.cos[rows], self.sin[rows], a, b, self.cross)

    def pairs(self, keep: Sequence[int]) -> PairBatch:
        """Only these pairs of a batch, after the first layer."""
        index = torch.as_tensor(list(keep), dtype=torch.int64, device=self.x.device)
        a, b = (self._pick_side(s, keep, index) for s in (self.a, self.b))
        x, cos, sin = (self._pick(t, index) for t in (self.x, self.cos, self.sin))
        return PairBatch(x, cos, sin, a, b, self.cross)

    def _pick(self, t: Tensor, index: Tensor) -> Tensor:
        parts = zip(self.split(t), (self.a.length, self.b.length), strict=True)
        return torch.cat([part.unflatten(0, (len(self), n))[index].flatten(0, 1) for part, n in parts])

    @staticmethod
    def _pick_side(side: Side, keep: Sequence[int], index: Tensor) -> Side:
        mask = None if side.mask is None else side.mask[index]
        return replace(side, counts=tuple(side.counts[i] for i in keep), mask=mask)

    def split(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of a and rows of b."""
        return t[: self.a.rows], t[self.a.rows :]


@dataclass(frozen=True)
class Stack:
    """Photos of a tile, padded to one length, resident on the device.

    Attributes:
        x, cross, cos, sin: As in `Encoded`, with a leading dimension of K photos.
        counts: True counts on the host; ``n_keypoints`` the same on the device.
    """

    x: Tensor
    cross: Tensor
    cos: Tensor
    sin: Tensor
    counts: tuple[int, ...]
    n_keypoints: Tensor

    @classmethod
    def of(cls, photos: Sequence[Encoded], length: int, fill: float = 0.0) -> Stack:
        """Pad to ``length`` rows. ``fill`` is what padding holds; no result depends on it."""

        def pad(name: str) -> Tensor:
            return torch.stack(
                [F.pad(t, (0, 0, 0, length - len(t)), value=fill) for t in (getattr(p, name) for p in photos)]
            )

        counts = tuple(len(p) for p in photos)
        return cls(
            pad("x"), pad("cross"), pad("cos"), pad("sin"), counts, torch.tensor(counts, device=photos[0].x.device)
        )

    def take(self, rows: Sequence[int], index: Tensor, length: int) -> tuple[Side, list[Tensor]]:
        """Photos ``rows`` (the same as ``index`` on the device) cut to ``length`` rows: side and (rows, …) tensors."""
        counts = tuple(self.counts[i] for i in rows)
        # A photo without keypoints keeps one key, since a softmax over nothing is not a number; the assignment drops it.
        mask = None
        if any(n != length for n in counts):
            mask = torch.arange(length, device=index.device) < self.n_keypoints[index].clamp(min=1)[:, None]
        parts = [t[:, :length].index_select(0, index).flatten(0, 1) for t in (self.x, self.cos, self.sin, self.cross)]
        return Side(counts, length, mask), parts


def batch_of_one(a: Encoded, b: Encoded) -> PairBatch:
    """A single pair: nothing is padded, and what can be shared is not copied."""
    side_a, side_b = (Side((len(p),), len(p), None) for p in (a, b))
    x, cos, sin = (torch.cat([getattr(a, name), getattr(b, name)]) for name in ("x", "cos", "sin"))
    return PairBatch(x, cos[:, None, None], sin[:, None, None], side_a, side_b, (a.cross, b.cross))


def batch_of(side_a: tuple[Side, list[Tensor]], side_b: tuple[Side, list[Tensor]]) -> PairBatch:
    """Pairs from two sides of equal size, as `Stack.take` gives them."""
    (a, parts_a), (b, parts_b) = side_a, side_b
    x, cos, sin = (torch.cat([parts_a[i], parts_b[i]]) for i in range(3))
    return PairBatch(x, cos[:, None, None], sin[:, None, None], a, b, (parts_a[3], parts_b[3]))
