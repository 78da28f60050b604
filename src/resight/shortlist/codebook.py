"""What an index is trained on: the centres of its inverted lists and the codes of its product quantiser.

A descriptor is stored as the number of the nearest centre and, of what is left (the residual), one byte per sub-vector:
IVFADC, Jégou, Douze and Schmid, PAMI 2011. K-means is seeded and a single thread adds, since the sums of several end in other
last digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from resight.errors import SettingsError
from resight.extract.base import is_binary

CODES = 256
ROUNDS = 10
SEED = 20120616
CHUNK_FLOATS = 1 << 22  # 16 MB, which stay near the processor

Assign = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, eq=False)
class Codebook:
    """A trained quantiser.

    Attributes:
        centres: (L, D) float32, one per inverted list.
        codes: (M, 256, D / M) float32 sub-vectors of residuals; M = 0 keeps descriptors as they are.
        n_crops: Gallery crops when it was trained.
        sample_digest: Digest of the training sample.
    """

    centres: torch.Tensor
    codes: torch.Tensor
    n_crops: int
    sample_digest: str

    @property
    def dim(self) -> int:
        """D."""
        return int(self.centres.shape[1])

    @property
    def n_bytes(self) -> int:
        """M."""
        return int(self.codes.shape[0])

    def nearest_lists(self, x: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The ``n`` (or all) nearest centres of each row of ``x`` (N, D).

        Returns:
            (N, n) float32 squared distances in rising order, and (N, n) int64 lists.
        """
        n = min(n, len(self.centres))
        parts = [_squared(c, self.centres).topk(n, largest=False) for c in _chunks(x, len(self.centres))]
        return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])

    def encode(self, x: torch.Tensor, lists: torch.Tensor) -> torch.Tensor:
        """What is stored of ``x`` (N, D) in ``lists`` (N,): (N, M) uint8 codes, or ``x`` itself as float32."""
        if not self.n_bytes:
            return x
        out = torch.empty(len(x), self.n_bytes, dtype=torch.uint8)
        for part in torch.arange(len(x)).split(max(1, CHUNK_FLOATS // (self.n_bytes * CODES))):
            rest = sub_vectors(x[part] - self.centres[lists[part]], self.n_bytes)
            out[part] = _batched_squared(rest, self.codes).argmin(dim=2).T.to(torch.uint8)
        return out

    def decode(self, stored: torch.Tensor, lists: torch.Tensor) -> torch.Tensor:
        """The approximate descriptors (N, D) that the codes stand for."""
        if not self.n_bytes:
            return stored
        offsets = torch.arange(self.n_bytes) * CODES
        rest = self.codes.flatten(0, 1)[stored.long() + offsets].flatten(1)
        return self.centres[lists] + rest


def as_float(descriptors: np.ndarray, crop_id: str, most: int) -> torch.Tensor:
    """The first ``most`` descriptors, which are the strongest, as float32.

    Raises:
        SettingsError: They are binary, or no table of numbers.
    """
    if descriptors.ndim != 2 or is_binary(descriptors):
        raise SettingsError(
            f"the shortlist cannot read the descriptors of crop {crop_id} ({descriptors.dtype}, shape {descriptors.shape}): binary "
            "descriptors have no Euclidean distance; set shortlist.descriptors = 'sift' or shortlist.enabled = 'off'"
        )
    return torch.from_numpy(np.array(descriptors[:most], np.float32, order="C"))


def kmeans(x: torch.Tensor, k: int, assign: Assign | None = None) -> torch.Tensor:
    """Centres (k, D) by Lloyd's algorithm from rows drawn with a fixed seed.

    A centre that loses all its rows moves to the row that is farthest from its own centre. Where there are fewer rows than
    centres, each row is a centre, and the last one fills the rest. ``assign`` is `assign_nearest` if not given.
    """
    assign = assign or assign_nearest
    if len(x) <= k:
        return torch.cat([x, x[-1:].expand(k - len(x), -1)]).contiguous()
    start = torch.randperm(len(x), generator=torch.Generator().manual_seed(SEED))[:k]
    centres = x[start.sort().values].clone()
    for _ in range(ROUNDS):
        distance, member = assign(x, centres)
        counts = torch.bincount(member, minlength=k)
        sums = torch.zeros_like(centres).index_add_(0, member, x)
        centres = sums / counts.clamp(min=1)[:, None]
        empty = torch.nonzero(counts == 0).flatten()
        if len(empty):
            centres[empty] = x[distance.argsort(descending=True, stable=True)[: len(empty)]]
    return centres


def assign_nearest(x: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) squared distance to the nearest centre, and which it is."""
    own, others = (
        x.square().sum(1),
        centres.square().sum(1)[None, :],
    )  # its own length makes no centre nearer than another
    parts = [torch.addmm(others, c, centres.T, alpha=-2).min(dim=1) for c in _chunks(x, len(centres))]
    return torch.cat([p.values for p in parts]).add_(own).clamp_(min=0), torch.cat([p.indices for p in parts])


def _chunks(x: torch.Tensor, columns: int) -> tuple[torch.Tensor, ...]:
    """Parts of the rows of ``x``, so that a matrix of part and ``columns`` has at most `CHUNK_FLOATS` numbers."""
    return x.split(max(1, CHUNK_FLOATS // max(1, columns)))


def _squared(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(N, K) squared distances; good to about 1e-6 for vectors of unit length, never negative."""
    out = torch.addmm(b.square().sum(1)[None, :], a, b.T, alpha=-2)
    return out.add_(a.square().sum(1)[:, None]).clamp_(min=0)


def sub_vectors(x: torch.Tensor, n_bytes: int) -> torch.Tensor:
    """(N, D) as (M, N, D / M)."""
    return x.view(len(x), n_bytes, -1).transpose(0, 1)


def _batched_squared(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(M, N, K) squared distances less the part that all K share."""
    return torch.baddbmm(b.square().sum(2)[:, None, :], a, b.transpose(1, 2), alpha=-2)
