"""Did accuracy get worse since it was measured before, by more than chance? Needs no SciPy: the tests were done then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LARGEST_P = 0.05
LEVELS = ("encounter", "photo")


def worse_metrics(differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """What got worse by more than chance since the run before, in words; of the two headline figures alone.

    Each metric of the table would be a test of its own, and one of twenty is "worse" by chance.

    Args:
        differences: Rows of the catalog's ``accuracy_differences``.
    """
    found = {row["metric"]: row for row in differences}
    rows = [(level, found[f"top1_{level}"]) for level in LEVELS if f"top1_{level}" in found]
    return [
        f"right at once per {level} {100 * row['new_value']:.1f} % instead of {100 * row['old_value']:.1f} % (p = {row['p_value_mcnemar']:.2g})"
        for level, row in rows
        if row["n_lost"] > row["n_gained"] and row["p_value_mcnemar"] <= LARGEST_P
    ]
