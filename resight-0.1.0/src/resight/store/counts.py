"""Counts in equal counts out: nothing is lost and nothing is silently dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa

from resight.errors import BrokenCountError

SHOWN = 5
PAIR_KEY = ("query_crop_id", "gallery_crop_id")
QUERY_KEY = ("query_crop_id", "purpose")


def reconcile(stage: str, expected: Iterable[str], got: Iterable[str]) -> None:
    """Check that ``got`` holds exactly the ids of ``expected``, each as often.

    Raises:
        BrokenCountError: Something was lost, invented or doubled; names the first few.
    """
    want, have = Counter(expected), Counter(got)
    lost, extra = want - have, have - want
    if lost or extra:
        raise BrokenCountError(
            f"stage {stage}: {want.total()} in, {have.total()} out; "
            f"{lost.total()} lost {sorted(lost)[:SHOWN]}, {extra.total()} too many {sorted(extra)[:SHOWN]}. "
            "The results of this run are not written; please report this with the run's log."
        )


def reconcile_pairs(stage: str, expected: pa.Table, got: pa.Table) -> None:
    """`reconcile` for tables of pairs. Stages keep the order of the plan, and columns that agree need no text per pair.

    Raises:
        BrokenCountError: As there.
    """
    if not all(expected[name].equals(got[name]) for name in PAIR_KEY):
        reconcile(stage, _texts(expected), _texts(got))


def reconcile_left_out(stage: str, expected: pa.Table, pairs: pa.Table, left_out: pa.Table) -> None:
    """Check that every pair of each query is a row of ``pairs`` or counted in ``left_out``, and none is both.

    Args:
        stage: For the message.
        expected: ``query_crop_id, purpose, n_pairs``, each query and purpose once.
        pairs: ``query_crop_id, purpose`` and others.
        left_out: ``query_crop_id, purpose, n_left_out`` and others.

    Raises:
        BrokenCountError: The numbers differ; names the first few queries.
    """
    rows = pairs.group_by(list(QUERY_KEY)).aggregate([([], "count_all")])
    counted = left_out.group_by(list(QUERY_KEY)).aggregate([("n_left_out", "sum")])
    want, have = _by_query(expected, "n_pairs"), _by_query(rows, "count_all") + _by_query(counted, "n_left_out_sum")
    wrong = sorted(key for key in want | have if want[key] != have[key])
    if wrong:
        first = [
            f"{query} ({purpose}): {want[query, purpose]} in, {have[query, purpose]} out" for query, purpose in wrong
        ]
        raise BrokenCountError(
            f"stage {stage}: {want.total()} pairs in, {have.total()} out; {first[:SHOWN]}. "
            "The results of this run are not written; please report this with the run's log."
        )


def _by_query(table: pa.Table, column: str) -> Counter[tuple[str, str]]:
    columns = (table[name].to_pylist() for name in (*QUERY_KEY, column))
    return Counter({(query, purpose): n for query, purpose, n in zip(*columns, strict=True) if n})


def _texts(pairs: pa.Table) -> Iterable[str]:
    return (f"{q} {g}" for q, g in zip(*(pairs[name].to_pylist() for name in PAIR_KEY), strict=True))
