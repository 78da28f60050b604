"""The nearest neighbours of a query follow the gallery: what has come is looked through, what has gone is made up for, the rest stays.

Of each descriptor of a query its K + 1 nearest neighbours are kept, with their distances. Distances of before are those of now, because each is
the exact result of two descriptors alone (`scan`). Then

- of crops that the query may find since, the nearest are found among themselves and take their places in the order of all;
- a descriptor that still has a neighbour in a crop that it may find no longer is looked up anew, in the whole index;
- of any other descriptor all neighbours are there, and nothing else is nearer.

Of several that are equally far at the edge of the K + 1 nearest, those that are kept may be others than asking anew would choose. That changes nothing,
now and later: what is nearer than the edge is there in any case, what lies at the edge votes with 0, the distance to the edge is the same, and what is kept is
a possible choice from what may be found as long as all of it may be found.

faiss rounds distances as its product of the day happens to. There a query of which any descriptor would change is asked anew as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch

from resight.shortlist.entries import CodedCrops, Entries, Query, without
from resight.shortlist.params import ShortlistParams
from resight.shortlist.scan import TorchScanner, scanner_for

NOBODY, GONE = -1, -2
# Rounding (`scan`) moves distances from those of faiss by about 1e-4. Who is so near to an edge as this is asked again.
NEAR, NEARLY = 1e-3, 1.001
ENTRIES_AT_ONCE = 1 << 22  # 150 MB with 32 bytes each


class Before(NamedTuple):
    """What a query had found when it was last asked, in terms of the index as it is.

    Attributes:
        distance: (N, K + 1) float32 in rising order, infinite where fewer were found.
        rows: (N, K + 1) int32, `NOBODY` where fewer were found, `GONE` for a crop that it may find no longer.
        come: (C,) int32, rows that it may find since.
    """

    distance: np.ndarray
    rows: np.ndarray
    come: np.ndarray


class Neighbours(NamedTuple):
    """What a query finds.

    Attributes:
        distance: (N, K + 1) float32 in rising order, infinite where fewer were found.
        rows: (N, K + 1) int32, `NOBODY` where fewer were found.
        n_sought: How many of the descriptors were looked up in the whole index for that.
    """

    distance: np.ndarray
    rows: np.ndarray
    n_sought: int


def find(
    entries: Entries, asked: Mapping[str, Query], before: Mapping[str, Before], params: ShortlistParams
) -> dict[str, Neighbours]:
    """The K + 1 nearest neighbours of each descriptor.

    Args:
        entries: The index.
        asked: Queries, each with the rows that it may find.
        before: Of those that were asked before; one that had other descriptors is asked anew.
        params: ``neighbours``, ``n_probe``, ``backend``.
    """
    n = params.neighbours + 1
    known = {q: b for q, b in before.items() if b.distance.shape == b.rows.shape == (len(asked[q].descriptors), n)}
    follow = _unmoved if params.backend == "faiss" else _merged
    come = _among_come(entries, asked, known, params)
    now = {q: found for q, of_query in known.items() if (found := follow(of_query, *come[q])) is not None}
    lost = {q: np.flatnonzero((found.rows == GONE).any(axis=1)) for q, found in now.items()}
    seek = {q: query for q, query in asked.items() if q not in now}
    seek |= {q: asked[q]._replace(sought=torch.from_numpy(of_query)) for q, of_query in lost.items() if len(of_query)}
    sought = scanner_for(params, entries).nearest(list(seek.values()), params.n_probe, n) if seek else []
    for q, (distance, rows) in zip(seek, sought, strict=True):
        if q in lost:
            now[q].distance[lost[q]], now[q].rows[lost[q]] = distance.numpy(), rows.numpy()
            now[q] = now[q]._replace(n_sought=len(rows))
        else:
            now[q] = Neighbours(distance.numpy(), rows.numpy().astype(np.int32), len(rows))
    return {q: now[q] for q in asked}


def _among_come(
    entries: Entries, asked: Mapping[str, Query], before: Mapping[str, Before], params: ShortlistParams
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(N, n) distances and rows of what the descriptors of each query find among the crops that have come, in no order; n = 0 where none has."""
    near = {
        q: [(np.zeros((len(b.rows), 0), np.float32), np.zeros((len(b.rows), 0), np.int32))] for q, b in before.items()
    }
    some = [q for q, of_query in before.items() if len(of_query.come)]
    rows_come = np.unique(np.concatenate([np.zeros(0, np.int32), *(before[q].come for q in some)]))
    come = {entries.crop_ids[row]: row for row in rows_come.tolist()}
    parts = (without(part, come) for part in entries.parts if not come.keys().isdisjoint(part.crop_ids))
    for of_come in (Entries(entries.codebook, group) for group in _in_groups(parts)):
        whole = np.array([*(come[crop_id] for crop_id in of_come.crop_ids), NOBODY], np.int32)
        masks = [torch.from_numpy(np.isin(whole[:-1], before[q].come)) for q in some]
        queries = [asked[q]._replace(allowed=mask) for q, mask in zip(some, masks, strict=True)]
        found = TorchScanner(of_come).nearest(queries, params.n_probe, params.neighbours + 1)
        for q, (distance, rows) in zip(some, found, strict=True):
            near[q].append((distance.numpy(), whole[rows.numpy()]))
    return {
        q: (np.concatenate([d for d, _ in of_q], axis=1), np.concatenate([r for _, r in of_q], axis=1))
        for q, of_q in near.items()
    }


def _in_groups(parts: Iterable[CodedCrops]) -> Iterator[list[CodedCrops]]:
    """Parts in lists of about `ENTRIES_AT_ONCE`, at least one: what has come is copied from the files of the index, and may be a third of it."""
    group: list[CodedCrops] = []
    for part in parts:
        if group and sum(map(len, group)) + len(part) > ENTRIES_AT_ONCE:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _merged(before: Before, distance: np.ndarray, rows: np.ndarray) -> Neighbours:
    """The nearest of before and of those that have come; a descriptor that has lost one still has it."""
    now = Neighbours(before.distance.copy(), before.rows.copy(), 0)
    nearer = (distance < before.distance[:, -1:]).any(axis=1)
    far = np.concatenate([before.distance[nearer], distance[nearer]], axis=1)
    where = np.concatenate([before.rows[nearer], rows[nearer]], axis=1)
    order = np.argsort(far, axis=1, kind="stable")[:, : before.rows.shape[1]]
    now.distance[nearer], now.rows[nearer] = (np.take_along_axis(both, order, axis=1) for both in (far, where))
    return now


def _unmoved(before: Before, distance: np.ndarray, _: np.ndarray) -> Neighbours | None:
    """What was before, where nothing has gone and what has come is not near; otherwise None."""
    near = np.isfinite(distance) & (distance <= before.distance[:, -1:] * NEARLY + NEAR)
    if near.any() or (before.rows == GONE).any():
        return None
    return Neighbours(before.distance, before.rows, 0)
