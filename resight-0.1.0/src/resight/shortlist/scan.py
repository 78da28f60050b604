"""Nearest gallery descriptors in inverted lists, in torch alone."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F

from resight.extract.block import one_thread
from resight.shortlist.codebook import CODES
from resight.shortlist.entries import Entries
from resight.shortlist.params import ShortlistParams

PROBES_AT_ONCE = 1 << 16
CHUNK_FLOATS = 1 << 22


class Scanner(Protocol):
    """Finds nearest descriptors. What it finds for a query must not depend on the other queries."""

    def nearest(
        self, x: torch.Tensor, allowed: torch.Tensor | None, n_probe: int, n: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The ``n`` nearest stored descriptors of each query descriptor, among the allowed crops in the probed lists.

        Args:
            x: (N, D) float32.
            allowed: (R,) bool per row of the index; None allows all.
            n_probe: Lists that are looked into.
            n: Neighbours.

        Returns:
            (N, n) float32 distances in rising order, infinite where fewer were found; (N, n) int64 rows, -1 there.
        """
        ...


def scanner_for(params: ShortlistParams, entries: Entries) -> Scanner:
    """What finds the nearest descriptors with the backend that ``params`` names.

    Raises:
        SettingsError: It names faiss, which is not installed.
    """
    if params.backend == "faiss":
        from resight.shortlist.faiss_scan import FaissScanner

        return FaissScanner(entries)
    return TorchScanner(entries)


class TorchScanner:
    """Goes through the probed lists one after the other: all query descriptors that probe a list against all in it.

    Distances are asymmetric (IVFADC): the query as it is, the gallery as decoded. Decoding a list and multiplying
    takes half the time of tables of partial distances here, because several query descriptors share the decoding.
    """

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        codebook = entries.codebook
        self._codes = codebook.codes.flatten(0, 1)
        self._offsets = torch.arange(codebook.n_bytes, dtype=torch.int32) * CODES

    def nearest(
        self, x: torch.Tensor, allowed: torch.Tensor | None, n_probe: int, n: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Scanner.nearest`."""
        closed = torch.zeros(len(self.entries.crop_ids))
        if allowed is not None:
            closed[~allowed] = torch.inf
        n_probe = min(n_probe, len(self.entries.codebook.centres))
        with one_thread():
            parts = [self._nearest(part, closed, n_probe, n) for part in x.split(max(1, PROBES_AT_ONCE // n_probe))]
        return torch.cat([distance for distance, _ in parts]), torch.cat([rows for _, rows in parts])

    def _nearest(
        self, x: torch.Tensor, closed: torch.Tensor, n_probe: int, n: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        codebook = self.entries.codebook
        lists = codebook.nearest_lists(x, n_probe)[1]
        probes, order = lists.flatten().sort(stable=True)
        sought = x[order // n_probe]
        if codebook.n_bytes:
            sought -= codebook.centres[probes]
        best = torch.full((len(probes), n), torch.inf)
        rows = torch.full((len(probes), n), -1, dtype=torch.int64)
        numbers, counts = probes.unique_consecutive(return_counts=True)
        first = 0
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            part = slice(first, first + count)
            self._visit(number, sought[part], closed, best[part], rows[part])
            first += count
        back = order.argsort()
        chosen = best[back].view(len(x), -1).topk(n, dim=1, largest=False)
        nearest = rows[back].view(len(x), -1).gather(1, chosen.indices)
        return chosen.values, nearest.masked_fill_(chosen.values.isinf(), -1)

    def _visit(
        self, number: int, sought: torch.Tensor, closed: torch.Tensor, best: torch.Tensor, rows: torch.Tensor
    ) -> None:
        """Fill ``best`` and ``rows`` (Q, n) with the nearest in one list.

        Which of two equally far ones is chosen does not matter: at the edge of the K + 1 nearest both vote with 0.
        """
        stored, of_row = self.entries.of_list(number)
        step = max(1, CHUNK_FLOATS // len(sought))
        for first in range(0, len(of_row), step):
            part = of_row[first : first + step]
            distance = self._distance(sought, stored[first : first + step]).add_(closed[part])
            if first:
                distance, part = torch.cat([best, distance], 1), torch.cat([rows, part.expand(len(sought), -1)], 1)
            near = distance.topk(min(best.shape[1], distance.shape[1]), dim=1, largest=False)
            best[:, : near.values.shape[1]] = near.values
            rows[:, : near.values.shape[1]] = part[near.indices] if part.ndim == 1 else part.gather(1, near.indices)

    def _distance(self, sought: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
        """(Q, N); from differences where descriptors are exact, because products are off by 3e-4 near 0."""
        if not len(self._offsets):
            return torch.cdist(sought, stored, compute_mode="donot_use_mm_for_euclid_dist")
        rest = F.embedding(stored.int().add_(self._offsets), self._codes).flatten(1)
        return torch.cdist(sought, rest, compute_mode="use_mm_for_euclid_dist")
