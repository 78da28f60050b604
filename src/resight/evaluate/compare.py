"""Two models on the same queries: which is better, and is that more than chance?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from scipy.stats import binomtest

LEVELS = ("encounter", "photo")


@dataclass(frozen=True)
class LevelComparison:
    """One level (encounter or photo).

    Attributes:
        n: Queries that both models were asked.
        old_right, new_right: Queries whose first candidate is right.
        gained, lost: Queries that only the new, only the old model has right.
        p_value: Exact two-sided sign test of ``gained`` against ``lost`` (McNemar 1947, exact form).
    """

    level: str
    n: int
    old_right: int
    new_right: int
    gained: int
    lost: int
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """The verdict over old and new."""

    levels: tuple[LevelComparison, ...]
    changed: tuple[str, ...]

    @property
    def n_queries(self) -> int:
        """Query encounters compared."""
        return self.levels[0].n

    @property
    def not_worse(self) -> bool:
        """Right at least as often, per encounter and per photo, on at least one query."""
        return self.n_queries > 0 and all(one.new_right >= one.old_right for one in self.levels)

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        if not self.n_queries:
            return "No animal was met twice, so the old and the new model could not be compared; the old one stays unless you accept the new one unmeasured."
        told = [
            f"{o.new_right} instead of {o.old_right} of {o.n} {o.level}s right (gained {o.gained}, lost {o.lost}, p = {o.p_value:.2f})"
            for o in self.levels
        ]
        return f"The new model has {' and '.join(told)}: it is {'not worse' if self.not_worse else 'worse'}."

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "levels": [asdict(o) for o in self.levels],
            "changed_encounters": list(self.changed),
            "not_worse": self.not_worse,
            "sentence": self.sentence,
        }


def compare(old: pa.Table, new: pa.Table) -> Comparison:
    """Compare the ``identifications`` of two runs over the same hidden labels, query by query.

    A query without any candidate counts as wrong. ``changed`` lists the encounters with another first candidate.
    """
    levels = tuple(_level(_first(old, level), _first(new, level), level) for level in LEVELS)
    before, after = _first(old, "encounter"), _first(new, "encounter")
    changed = sorted(
        q for q in before.keys() | after.keys() if before.get(q, (None, None))[0] != after.get(q, (None, None))[0]
    )
    return Comparison(levels, tuple(changed))


def _first(table: pa.Table, level: str) -> dict[str, tuple[str, str]]:
    rows = table.select(["level", "query_id", "rank", "individual_id", "true_individual_id"]).to_pylist()
    return {
        r["query_id"]: (r["individual_id"], r["true_individual_id"])
        for r in rows
        if r["level"] == level and r["rank"] == 1
    }


def _level(old: Mapping[str, tuple[str, str]], new: Mapping[str, tuple[str, str]], level: str) -> LevelComparison:
    old_right = {q for q, (found, true) in old.items() if true and found == true}
    new_right = {q for q, (found, true) in new.items() if true and found == true}
    asked = {q for q, (_, true) in (*old.items(), *new.items()) if true}
    gained, lost = len(new_right - old_right), len(old_right - new_right)
    p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return LevelComparison(level, len(asked), len(old_right), len(new_right), gained, lost, float(p))
