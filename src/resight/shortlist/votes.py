"""LNBNN: what each query descriptor says for the crops that hold its nearest neighbours.

McCann and Lowe, Local Naive Bayes Nearest Neighbor for Image Classification, CVPR 2012, in the form of HotSpotter (Crall
et al., WACV 2013): with d(1) <= d(2) <= … the distances to the nearest descriptors of all *allowed* gallery crops, the
k-th neighbour's crop gets ``d(K+1) - d(k)`` for k = 1..K. The K+1-th stands for the background: a descriptor that
is near to everything gives nobody much. Where fewer than K+1 were found, the farthest found takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from resight.shortlist.codebook import as_float
from resight.shortlist.params import ShortlistParams

if TYPE_CHECKING:
    from resight.shortlist.scan import Scanner
    from resight.shortlist.store import ShortlistIndex

CROP_VOTES = pa.schema(
    [("query_crop_id", pa.string()), ("gallery_crop_id", pa.string()), ("lnbnn", pa.float64()), ("rank", pa.int32())]
)
NAME_VOTES = pa.schema(
    [
        ("query_crop_id", pa.string()),
        ("individual_id", pa.string()),
        ("lnbnn_best", pa.float64()),
        ("lnbnn_sum", pa.float64()),
        ("n_crops", pa.int32()),
        ("rank", pa.int32()),
    ]
)

Allowed = Callable[[str], np.ndarray] | np.ndarray


@dataclass(frozen=True)
class Votes:
    """What a search gives back: every candidate with a vote, queries in the order asked, best first.

    Attributes:
        crops: `CROP_VOTES`; ``rank`` is 1 for the best, equal votes are ordered by crop id.
        names: `NAME_VOTES`; ``lnbnn_best`` is that of the individual's best crop and ranks. In ``lnbnn_sum`` each query
            descriptor votes once per individual, with its nearest neighbour there (HotSpotter's name score); it grows with
            ``n_crops``, the individual's allowed crops, and ranks badly where some animals have many photos.
    """

    crops: pa.Table
    names: pa.Table


def search(
    index: ShortlistIndex,
    queries: Iterable[tuple[str, np.ndarray]],
    params: ShortlistParams,
    *,
    allowed: Allowed | None = None,
    names: Sequence[str | None] | None = None,
    background: dict[str, np.ndarray] | None = None,
) -> Votes:
    """Let the descriptors of each query crop vote. One query's votes do not depend on the other queries.

    Args:
        index: The gallery.
        queries: (crop id, descriptors (N, D), strongest first).
        params: ``neighbours``, ``n_probe``, ``descriptors_per_crop``, ``backend``.
        allowed: Which rows of ``index.crop_ids`` may be found: (Q, R) bool, or a function of the query's crop id
            that gives (R,) bool or row numbers. None allows all, the query's own crop too.
        names: Individual of each row; None (or no names at all) for crops that nobody has named.
        background: Filled with (N,) distances by query: from each of its descriptors to the nearest one that gets no vote.

    Raises:
        SettingsError: Descriptors are binary or of another width than the index, or faiss is not installed.
    """
    tally = Tally.of(index.crop_ids, names)
    crops, people = [CROP_VOTES.empty_table()], [NAME_VOTES.empty_table()]
    scanner = params.build(index.entries) if index.entries else None
    for number, (crop_id, descriptors) in enumerate(queries):
        x = as_float(descriptors, crop_id, params.descriptors_per_crop)
        if scanner is None or not len(x):
            continue
        index.check_width(x.shape[1])
        mask = _mask(allowed, number, crop_id, len(index.crop_ids))
        rows, votes, far = _cast(scanner, x, mask, params)
        if background is not None:
            background[crop_id] = far
        total = tally.total(rows, votes)
        crops.append(tally.crops(crop_id, total))
        people.append(tally.names(crop_id, total, rows, votes, mask))
    return Votes(pa.concat_tables(crops).combine_chunks(), pa.concat_tables(people).combine_chunks())


def lnbnn(distance: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Votes of each neighbour but the last.

    Args:
        distance: (N, K + 1) in rising order.
        found: (N, K + 1) bool; the first ones of a row.

    Returns:
        (N, K) float64, 0 where nothing was found.
    """
    last = np.maximum(found.sum(axis=1) - 1, 0)
    background = np.take_along_axis(distance, last[:, None], axis=1).astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinite less infinite where nothing was found
        votes = background - distance[:, :-1]
    return np.where(found[:, :-1], votes, 0.0)


def _cast(
    scanner: Scanner, x: torch.Tensor, mask: np.ndarray | None, params: ShortlistParams
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, K) rows, -1 for none, (N, K) votes, and (N,) background distances, 0 where nothing was found."""
    allowed = None if mask is None else torch.from_numpy(mask)
    distance, rows = scanner.nearest(x, allowed, params.n_probe, params.neighbours + 1)
    where = rows.numpy()
    far = np.where(where >= 0, distance.numpy(), 0.0).max(axis=1)
    return where[:, :-1], lnbnn(distance.numpy(), where >= 0), far


def _mask(allowed: Allowed | None, number: int, crop_id: str, n_rows: int) -> np.ndarray | None:
    """(R,) bool."""
    if allowed is None:
        return None
    given = np.asarray(allowed(crop_id) if callable(allowed) else allowed[number])
    if given.dtype == bool:
        if given.shape != (n_rows,):
            raise ValueError(f"allowed has shape {given.shape} for query {crop_id}, but the index has {n_rows} rows")
        return np.ascontiguousarray(given)
    mask = np.zeros(n_rows, bool)
    mask[given.astype(np.int64)] = True
    return mask


@dataclass(frozen=True)
class Tally:
    """Adds votes up per crop and per individual.

    Attributes:
        crop_ids: Crop of each row.
        crop_place: (R,) place of each row in the order of crop ids.
        people: Individuals, sorted.
        name_of_row: (R,) into ``people``, -1 for crops without a name.
    """

    crop_ids: np.ndarray
    crop_place: np.ndarray
    people: np.ndarray
    name_of_row: np.ndarray

    @staticmethod
    def of(crop_ids: Sequence[str], names: Sequence[str | None] | None) -> Tally:
        """Of an index's rows."""
        ids = np.array(crop_ids, dtype=object)
        place = np.empty(len(ids), np.int64)
        place[np.argsort(ids, kind="stable")] = np.arange(len(ids))
        people = sorted({one for one in names or () if one is not None})
        number: dict[str | None, int] = {one: at for at, one in enumerate(people)}
        of_row = np.array([number.get(one, -1) for one in names or [None] * len(ids)], np.int64)
        if len(of_row) != len(ids):
            raise ValueError(f"{len(of_row)} names for the {len(ids)} rows of the index")
        return Tally(ids, place, np.array(people, dtype=object), of_row)

    def total(self, rows: np.ndarray, votes: np.ndarray) -> np.ndarray:
        """(R,) sum of the votes for each row, from (N, K) rows and votes."""
        voted = votes > 0
        return np.bincount(rows[voted], weights=votes[voted], minlength=len(self.crop_ids))

    def crops(self, query: str, total: np.ndarray) -> pa.Table:
        """`CROP_VOTES` of one query."""
        voted = np.flatnonzero(total > 0)
        order = voted[np.lexsort((self.crop_place[voted], -total[voted]))]
        ids = pa.array(self.crop_ids[order].tolist(), pa.string())
        return _table(CROP_VOTES, query, [ids, pa.array(total[order])])

    def names(
        self, query: str, total: np.ndarray, rows: np.ndarray, votes: np.ndarray, mask: np.ndarray | None
    ) -> pa.Table:
        """`NAME_VOTES` of one query."""
        named = self.name_of_row >= 0
        best = np.zeros(len(self.people))
        np.maximum.at(best, self.name_of_row[named], total[named])
        allowed = named if mask is None else named & mask
        n_crops = np.bincount(self.name_of_row[allowed], minlength=len(self.people)).astype(np.int32)
        sums = self._sum_of_nearest(rows, votes)
        order = np.lexsort((-sums, -best))  # stable: people are in the order of their names
        order = order[best[order] > 0]
        ids = pa.array(self.people[order].tolist(), pa.string())
        return _table(NAME_VOTES, query, [ids, pa.array(best[order]), pa.array(sums[order]), pa.array(n_crops[order])])

    def _sum_of_nearest(self, rows: np.ndarray, votes: np.ndarray) -> np.ndarray:
        """(P,) votes per individual; of a descriptor's neighbours in one individual only the nearest counts."""
        name = np.where(rows >= 0, self.name_of_row[rows], -1)
        voted = (votes > 0) & (name >= 0)
        descriptor = np.broadcast_to(np.arange(len(rows))[:, None], rows.shape)[voted]
        key = descriptor * max(1, len(self.people)) + name[voted]
        first = np.unique(key, return_index=True)[1]  # neighbours come nearest first
        return np.bincount(name[voted][first], weights=votes[voted][first], minlength=len(self.people))


def _table(schema: pa.Schema, query: str, columns: list[pa.Array]) -> pa.Table:
    """One query's candidates, best first."""
    n = len(columns[0])
    ranks = pa.array(np.arange(1, n + 1), pa.int32())
    return pa.table([pa.repeat(pa.scalar(query, pa.string()), n), *columns, ranks], schema=schema)
