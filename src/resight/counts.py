"""Counts in equal counts out: nothing is lost and nothing is silently dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from resight.errors import BrokenCountError

SHOWN = 5


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
