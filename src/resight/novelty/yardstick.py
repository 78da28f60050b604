"""What gallery encounters have scored, by how many photos: a score is compared with those that rest on as many photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

Row = tuple[str, str, int, float]  # encounter, its animal, number of photos, score


@dataclass(frozen=True)
class QueryScores:
    """What a query encounter scores, by number of photos.

    Attributes:
        individual_id: The best candidate.
        best: The score of the best candidate from so many photos, whoever that is.
        candidates: The score of each candidate.
        returned: The score that the query has as a candidate of gallery encounters.
        n_left_out: Animals that could have been compared, had the shortlist not left them out.
    """

    individual_id: str
    best: Mapping[int, float]
    candidates: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    returned: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    n_left_out: int = 0

    def of(self, candidates: Sequence[str]) -> dict[int, np.ndarray]:
        """By number of photos, the scores of these candidates; minus infinity where one was not compared with them."""
        return {n: np.array([scores.get(c, -np.inf) for c in candidates]) for n, scores in self.candidates.items()}


class Reached:
    """Shares of the encounters of each animal that score at least so high, summed over the animals without looking at each."""

    def __init__(self, of_animal: Mapping[str, Sequence[tuple[float, float]]]) -> None:
        """From the score and the weight of each encounter, by animal."""
        self._of_animal = of_animal
        rows = sorted(row for rows in of_animal.values() for row in rows)
        self._scores, weights = np.array(rows, np.float64).reshape(-1, 2).T
        self._above = np.append(np.cumsum(weights[::-1])[::-1], 0.0)

    def without(self, animal: str, score: float) -> float:
        """The sum over all other animals."""
        total = float(self._above[np.searchsorted(self._scores, score, side="left")])
        return total - sum(weight for own, weight in self._of_animal.get(animal, ()) if own >= score)


@dataclass(frozen=True)
class _Columns:
    """Encounters of the gallery as columns.

    Attributes:
        score, weight, animal, number: (E,) score, one over the encounters of its animal, place of the animal, place in ``numbers``.
        numbers: Of photos that they rest on.
        place: Of each animal.
        row: By encounter and number of photos.
    """

    score: np.ndarray
    weight: np.ndarray
    animal: np.ndarray
    number: np.ndarray
    numbers: Sequence[int]
    place: Mapping[str, int]
    row: Mapping[tuple[str, int], int]


@dataclass(frozen=True)
class Yardstick:
    """A score of each gallery encounter, once for each number of photos (`rank.levels.LEVELS`) that it has.

    Attributes:
        rows: Encounter, its animal, number of photos, score; sorted.
    """

    rows: tuple[Row, ...] = ()

    @cached_property
    def animals(self) -> frozenset[str]:
        """Whose encounters they are."""
        return frozenset(animal for _, animal, _, _ in self.rows)

    def without(self, animal: str) -> Yardstick:
        """Only the encounters of other animals."""
        return Yardstick(tuple(row for row in self.rows if row[1] != animal))

    def at_least(
        self, scores: Mapping[int, float], returned: Mapping[int, Mapping[str, float]], best: str
    ) -> np.ndarray:
        """(N,) by other animal, the share of its encounters that score at least as high as the query from as many photos.

        Args:
            scores: The query's score by number of photos; minus infinity where it has none.
            returned: By number of photos, the score that the query has as a candidate of gallery encounters; it counts among
                theirs.
            best: The best candidate, whose own share is 0 here.
        """
        columns = self._as_columns(max(scores))
        own = columns.score.copy()
        for n, of_encounter in returned.items():
            for encounter, score in of_encounter.items():
                row = columns.row.get((encounter, n))
                if row is not None and score > own[row]:
                    own[row] = score
        limits = np.array([scores.get(n, -np.inf) for n in columns.numbers])
        shares = np.bincount(columns.animal, (own >= limits[columns.number]) * columns.weight, len(columns.place))
        if best in columns.place:
            shares[columns.place[best]] = 0.0
        return shares

    def at_most(self, scores: Mapping[int, np.ndarray]) -> np.ndarray:
        """(C,) sum over the animals of the share of their encounters that score at most as high from as many photos.

        Args:
            scores: By number of photos, (C,) scores of as many candidates; minus infinity where one has none.
        """
        chosen, counts = self._chosen(max(scores))
        total = np.zeros(len(next(iter(scores.values()))))
        for n in {row[2] for row in chosen}:
            rows = sorted((score, 1 / counts[animal]) for _, animal, at, score in chosen if at == n)
            values, weight = np.array(rows).T
            total += np.append(0.0, np.cumsum(weight))[np.searchsorted(values, scores[n], side="right")]
        return total

    def reached(self, numbers: frozenset[int]) -> Reached:
        """How many animals reach a score, for queries that score the same from each of these numbers of photos; see `at_least`."""
        if numbers not in self._by_numbers:
            chosen, counts = self._chosen(max(numbers))
            of_animal: dict[str, list[tuple[float, float]]] = {}
            for _, animal, n, score in chosen:  # a query without a score from so many photos is reached by all
                of_animal.setdefault(animal, []).append((score if n in numbers else np.inf, 1 / counts[animal]))
            self._by_numbers[numbers] = Reached(of_animal)
        return self._by_numbers[numbers]

    def listed(self, most: int) -> float:
        """Sum over the animals of the share of their encounters that have a score at all from as many photos as they have up to ``most``."""
        chosen, counts = self._chosen(most)
        return sum(1 / counts[animal] for _, animal, _, score in chosen if score > -np.inf)

    def by_animal(self) -> dict[str, np.ndarray]:
        """By animal, (E,) the score of each of its encounters from the most photos that it has."""
        chosen, _ = self._chosen(max((row[2] for row in self.rows), default=0))
        found: dict[str, list[float]] = {}
        for _, animal, _, score in chosen:
            found.setdefault(animal, []).append(score)
        return {animal: np.array(scores) for animal, scores in found.items()}

    def _chosen(self, most: int) -> tuple[tuple[Row, ...], dict[str, int]]:
        """Of each encounter the row with the most photos that does not exceed ``most``; and how many each animal has."""
        if most not in self._by_most:
            best: dict[str, Row] = {}
            for row in self.rows:
                if row[2] <= most and (row[0] not in best or row[2] > best[row[0]][2]):
                    best[row[0]] = row
            self._by_most[most] = tuple(best.values()), Counter(row[1] for row in best.values())
        return self._by_most[most]

    def _as_columns(self, most: int) -> _Columns:
        """`_chosen` as columns, for thousands of queries."""
        if most not in self._by_most_columns:
            chosen, counts = self._chosen(most)
            place = {animal: k for k, animal in enumerate(counts)}
            numbers = sorted({n for _, _, n, _ in chosen})
            self._by_most_columns[most] = _Columns(
                np.array([score for *_, score in chosen], np.float64),
                np.array([1 / counts[animal] for _, animal, _, _ in chosen], np.float64),
                np.array([place[animal] for _, animal, _, _ in chosen], np.int64),
                np.searchsorted(numbers, [n for _, _, n, _ in chosen]),
                numbers,
                place,
                {(encounter, n): k for k, (encounter, _, n, _) in enumerate(chosen)},
            )
        return self._by_most_columns[most]

    @cached_property
    def _by_most_columns(self) -> dict[int, _Columns]:
        return {}

    @cached_property
    def _by_numbers(self) -> dict[frozenset[int], Reached]:
        return {}

    @cached_property
    def _by_most(self) -> dict[int, tuple[tuple[Row, ...], dict[str, int]]]:
        return {}


EMPTY = Yardstick()
