"""Two runs on the same queries: which is better, is that more than chance, and which identifications changed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from resight.evaluate.bootstrap import DRAWS, difference_interval
from resight.evaluate.metrics import hits
from resight.evaluate.outcomes import CLOSED, ENCOUNTER, PHOTO
from resight.evaluate.promotion import FEWEST_QUERIES, Measure, measures
from resight.evaluate.specs import ALL, OutcomeRows, Spec, all_specs

LEVELS = (ENCOUNTER, PHOTO)
GAINED, LOST, STILL_WRONG = "gained", "lost", "still_wrong"
KEY = ("trial", "round", "level", "query_id", "known", "true_individual_id")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class LevelComparison:
    """One level (encounter or photo).

    Attributes:
        n: Queries of both runs.
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
    """The verdict over old and new.

    Attributes:
        levels: Per encounter and per photo.
        changes: The catalog's ``changes`` without ``run_id`` and ``against_run_id``.
        differences: The catalog's ``accuracy_differences`` without the same two.
        n_not_common: Query encounters of only one of the two.
        measures: Verdicts and probabilities, see `promotion.measures`.
    """

    levels: tuple[LevelComparison, ...]
    changes: tuple[dict[str, Any], ...] = ()
    differences: tuple[dict[str, Any], ...] = ()
    n_not_common: int = 0
    measures: tuple[Measure, ...] = ()

    @property
    def n_queries(self) -> int:
        """Query encounters compared."""
        return self.levels[0].n

    @property
    def changed(self) -> tuple[str, ...]:
        """Encounters with another first candidate."""
        return tuple(c["query_id"] for c in self.changes if c["level"] == ENCOUNTER)

    @property
    def not_worse(self) -> bool:
        """The right animal first at least as often, per encounter and per photo, and no measure worse by more than chance; on
        at least `FEWEST_QUERIES` query encounters."""
        return not self.too_few and not self.worse_on

    @property
    def too_few(self) -> bool:
        """Whether there are too few query encounters to compare."""
        return self.n_queries < FEWEST_QUERIES

    @property
    def worse_on(self) -> tuple[str, ...]:
        """What the new model is worse on."""
        first = [f"right animal first per {o.level}" for o in self.levels if o.new_right < o.old_right]
        return (*first, *(m.name for m in self.measures if m.worse))

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        if self.too_few:
            met = (
                "No animal was photographed in two encounters"
                if not self.n_queries
                else f"Only {self.n_queries} encounters are of animals that were met again, and {FEWEST_QUERIES} are needed"
            )
            return f"{met}, so the old and the new model could not be compared; the old one stays unless you accept the new one unmeasured."
        parts = [
            f"{o.new_right} instead of {o.old_right} of {o.n} {o.level}s right (gained {o.gained}, lost {o.lost}, p = {o.p_value:.2f})"
            for o in self.levels
        ]
        parts += [f"{m.name}: {m.new:.3g} instead of {m.old:.3g} (p = {m.p_value:.2f})" for m in self.measures]
        verdict = f"worse on {', '.join(self.worse_on)}" if self.worse_on else "not worse on any of these"
        return f"The new model has {'; '.join(parts)}: it is {verdict}."

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "levels": [asdict(o) for o in self.levels],
            "changed_encounters": list(self.changed),
            "differences": list(self.differences),
            "measures": [asdict(m) for m in self.measures],
            "worse_on": list(self.worse_on),
            "n_not_common": self.n_not_common,
            "not_worse": self.not_worse,
            "sentence": self.sentence,
        }


def compare(old: pa.Table, new: pa.Table, prior_new: float = 0.2, draws: int = DRAWS, seed: int = 0) -> Comparison:
    """Compare the ``outcomes`` of two runs on the queries of both; one without any candidate counts as wrong.

    A query is the same where trial, round, level, id and label are, and where its animal was in the gallery of both runs
    or of neither. Every metric of both is computed on these, and its difference gets a 95 % interval from one bootstrap
    over individuals.
    """
    before, after, n_apart = _common(old, new)
    levels = tuple(_level(before, after, level) for level in LEVELS)
    changes = tuple(row for level in LEVELS for row in _changes(before, after, level))
    differences = tuple(_differences(before, after, prior_new, draws, seed))
    return Comparison(levels, changes, differences, n_apart, measures(before, after))


