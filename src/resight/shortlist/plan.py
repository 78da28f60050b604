"""From votes to the plan of pairs: pure functions on grids of pairs and tables of votes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.pairs.plan import OPEN, PairGrid, Plan
from resight.pairs.policy import text_column

CROP_VOTES = pa.schema(
    [("query_crop_id", pa.string()), ("gallery_crop_id", pa.string()), ("lnbnn", pa.float64()), ("rank", pa.int32())]
)


def allowed_by_grids(grids: Sequence[PairGrid], crop_ids: Sequence[str]) -> Callable[[Sequence[str]], np.ndarray]:
    """The rows of an index that queries may find: exactly those that some grid would compare them with, and that need a place for it.

    So viewpoint, encounter, photo and the columns that must agree (species, site) decide before any vote is counted.

    Args:
        grids: Of the run.
        crop_ids: (R,) crop of each row of the index.

    Returns:
        From the crop ids of queries (N,) to (N, R) bool; False for a query that no grid has.
    """
    index = pa.array(crop_ids, pa.string())
    places = [np.asarray(pc.fill_null(pc.index_in(grid.gallery_ids, index), -1)) for grid in grids]
    numbers = [{crop_id: at for at, crop_id in enumerate(grid.query_ids.to_pylist())} for grid in grids]

    def allowed(queries: Sequence[str]) -> np.ndarray:
        mask = np.zeros((len(queries), len(crop_ids)), bool)
        for grid, place, number in zip(grids, places, numbers, strict=True):
            rows = np.array([at for at, crop_id in enumerate(queries) if crop_id in number], np.int64)
            if len(rows):
                asking = np.array([number[queries[at]] for at in rows])
                opened = (grid.of_queries(asking) == OPEN) & ~grid.without_place(asking)
                inside = place >= 0
                mask[np.ix_(rows, place[inside])] |= opened[:, inside]
        return mask

    return allowed


def shortlisted(grids: Sequence[PairGrid], votes: pa.Table, k: int) -> tuple[Plan, ...]:
    """The plan of each grid in which pairs beyond their query's ``k`` best candidates are left out as ``not_shortlisted``.

    Pairs to calibrate are cut like those to identify, and the candidates of all grids are ranked together. A query without any
    vote keeps all its pairs: no crop is more likely than another. Pairs that take no place (`PairGrid.beside`) stay.

    Args:
        grids: Of the run.
        votes: `CROP_VOTES`, cast for what `allowed_by_grids` allows.
        k: Gallery crops kept per query crop.
    """
    best = votes.filter(pc.less_equal(votes["rank"], k))
    return tuple(grid.plan(_keeps(grid, best)) for grid in grids)


def _keeps(grid: PairGrid, best: pa.Table) -> Callable[[np.ndarray], np.ndarray]:
    """Of queries (N,) of the grid, which pairs (N, G) are among the best, have no best, or need no place among them."""
    query, gallery = (
        np.asarray(pc.fill_null(pc.index_in(text_column(best, f"{side}_crop_id"), ids), -1)).astype(np.int64)
        for side, ids in (("query", grid.query_ids), ("gallery", grid.gallery_ids))
    )
    voted = np.zeros(len(grid), bool)
    voted[query[query >= 0]] = True
    inside = (query >= 0) & (gallery >= 0)
    order = np.argsort(query[inside], kind="stable")
    query, gallery = query[inside][order], gallery[inside][order]

    def keep(q: np.ndarray) -> np.ndarray:
        mask = np.broadcast_to(~voted[q][:, None], (len(q), len(grid.gallery_ids))).copy()
        starts, ends = np.searchsorted(query, q), np.searchsorted(query, q, side="right")
        for row, (first, last) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            mask[row, gallery[first:last]] = True
        return mask | grid.without_place(q)

    return keep
