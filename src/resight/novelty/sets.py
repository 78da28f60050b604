"""Candidate sets: the animals that a query encounter may be, with a stated share of sets that hold the right one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.novelty.model import NoveltyModel
from resight.novelty.yardstick import QueryScores, Yardstick

FIRST_DAY = date(1970, 1, 1).toordinal()  # from which Arrow counts
FEWEST = 2  # animals met again after so long, below which nothing can be said


@dataclass(frozen=True)
class Days:
    """When encounters were, and when animals of the gallery were met.

    Attributes:
        encounters: Days by encounter.
        animals: Days by individual, sorted.
    """

    encounters: Mapping[str, frozenset[int]] = field(default_factory=dict)
    animals: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, crops_info: pa.Table) -> Days:
        """From the crops of a run with the labels that it may see."""
        encounters: dict[str, set[int]] = {}
        animals: dict[str, set[int]] = {}
        if "taken_on" not in crops_info.column_names:
            return cls()
        dated = crops_info.filter(pc.is_valid(crops_info["taken_on"]))
        since_1970 = dated["taken_on"].cast(pa.date32()).cast(pa.int32()).to_numpy()
        names = (dated[column].to_pylist() for column in ("encounter_id", "individual_id"))
        for encounter, animal, day in zip(*names, (since_1970 + FIRST_DAY).tolist(), strict=True):
            encounters.setdefault(encounter, set()).add(day)
            if animal:
                animals.setdefault(animal, set()).add(day)
        return cls(
            {name: frozenset(days) for name, days in encounters.items()},
            {name: tuple(sorted(days)) for name, days in animals.items()},
        )

    def between(self, encounter: str, animal: str) -> int | None:
        """Days from an encounter to the nearest meeting with an animal; None where either has no date."""
        of_animal, of_encounter = self.animals.get(animal), self.encounters.get(encounter)
        if not of_animal or not of_encounter:
            return None
        return min(_nearest(of_animal, day) for day in of_encounter)


def _nearest(days: Sequence[int], day: int) -> int:
    """Days to the nearest of sorted ones."""
    place = bisect_left(days, day)
    return min(abs(near - day) for near in days[max(place - 1, 0) : place + 1])


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
    for those met again after years; n animals allow no more than ``n / (n + 1)``, and where the shortlist left m of them out
    no more than ``(n - m) / (n + 1)``. A candidate for whose class there are fewer than two such animals is in the set.
    """
    by_gap, gap_of = dict[int | None, list[str]](), dict[int | None, int | None]()
    for candidate in {c for scores in query.candidates.values() for c in scores}:
        between = days.between(encounter, candidate)
        if between not in gap_of:
            gap_of[between] = _gap(between, model)
        by_gap.setdefault(gap_of[between], []).append(candidate)
    most = max(query.candidates, default=1)
    reach = [_reach(model.genuine[gap], most) for gap in by_gap if gap is not None]
    if not reach or min(reach) == 0:
        return CandidateSet()
    coverage = min(wanted, *reach)
    members = list(by_gap.get(None, []))
    for gap, candidates in by_gap.items():
        if gap is not None:
            inside = _inside(query.of(candidates), model.genuine[gap], coverage)
            members += [c for c, is_in in zip(candidates, inside, strict=True) if is_in]
    return CandidateSet(tuple(sorted(members)), coverage, len(by_gap.get(None, [])))


def _gap(days: int | None, model: NoveltyModel) -> int | None:
    """Whom to judge by: the animals met again after at least so many days; with a day unknown, after as many as anybody was."""
    gaps = [gap for gap in model.genuine if days is None or gap <= max(days, 1)]
    enough = [gap for gap in gaps if len(model.genuine[gap].animals) >= FEWEST]
    longest = max(enough if days is None else gaps, default=None)
    return longest if longest in enough else None


def _reach(yardstick: Yardstick, most: int) -> float:
    """The largest coverage that can be stated: the next animal met again is as likely left out by the shortlist as any of these."""
    return round(yardstick.listed(most), 9) / (len(yardstick.animals) + 1)


def _inside(scores: Mapping[int, np.ndarray], yardstick: Yardstick, coverage: float) -> np.ndarray:
    p = (1 + yardstick.at_most(scores)) / (len(yardstick.animals) + 1)
    return np.asarray(np.round(p, 12) > round(1 - coverage, 12))
