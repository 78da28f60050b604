"""Counts in equal counts out: nothing is lost and nothing is silently dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa

from resight.errors import BrokenCountError

SHOWN = 5
PAIR_KEY = ("query_crop_id", "gallery_crop_id")


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


def _texts(pairs: pa.Table) -> Iterable[str]:
    return (f"{q} {g}" for q, g in zip(*(pairs[name].to_pylist() for name in PAIR_KEY), strict=True))
