"""Nearest gallery descriptors in inverted lists, in torch alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F

from resight.extract.block import one_thread
from resight.shortlist.codebook import CODES
from resight.shortlist.entries import Entries, Found, Query
from resight.shortlist.params import ShortlistParams

PROBES_AT_ONCE = 1 << 16
CHUNK_FLOATS = 1 << 22


Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Scanner(Protocol):
    """Finds nearest descriptors. What it finds for a query must not depend on the other queries."""

    def nearest(self, queries: Sequence[Query], n_probe: int, n: int) -> list[Found]:
        """The ``n`` nearest stored descriptors of each descriptor of the queries, among the allowed crops in the probed lists.

        Args:
            queries: (N, D) float32 of each, and (R,) bool per row of the index, which may be found; None allows all.
            n_probe: Lists that are looked into.
            n: Neighbours.

        Returns:
            Of each query (N, n) float32 distances in rising order, infinite where fewer were found; (N, n) int64 rows, -1 there.
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
    takes half the time of tables of partial distances here, because many query descriptors share the decoding: those of one
    query, and of all queries that are asked together. Each query is multiplied by itself, so that it finds the same to the last bit
    whoever is asked with it.
    """

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        codebook = entries.codebook
        self._codes = codebook.codes.flatten(0, 1)
        self._offsets = torch.arange(codebook.n_bytes, dtype=torch.int32) * CODES

    def nearest(self, queries: Sequence[Query], n_probe: int, n: int) -> list[Found]:
        """See `Scanner.nearest`."""
        n_probe = min(n_probe, len(self.entries.codebook.centres))
        with one_thread():
            parts = [self._begun(x, allowed, n_probe, n) for x, allowed in queries]
            visits: dict[int, list[tuple[_Part, slice]]] = {}
            for part in (part for of_query in parts for part in of_query):
                for number, rows in part.visits():
                    visits.setdefault(number, []).append((part, rows))
            for number in sorted(visits):
                self._visit(number, visits[number])
            return [_joined([part.found() for part in of_query]) for of_query in parts]

    def _begun(self, x: torch.Tensor, allowed: torch.Tensor | None, n_probe: int, n: int) -> list[_Part]:
        closed = torch.zeros(len(self.entries.crop_ids))
        if allowed is not None:
            closed[~allowed] = torch.inf
        parts = []
        for some in x.split(max(1, PROBES_AT_ONCE // n_probe)):
            probes, order = self.entries.codebook.nearest_lists(some, n_probe)[1].flatten().sort(stable=True)
            best = torch.full((len(probes), n), torch.inf)
            rows = torch.full((len(probes), n), -1, dtype=torch.int64)
            parts.append(_Part(some, closed, probes, order, best, rows))
        return parts

    def _visit(self, number: int, asking: Sequence[tuple[_Part, slice]]) -> None:
        """Fill in the nearest in one list.

        Which of two equally far ones is chosen does not matter: at the edge of the K + 1 nearest both vote with 0.
        """
        stored, of_row = self.entries.of_list(number)
        if not len(of_row):
            return
        if not len(self._offsets):
            for part, probes in asking:
                _fill(part.sought(probes), stored, of_row, part, probes, _exact)
            return
        centre = self.entries.codebook.centres[number]
        decoded = _right(F.embedding(stored.int().add_(self._offsets), self._codes).flatten(1))
        for part, probes in asking:
            _fill(_left(part.sought(probes) - centre), decoded, of_row, part, probes, _multiplied)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some descriptors of a query, and what is found for each list that they probe.

    Attributes:
        x: (N, D) float32.
        closed: (R,) 0, or infinity for rows that may not be found.
        probes: (P,) lists, sorted; each descriptor has as many.
        order: (P,) which probe of the descriptors it is.
        best: (P, n) distances of the nearest.
        rows: (P, n) their rows.
    """

    x: torch.Tensor
    closed: torch.Tensor
    probes: torch.Tensor
    order: torch.Tensor
    best: torch.Tensor
    rows: torch.Tensor

    def visits(self) -> list[tuple[int, slice]]:
        """The different lists, and which probes are in each."""
        numbers, counts = self.probes.unique_consecutive(return_counts=True)
        ends = counts.cumsum(0).tolist()
        return [(n, slice(a, b)) for n, a, b in zip(numbers.tolist(), [0, *ends[:-1]], ends, strict=True)]

    def sought(self, probes: slice) -> torch.Tensor:
        """(Q, D) descriptors of these probes."""
        return self.x[self.order[probes] // (len(self.probes) // len(self.x))]

    def found(self) -> Found:
        """(N, n) distances in rising order and rows."""
        if not len(self.x):
            return self.best, self.rows
        back, n = self.order.argsort(), self.best.shape[1]
        chosen = self.best[back].view(len(self.x), -1).topk(n, dim=1, largest=False)
        nearest = self.rows[back].view(len(self.x), -1).gather(1, chosen.indices)
        return chosen.values, nearest.masked_fill_(chosen.values.isinf(), -1)


def _fill(
    sought: torch.Tensor, stored: torch.Tensor, of_row: torch.Tensor, into: _Part, probes: slice, distance_of: Distance
) -> None:
    """Put the nearest of the N ``stored`` to each row of ``sought`` into these probes."""
    best, rows = into.best[probes], into.rows[probes]
    step = max(1, CHUNK_FLOATS // len(sought))
    for first in range(0, len(of_row), step):
        part = of_row[first : first + step]
        distance = distance_of(sought, stored[first : first + step]).add_(into.closed[part])
        if first:
            distance, part = torch.cat([best, distance], 1), torch.cat([rows, part.expand(len(sought), -1)], 1)
        near = distance.topk(min(best.shape[1], distance.shape[1]), dim=1, largest=False)
        best[:, : near.values.shape[1]] = near.values
        rows[:, : near.values.shape[1]] = part[near.indices] if part.ndim == 1 else part.gather(1, near.indices)


def _exact(sought: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
    """(Q, N) distances from differences, because products are off by 3e-4 near 0."""
    return torch.cdist(sought, stored, compute_mode="donot_use_mm_for_euclid_dist")


def _left(x: torch.Tensor) -> torch.Tensor:
    """(Q, D + 2) for `_multiplied`, which gives what `torch.cdist` does by products; here the gallery's side is made once for all queries."""
    squared = x.pow(2).sum(1, keepdim=True)
    return torch.cat([x.mul(-2), squared, torch.ones_like(squared)], 1)


def _right(y: torch.Tensor) -> torch.Tensor:
    """(N, D + 2) for `_multiplied`."""
    squared = y.pow(2).sum(1, keepdim=True)
    return torch.cat([y, torch.ones_like(squared), squared], 1)


def _multiplied(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(Q, N) distances."""
    return left.matmul(right.mT).clamp_min_(0).sqrt_()


def _joined(parts: Sequence[Found]) -> Found:
    """The parts of a query, of which there is at least one."""
    return torch.cat([distance for distance, _ in parts]), torch.cat([rows for _, rows in parts])
