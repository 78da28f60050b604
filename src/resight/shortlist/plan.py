"""From votes to the plan of pairs: pure functions on tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.pairs.plan import PLANNED, text_column
from resight.status import PairStatus


def allowed_by_plan(plan: pa.Table, crop_ids: Sequence[str]) -> Callable[[str], np.ndarray]:
    """The rows of an index that a query may find: exactly those that the plan would compare it with.

    So viewpoint, encounter, photo and the columns that must agree (species, site) decide before any vote is counted.

    Args:
        plan: From `plan_pairs`.
        crop_ids: (R,) crop of each row of the index.

    Returns:
        From a query's crop id to (N,) int64 row numbers; none for a query without a planned pair.
    """
    open_pairs = plan.filter(_open(plan))
    rows = pc.index_in(text_column(open_pairs, "gallery_crop_id"), pa.array(crop_ids, pa.string()))
    in_index = np.asarray(rows.is_valid())
    encoded = text_column(open_pairs, "query_crop_id").dictionary_encode()
    numbers, row_numbers = np.asarray(encoded.indices)[in_index], np.asarray(rows.drop_null()).astype(np.int64)
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(len(encoded.dictionary) + 1))
    place = {crop_id: at for at, crop_id in enumerate(encoded.dictionary.to_pylist())}
    nothing = np.zeros(0, np.int64)

    def allowed(query_crop_id: str) -> np.ndarray:
        at = place.get(query_crop_id)
        return nothing if at is None else row_numbers[order[starts[at] : starts[at + 1]]]

    return allowed


def apply_shortlist(plan: pa.Table, votes: pa.Table, k: int) -> pa.Table:
    """Give planned pairs outside their query's ``k`` best the status ``not_shortlisted``.

    Pairs that are not planned stay as they are and do not count among the ``k``. Pairs to calibrate are cut like those to
    identify. A query without any vote keeps all its pairs: no crop is more likely than another.

    Args:
        plan: From `plan_pairs`.
        votes: `CROP_VOTES`.
        k: Gallery crops kept per query crop.

    Returns:
        The plan with the same rows in the same order.
    """
    undecided = np.asarray(_open(plan))
    rank = np.where(undecided, _rank_of_pairs(plan, votes), -1)
    queries = text_column(plan, "query_crop_id")
    voted = np.asarray(pc.is_in(queries, pc.unique(queries.filter(pa.array(rank >= 0)))))
    left_out = undecided & voted & ~_best(queries, rank, k)
    status = pc.if_else(pa.array(left_out), PairStatus.NOT_SHORTLISTED.value, text_column(plan, "status"))
    return plan.set_column(plan.schema.get_field_index("status"), plan.schema.field("status"), status)


def _rank_of_pairs(plan: pa.Table, votes: pa.Table) -> np.ndarray:
    """(N,) int64 rank of each row's pair among the votes, -1 where it has none."""
    queries = pc.unique(text_column(votes, "query_crop_id"))
    gallery = pc.unique(text_column(votes, "gallery_crop_id"))

    def number(table: pa.Table) -> np.ndarray:
        q = np.asarray(pc.fill_null(pc.index_in(text_column(table, "query_crop_id"), queries), -1)).astype(np.int64)
        g = np.asarray(pc.fill_null(pc.index_in(text_column(table, "gallery_crop_id"), gallery), -1)).astype(np.int64)
        return np.where((q < 0) | (g < 0), -1, q * len(gallery) + g)

    row = pc.index_in(pa.array(number(plan)), pa.array(number(votes)))
    place = np.asarray(pc.fill_null(row, -1)).astype(np.int64)
    return np.where(place < 0, -1, np.append(votes["rank"].to_numpy(), 0)[place])


def _best(queries: pa.Array, rank: np.ndarray, k: int) -> np.ndarray:
    """(N,) bool, the ``k`` rows of each query with the lowest rank; rows with rank -1 do not count."""
    candidates = np.flatnonzero(rank >= 0)
    number = np.asarray(queries.dictionary_encode().indices)[candidates]
    order = np.lexsort((rank[candidates], number))
    firsts = np.searchsorted(number[order], number[order])
    keep = np.zeros(len(rank), bool)
    keep[candidates[order[np.arange(len(order)) - firsts < k]]] = True
    return keep


def _open(plan: pa.Table) -> pa.Array:
    return pc.fill_null(pc.equal(text_column(plan, "status"), PLANNED), False)