def _common(old: pa.Table, new: pa.Table) -> tuple[OutcomeRows, OutcomeRows, int]:
    keys = [list(zip(*(t[k].to_pylist() for k in KEY), strict=True)) for t in (old, new)]
    both = set(keys[0]) & set(keys[1])
    kept = [t.filter(pa.array([k in both for k in ks], pa.bool_())) for t, ks in zip((old, new), keys, strict=True)]
    queries = [{k[3] for k in ks if k[0] == CLOSED and k[2] == ENCOUNTER} for ks in keys]
    return OutcomeRows(kept[0]), OutcomeRows(kept[1]), len(queries[0] ^ queries[1])


def _level(old: OutcomeRows, new: OutcomeRows, level: str) -> LevelComparison:
    before, after = ([bool(r["correct"]) for r in o.of(CLOSED, level, True)] for o in (old, new))
    return level_comparison(level, before, after)


def _at_once(old: OutcomeRows, new: OutcomeRows, level: str) -> LevelComparison:
    """By what ``top1`` counts, the rank of each encounter by itself; `_level` goes by verdicts, in which others have their say."""
    ranks = ([r["rank"] for r in o.of(CLOSED, level, True)] for o in (old, new))
    before, after = (hits(of, 1).astype(bool).tolist() for of in ranks)
    return level_comparison(level, before, after)


def level_comparison(level: str, before: Sequence[bool], after: Sequence[bool]) -> LevelComparison:
    """Exact McNemar test on the same queries in the same order."""
    from scipy.stats import binomtest

    gained = sum(b and not a for a, b in zip(before, after, strict=True))
    lost = sum(a and not b for a, b in zip(before, after, strict=True))
    p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return LevelComparison(level, len(before), sum(before), sum(after), gained, lost, float(p))


def _changes(old: OutcomeRows, new: OutcomeRows, level: str) -> list[dict[str, Any]]:
    pairs = zip(old.of(CLOSED, level), new.of(CLOSED, level), strict=True)
    return [_change(a, b) for a, b in pairs if a["individual_id"] != b["individual_id"]]


def _change(a: Row, b: Row) -> dict[str, Any]:
    outcome = GAINED if b["correct"] else LOST if a["correct"] else STILL_WRONG
    return {
        "level": b["level"], "query_id": b["query_id"], "encounter_id": b["encounter_id"], "true_individual_id": b["true_individual_id"],
        "outcome": outcome, "old_individual_id": a["individual_id"], "new_individual_id": b["individual_id"],
        "old_probability": a["probability"], "new_probability": b["probability"],
        "query_crop_id": b["query_crop_id"] or a["query_crop_id"], "old_crop_id": a["found_crop_id"], "new_crop_id": b["found_crop_id"],
    }  # fmt: skip


def _differences(old: OutcomeRows, new: OutcomeRows, prior_new: float, draws: int, seed: int) -> list[dict[str, Any]]:
    after = {s.metric: s for s in all_specs(new, prior_new) if s.stratum == ALL}
    pairs = [(s, after[s.metric]) for s in all_specs(old, prior_new) if s.stratum == ALL and s.metric in after]
    levels = {f"top1_{level}": _at_once(old, new, level) for level in LEVELS}
    return [_difference(a, b, levels.get(a.metric), draws, seed) for a, b in pairs if a.individuals and b.individuals]


def _difference(a: Spec, b: Spec, level: LevelComparison | None, draws: int, seed: int) -> dict[str, Any]:
    before, after = a.value, b.value
    computed = before is not None and after is not None
    low, high = difference_interval((a.statistic, a.individuals), (b.statistic, b.individuals), draws, seed) if computed else (None, None)  # fmt: skip
    return {
        "metric": a.metric, "old_value": before, "new_value": after,
        "difference": after - before if before is not None and after is not None else None,
        "ci_low": low, "ci_high": high, "n": len(b.individuals), "unit": a.unit,
        "n_gained": level.gained if level else None, "n_lost": level.lost if level else None,
        "p_value_mcnemar": level.p_value if level else None,
    }  # fmt: skip
