"""Nearest gallery descriptors in inverted lists, in torch alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F

from resight.extract.block import one_thread
from resight.shortlist.codebook import CODES
from resight.shortlist.entries import Entries, Found, Query
from resight.shortlist.params import ShortlistParams

PROBES_AT_ONCE = 1 << 19
CHUNK_FLOATS = 1 << 22
GRID_BITS = 10


class Scanner(Protocol):
    """Finds nearest descriptors. What it finds for a query must not depend on the other queries."""

    def nearest(self, queries: Sequence[Query], n_probe: int, n: int) -> list[Found]:
        """The ``n`` nearest stored descriptors of each descriptor of the queries, among the allowed crops in the probed lists.

        Args:
            queries: Each with what it may find, and N of its descriptors.
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
    takes half the time of tables of partial distances here, because many query descriptors share the decoding and the product.

    A query must find the same to the last bit whoever is asked with it, but sums of rounded products depend on the shape of a matrix
    product. So whatever is multiplied is first rounded to a grid that is coarse enough for all products and sums to be exact (`_grid`).
    """

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        codebook = entries.codebook
        self._grid = _grid(codebook.centres, codebook.codes)
        self._centres = _rounded(codebook.centres, self._grid)
        self._codes = _rounded(codebook.codes.flatten(0, 1), self._grid)
        self._offsets = torch.arange(codebook.n_bytes, dtype=torch.int32) * CODES

    def nearest(self, queries: Sequence[Query], n_probe: int, n: int) -> list[Found]:
        """See `Scanner.nearest`."""
        n_probe = min(n_probe, len(self.entries.codebook.centres))
        found: list[Found] = []
        with one_thread():
            for some in _so_many(queries, PROBES_AT_ONCE // n_probe):
                asking = self._begun(some, n_probe, n)
                for number, probes in asking.visits():
                    self._visit(number, asking, probes)
                found += asking.found([query.n_sought for query in some])
        return found

    def _begun(self, queries: Sequence[Query], n_probe: int, n: int) -> _Asking:
        # Which lists are nearest is asked for each query by itself and whole: a product that is not exact depends on its shape.
        lists = [query.of(self.entries.codebook.nearest_lists(query.descriptors, n_probe)[1]) for query in queries]
        probes, order = torch.cat(lists).flatten().sort(stable=True)
        closed = torch.zeros(len(queries), len(self.entries.crop_ids), dtype=torch.bool)
        for row, query in zip(closed, queries, strict=True):
            if query.allowed is not None:
                torch.logical_not(query.allowed, out=row)
        x = torch.cat([query.of(query.descriptors) for query in queries])
        of_query = torch.repeat_interleave(torch.arange(len(queries)), torch.tensor([q.n_sought for q in queries]))
        best = torch.full((len(probes), n), torch.inf)
        rows = torch.full((len(probes), n), -1, dtype=torch.int64)
        x = _rounded(x, self._grid) if len(self._offsets) else x
        return _Asking(x, of_query, closed, probes, order, best, rows)

    def _visit(self, number: int, asking: _Asking, probes: slice) -> None:
        """Fill in the nearest in one list.

        Which of two equally far ones is chosen does not matter: at the edge of the K + 1 nearest both vote with 0, and `follow` says why
        it does not later on.
        """
        stored, of_row = self.entries.of_list(number)
        if not len(of_row):
            return
        is_coded = bool(len(self._offsets))
        centre = self._centres[number]
        if is_coded:
            stored = F.embedding(stored.int().add_(self._offsets), self._codes).flatten(1)
            squared = stored.square().sum(1)
        step = max(1, CHUNK_FLOATS // len(of_row))
        for first in range(probes.start, probes.stop, step):
            some = slice(first, min(first + step, probes.stop))
            at = asking.order[some] // asking.n_probe
            x = asking.x[at]
            distance = _multiplied(x - centre, stored, squared) if is_coded else _exact(x, stored)
            distance.masked_fill_(asking.is_closed(at, of_row), torch.inf)
            asking.fill(some, distance, of_row)


@dataclass(frozen=True, eq=False)
class _Asking:
    """Descriptors of some queries, and what is found for each list that they probe.

    Attributes:
        x: (N, D) float32.
        of_query: (N,) number of the query.
        closed: (Q, R) bool, rows that a query may not find.
        probes: (P,) lists, sorted; each descriptor has as many.
        order: (P,) which probe of the descriptors it is.
        best: (P, n) distances of the nearest.
        rows: (P, n) their rows.
    """

    x: torch.Tensor
    of_query: torch.Tensor
    closed: torch.Tensor
    probes: torch.Tensor
    order: torch.Tensor
    best: torch.Tensor
    rows: torch.Tensor

    @property
    def n_probe(self) -> int:
        """Of each descriptor."""
        return len(self.probes) // max(1, len(self.x))

    def visits(self) -> list[tuple[int, slice]]:
        """The different lists, and which probes are in each."""
        numbers, counts = self.probes.unique_consecutive(return_counts=True)
        ends = counts.cumsum(0).tolist()
        return [(n, slice(a, b)) for n, a, b in zip(numbers.tolist(), [0, *ends][:-1], ends, strict=True)]

    def is_closed(self, at: torch.Tensor, of_row: torch.Tensor) -> torch.Tensor:
        """(len(at), len(of_row)) bool, which of these descriptors may not find which entries."""
        first = self.of_query[at] * self.closed.shape[1]
        return self.closed.take(first[:, None] + of_row)

    def fill(self, probes: slice, distance: torch.Tensor, of_row: torch.Tensor) -> None:
        """Put the nearest of (P, E) distances into these P probes."""
        near = distance.topk(min(self.best.shape[1], distance.shape[1]), dim=1, largest=False)
        self.best[probes, : near.values.shape[1]] = near.values
        self.rows[probes, : near.values.shape[1]] = of_row[near.indices]

    def found(self, lengths: Sequence[int]) -> list[Found]:
        """(N, n) distances in rising order and rows of each query; they have so many descriptors."""
        n = self.best.shape[1]
        if not len(self.x):
            return [(self.best, self.rows)] * len(lengths)
        back = self.order.argsort()
        chosen = self.best[back].view(len(self.x), -1).topk(n, dim=1, largest=False)
        rows = self.rows[back].view(len(self.x), -1).gather(1, chosen.indices)
        rows.masked_fill_(chosen.values.isinf(), -1)
        return list(zip(chosen.values.split(list(lengths)), rows.split(list(lengths)), strict=True))


def _so_many(queries: Sequence[Query], most: int) -> Iterator[list[Query]]:
    """Queries in groups of about ``most`` descriptors, at least one."""
    group: list[Query] = []
    n = 0
    for query in queries:
        if group and n + query.n_sought > most:
            yield group
            group, n = [], 0
        group.append(query)
        n += query.n_sought
    if group:
        yield group


def _grid(centres: torch.Tensor, codes: torch.Tensor) -> float:
    """Distance of the numbers that descriptors are rounded to, a power of two.

    Products of two vectors x and y on it, and all sums on the way, are multiples of its square and no larger than |x| |y|. A
    float32 holds multiples up to 2^24 exactly, so nothing is lost as long as |x| |y| is below 16 squares of the
    longest centre, here of differences from a centre. Few centres may be short where descriptors point everywhere; a quarter of the
    longest difference that codes stand for counts then. For descriptors of length 1 the distance is at most 1/1024: rounding moves a
    distance by some ten-thousandths, the codes that they are compared with by hundreds of times as much.
    """
    longest = float(centres.norm(dim=1).max()) if len(centres) else 0.0
    if len(codes):
        longest = max(longest, float(codes.norm(dim=2).amax(1).norm()) / 4)
    return float(2.0 ** (math.ceil(math.log2(longest)) - GRID_BITS)) if longest > 0 else 2.0**-GRID_BITS


def _rounded(x: torch.Tensor, grid: float) -> torch.Tensor:
    return x.div(grid).round_().mul_(grid)


def _exact(sought: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
    """(Q, N) distances from differences, because products are off by 3e-4 near 0."""
    return torch.cdist(sought, stored, compute_mode="donot_use_mm_for_euclid_dist")


def _multiplied(x: torch.Tensor, y: torch.Tensor, y_squared: torch.Tensor) -> torch.Tensor:
    """(Q, N) distances of what is on the grid."""
    squared = x.matmul(y.mT).mul_(-2).add_(x.square().sum(1)[:, None]).add_(y_squared)
    return squared.clamp_min_(0).sqrt_()
