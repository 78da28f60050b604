"""Candidate sets: the animals that a query encounter may be, with a stated share of sets that hold the right one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa

from resight.novelty.model import NoveltyModel
from resight.novelty.yardstick import QueryScores, Yardstick

FEWEST = 2  # animals met again after so long, below which nothing can be said


@dataclass(frozen=True)
class Days:
    """When encounters were, and when animals of the gallery were met.

    Attributes:
        encounters: Days by encounter.
        animals: Days by individual, sorted.
    """

    encounters: Mapping[str, frozenset[int]] = field(default_factory=dict)
    animals: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, crops_info: pa.Table) -> Days:
        """From the crops of a run with the labels that it may see."""
        encounters: dict[str, set[int]] = {}
        animals: dict[str, set[int]] = {}
        if "taken_on" not in crops_info.column_names:
            return cls()
        for row in crops_info.select(["encounter_id", "individual_id", "taken_on"]).to_pylist():
            day: date | None = row["taken_on"]
            if day is not None:
                encounters.setdefault(row["encounter_id"], set()).add(day.toordinal())
                if row["individual_id"]:
                    animals.setdefault(row["individual_id"], set()).add(day.toordinal())
        return cls(
            {name: frozenset(days) for name, days in encounters.items()},
            {name: np.array(sorted(days)) for name, days in animals.items()},
        )

    def between(self, encounter: str, animal: str) -> int | None:
        """Days from an encounter to the nearest meeting with an animal; None where either has no date."""
        of_animal, of_encounter = self.animals.get(animal), self.encounters.get(encounter)
        if of_animal is None or not of_encounter:
            return None
        places = np.searchsorted(of_animal, list(of_encounter))
        near = np.concatenate([np.clip(places, 0, len(of_animal) - 1), np.clip(places - 1, 0, len(of_animal) - 1)])
        days = np.array(list(of_encounter) * 2)
        return int(np.abs(of_animal[near] - days).min())


@dataclass(frozen=True)
class CandidateSet:
    """The animals that an encounter may be.

    Attributes:
        members: Sorted by name; None where no share of right sets can be stated at all.
        coverage: Share of encounters of animals of the gallery whose set holds the animal, if it could be compared.
        n_unexcluded: Members of which nothing was known that could have left them out: too few animals were met again after
            so many days.
    """

    members: tuple[str, ...] | None = None
    coverage: float | None = None
    n_unexcluded: int = 0


def candidate_set(encounter: str, query: QueryScores, model: NoveltyModel, days: Days, wanted: float) -> CandidateSet:
    """Every candidate c with ``(1 + sum over animals of the share of their genuine scores <= s_c) / (n + 1) > 1 - coverage``.

    Split conformal prediction (Vovk et al. 2005) with animals as the exchangeable units. A candidate is judged by the n animals that
    were met again after at least as many days as lie between the query and the candidate's nearest photo (in classes of days,
    months and years), with scores from equally many photos. So the coverage holds for animals met again after days and
    for those met again after years; n animals allow no more than ``n / (n + 1)``. A candidate for whose class there are fewer than
    two such animals is in the set.
    """
    scores = {candidate: query.of(candidate) for candidate in _all(query)}
    chosen = {c: _yardstick(days.between(encounter, c), model) for c in scores}
    sizes = [len(yardstick.animals) for yardstick in chosen.values() if yardstick is not None]
    if not sizes:
        return CandidateSet()
    coverage = min(wanted, *(n / (n + 1) for n in sizes))
    members = [c for c, yardstick in chosen.items() if yardstick is None or _inside(scores[c], yardstick, coverage)]
    unexcluded = sum(yardstick is None for yardstick in chosen.values())
    return CandidateSet(tuple(sorted(members)), coverage, unexcluded)


def _all(query: QueryScores) -> dict[str, float]:
    return {candidate: score for scores in query.candidates.values() for candidate, score in scores.items()}


def _yardstick(days: int | None, model: NoveltyModel) -> Yardstick | None:
    """The animals met again after at least so many days; with a day unknown, after as many as anybody was."""
    gaps = [gap for gap in model.genuine if days is None or gap <= max(days, 1)]
    enough = [gap for gap in gaps if len(model.genuine[gap].animals) >= FEWEST]
    longest = max(enough if days is None else gaps, default=None)
    return None if longest is None or longest not in enough else model.genuine[longest]


def _inside(scores: Mapping[int, float], yardstick: Yardstick, coverage: float) -> bool:
    p = (1 + yardstick.at_most(scores)) / (len(yardstick.animals) + 1)
    return round(p, 12) > round(1 - coverage, 12)
