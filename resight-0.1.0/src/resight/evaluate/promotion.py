"""On which measures a new model is judged, and whether it is worse on any of them by more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resight.evaluate.outcomes import CLOSED, ENCOUNTER, WITHOUT_OWN
from resight.evaluate.specs import OutcomeRows
from resight.evaluate.worse import LARGEST_P
from resight.status import CALLED_NEW, NAMED

FEWEST_QUERIES = 5  # encounters; fewer measure nothing, and the new model is accepted only unmeasured
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Measure:
    """One measure on the same queries.

    Attributes:
        name: For people.
        old, new: Shares of the queries; for probabilities the mean squared error.
        n: Queries.
        p_value: How often chance alone makes a difference so large.
        worse: The new model is worse, and not by chance.
    """

    name: str
    old: float
    new: float
    n: int
    p_value: float
    worse: bool


def measures(old: OutcomeRows, new: OutcomeRows) -> tuple[Measure, ...]:
    """Every encounter judged with its animal in the gallery and without it, by both models.

    *Known or new*: named rightly, or not named if the animal is not in the gallery. *New animals not named*. *Probabilities*: the mean
    squared error of "it is the best candidate", both kinds of encounters counting alike.

    Args:
        old, new: Rows of the same queries in the same order.
    """
    known = old.of(CLOSED, ENCOUNTER, True), new.of(CLOSED, ENCOUNTER, True)
    strangers = tuple(of.of(WITHOUT_OWN, ENCOUNTER) + of.of(CLOSED, ENCOUNTER, False) for of in (old, new))
    named = [[_named_rightly(r) for r in of] + [r["decision"] in CALLED_NEW for r in more] for of, more in zip(known, strangers, strict=True)]  # fmt: skip
    spared = [[r["decision"] not in NAMED for r in of] for of in strangers]
    return tuple(
        measure
        for measure in (
            _binary("known named and new called new", *named),
            _binary("new animals given no name", *spared),
            _probabilities(known[0] + strangers[0], known[1] + strangers[1]),
        )
        if measure is not None
    )


def _named_rightly(row: Row) -> bool:
    return row["decision"] in NAMED and bool(row["correct"])


def _binary(name: str, before: Sequence[bool], after: Sequence[bool]) -> Measure | None:
    """Exact two-sided sign test of queries that only one of the two has right (McNemar)."""
    from scipy.stats import binomtest  # its import takes a second, and few commands test anything

    if not before:
        return None
    gained, lost = sum(b and not a for a, b in zip(before, after, strict=True)), sum(a and not b for a, b in zip(before, after, strict=True))  # fmt: skip
    p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return Measure(
        name, float(np.mean(before)), float(np.mean(after)), len(before), p, lost > gained and p <= LARGEST_P
    )


def _probabilities(before: Sequence[Row], after: Sequence[Row]) -> Measure | None:
    """Student's t test of the mean difference, one difference for each animal."""
    from scipy.stats import t

    pairs = [(a, b) for a, b in zip(before, after, strict=True) if None not in (a["probability"], b["probability"])]
    if not pairs:
        return None
    old, new = (np.array([(r["probability"] - r["correct"]) ** 2 for r in of]) for of in zip(*pairs, strict=True))
    animals, group = np.unique([a["true_individual_id"] for a, _ in pairs], return_inverse=True)
    difference = np.bincount(group, new - old) / np.bincount(group)
    p = 1.0
    if len(animals) > 1 and difference.std() > 0:
        ratio = difference.mean() / (difference.std(ddof=1) / np.sqrt(len(animals)))
        p = float(2 * t.sf(abs(ratio), len(animals) - 1))
    worse = bool(difference.mean() > 0 and p <= LARGEST_P)
    return Measure("error of the probabilities", float(old.mean()), float(new.mean()), len(pairs), p, worse)
