"""LNBNN: each query descriptor votes for the crops that hold its nearest neighbours.

McCann and Lowe, Local Naive Bayes Nearest Neighbor for Image Classification, CVPR 2012, in the form of HotSpotter (Crall
et al., WACV 2013): with d(1) <= d(2) <= … the distances to the nearest descriptors of all *allowed* gallery crops, the
k-th neighbour's crop gets ``d(K+1) - d(k)`` for k = 1..K. The K+1-th stands for the background: a descriptor that
is near to everything votes for none by much. Where there are fewer than K+1 neighbours, the farthest takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import torch

from resight.shortlist.codebook import as_float
from resight.shortlist.entries import Found, Query
from resight.shortlist.params import ShortlistParams
from resight.shortlist.plan import CROP_VOTES as CROP_VOTES
from resight.shortlist.scan import scanner_for

if TYPE_CHECKING:
    from resight.shortlist.store import ShortlistIndex

Allowed = Callable[[str], np.ndarray] | np.ndarray
T = TypeVar("T")
QUERIES_AT_ONCE = 128  # a list of the index is decoded once for all of them


def background(distance: np.ndarray) -> np.ndarray:
    """(N,) distance to the nearest neighbour that gets no vote, 0 where there is none, from the (N, K + 1) of all, infinite for none."""
    far: np.ndarray = np.where(np.isfinite(distance), distance, 0.0).max(axis=1)
    return far


def search(
    index: ShortlistIndex,
    queries: Iterable[tuple[str, np.ndarray]],
    params: ShortlistParams,
    *,
    allowed: Allowed | None = None,
    most: int | None = None,
) -> pa.Table:
    """Let the descriptors of each query crop vote. One query's votes do not depend on the other queries.

    Args:
        index: The gallery.
        queries: (crop id, descriptors (N, D), strongest first).
        params: ``neighbours``, ``n_probe``, ``descriptors_per_crop``, ``backend``.
        allowed: Which rows of ``index.crop_ids`` may be found: (Q, R) bool, or a function of the query's crop id
            that gives (R,) bool or row numbers. None allows all, the query's own crop too.
        most: Candidates that come back of each query, the best; None for all.

    Returns:
        `CROP_VOTES`: every candidate with a vote, queries in the order in which they come, best candidate first; ``rank`` is 1 for the best, equal votes
        are ordered by crop id.

    Raises:
        SettingsError: Descriptors are binary or of another width than the index, or faiss is not installed.
    """
    found = ((q, (near.numpy(), rows.numpy())) for q, (near, rows) in _found(index, queries, params, allowed))
    return counted(index.crop_ids, found, most)


def counted(
    crop_ids: Sequence[str],
    found: Iterable[tuple[str, tuple[np.ndarray, np.ndarray]]],
    most: int | None = None,
) -> pa.Table:
    """Votes of queries whose K + 1 nearest neighbours are known; arguments and what comes back as of `search`.

    Args:
        crop_ids: (R,) crop of each row of the index.
        found: Of each query with descriptors (N, K + 1) distances in rising order and rows, below 0 for none.
        most: As of `search`.
    """
    ids = np.array(crop_ids, dtype=object)
    place = np.empty(len(ids), np.int64)  # of each row in the order of crop ids
    place[np.argsort(ids, kind="stable")] = np.arange(len(ids))
    tables = [CROP_VOTES.empty_table()]
    for crop_id, (distance, rows) in found:
        votes = lnbnn(distance, rows >= 0)
        voted = votes > 0
        total = np.bincount(rows[:, :-1][voted], weights=votes[voted], minlength=len(ids))
        tables.append(_ranked(crop_id, ids, place, total, most))
    return pa.concat_tables(tables).combine_chunks()


def _found(
    index: ShortlistIndex, queries: Iterable[tuple[str, np.ndarray]], params: ShortlistParams, allowed: Allowed | None
) -> Iterator[tuple[str, Found]]:
    """What each query with descriptors finds, `QUERIES_AT_ONCE` together."""
    if index.entries is None:
        return
    scanner = scanner_for(params, index.entries)
    for some in _in_batches(enumerate(queries), QUERIES_AT_ONCE):
        asked: list[tuple[str, Query]] = []
        for number, (crop_id, descriptors) in some:
            x = as_float(descriptors, crop_id, params.descriptors_per_crop)
            if len(x):
                index.check_width(x.shape[1])
                asked.append((crop_id, Query(x, _mask(allowed, number, crop_id, len(index.crop_ids)))))
        found = scanner.nearest([query for _, query in asked], params.n_probe, params.neighbours + 1)
        yield from zip((crop_id for crop_id, _ in asked), found, strict=True)


def _in_batches(items: Iterable[T], n: int) -> Iterator[list[T]]:
    """Lists of ``n`` items, and of what is left."""
    remaining = iter(items)
    while some := list(islice(remaining, n)):
        yield some


def lnbnn(distance: np.ndarray, is_neighbour: np.ndarray) -> np.ndarray:
    """Votes of each neighbour but the last.

    Args:
        distance: (N, K + 1) in rising order.
        is_neighbour: (N, K + 1) bool, False for the last of a row where it has fewer neighbours.

    Returns:
        (N, K) float64, 0 where there is no neighbour.
    """
    last = np.maximum(is_neighbour.sum(axis=1) - 1, 0)
    background = np.take_along_axis(distance, last[:, None], axis=1).astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinite minus infinite where there is no neighbour
        votes = background - distance[:, :-1]
    return np.where(is_neighbour[:, :-1], votes, 0.0)


def _mask(allowed: Allowed | None, number: int, crop_id: str, n_rows: int) -> torch.Tensor | None:
    """(R,) bool."""
    if allowed is None:
        return None
    rows = np.asarray(allowed(crop_id) if callable(allowed) else allowed[number])
    if rows.dtype == bool:
        if rows.shape != (n_rows,):
            raise ValueError(f"allowed has shape {rows.shape} for query {crop_id}, but the index has {n_rows} rows")
        return torch.from_numpy(np.ascontiguousarray(rows))
    mask = np.zeros(n_rows, bool)
    mask[rows.astype(np.int64)] = True
    return torch.from_numpy(mask)


def _ranked(query: str, crop_ids: np.ndarray, place: np.ndarray, total: np.ndarray, most: int | None) -> pa.Table:
    """`CROP_VOTES` of one query from the (R,) sum of votes of each row, best first."""
    voted = np.flatnonzero(total > 0)
    order = voted[np.lexsort((place[voted], -total[voted]))][:most]
    n = len(order)
    ids, ranks = pa.array(crop_ids[order].tolist(), pa.string()), pa.array(np.arange(1, n + 1), pa.int32())
    return pa.table(
        [pa.repeat(pa.scalar(query, pa.string()), n), ids, pa.array(total[order]), ranks], schema=CROP_VOTES
    )
