"""Votes and vectors together, by animal: which gallery crops a query is compared with where the crops have vectors.

The photos of an encounter show one animal, so they speak together: for each of them an animal counts as much by votes as its best
pair of photos with any photo of the encounter, and by vectors likewise. The two orders of animals are joined by their reciprocal
ranks (Cormack, Clarke and Buettcher, SIGIR 2009); so are the photos of each animal, for each query by itself. Places are dealt in
rounds, a few photos of each animal: an animal with many photos cannot fill the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resight.embed.vectors import Embedded, Vectors
from resight.shortlist.params import ShortlistParams

RANK_OFFSET = 60.0  # of Cormack et al.
NEAREST = 1024  # most alike gallery crops of a query that are looked at; the others count as alike to none


@dataclass(frozen=True, eq=False)
class Alike:
    """How alike crops are by their vectors, and whose they are.

    Attributes:
        vectors: Of queries and gallery.
        views: View of each crop.
        owners: Animal of each gallery crop; where nobody knows it, what stands for one, such as its encounter.
        encounters: Of each query crop.
    """

    vectors: Vectors
    views: Mapping[str, str | None]
    owners: Mapping[str, str]
    encounters: Mapping[str, str]

    def among(self, crop_ids: Sequence[str]) -> Embedded:
        """Vectors of these crops."""
        return self.vectors.among(crop_ids, [self.views.get(crop_id) for crop_id in crop_ids])

    def numbers(self, crop_ids: Sequence[str]) -> np.ndarray:
        """(N,) int32, a number for the animal of each crop, from 0 on."""
        names = [self.owners.get(crop_id, crop_id) for crop_id in crop_ids]
        return np.unique(names, return_inverse=True)[1].astype(np.int32) if names else np.zeros(0, np.int32)

    def encounter(self, crop_id: str) -> str:
        """Of a query crop; itself where nobody knows it."""
        return self.encounters.get(crop_id, crop_id)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for the R crops of the gallery, seen from one query.

    Attributes:
        votes: (R,) sum of votes; 0 for none.
        rows: The most alike crops, the best first; see `nearest`.
        cosines: Theirs.
        allowed: (R,) bool.
    """

    votes: np.ndarray
    rows: np.ndarray
    cosines: np.ndarray
    allowed: np.ndarray

    def both(self) -> tuple[np.ndarray, np.ndarray]:
        """(R,) votes and likeness, above 0 where there is any."""
        likeness = np.zeros(len(self.votes))
        likeness[self.rows] = 2 + self.cosines.astype(np.float64)
        return self.votes.astype(np.float64), likeness


def nearest(cosines: np.ndarray, allowed: np.ndarray, most: int = NEAREST) -> np.ndarray:
    """Rows (int32) of the most alike gallery crops of one query, the best first.

    Args:
        cosines: (R,), NaN where there is none.
        allowed: (R,) bool.
        most: How many at most.
    """
    rows = np.flatnonzero(allowed & ~np.isnan(cosines))
    if len(rows) > most:
        rows = np.sort(rows[np.argpartition(-cosines[rows], most - 1)[:most]])
    return rows[np.argsort(-cosines[rows], kind="stable")].astype(np.int32)


def united(
    queries: Sequence[Evidence], owners: np.ndarray, tie: np.ndarray, k: int, params: ShortlistParams
) -> list[np.ndarray]:
    """Rows of the ``k`` gallery crops that each query of one encounter is compared with, in the order in which they got their places.

    Args:
        queries: The photos of the encounter.
        owners: (R,) number of each row's animal, from 0 on.
        tie: (R,) what decides between rows that are equal otherwise: the smaller first.
        k: Places.
        params: How many photos an animal gets at once.
    """
    n_animals = int(owners.max(initial=-1)) + 1
    pooled = np.zeros((2, n_animals))
    for query in queries:
        for best, evidence in zip(pooled, query.both(), strict=True):
            np.maximum.at(best, owners, evidence)
    by_animal = _reciprocal(pooled[0]) + _reciprocal(pooled[1])
    return [_dealt(query, by_animal, owners, tie, params)[:k] for query in queries]


def _dealt(
    query: Evidence, by_animal: np.ndarray, owners: np.ndarray, tie: np.ndarray, params: ShortlistParams
) -> np.ndarray:
    """All rows of animals that anything speaks for, dealt in rounds."""
    rows = np.flatnonzero(query.allowed & (by_animal[owners] > 0))
    animal, tie = owners[rows], tie[rows]
    votes, likeness = query.both()
    by_photo = _reciprocal(votes[rows]) + _reciprocal(likeness[rows])
    order = np.lexsort((tie, -by_photo, animal))  # animal by animal, the best photo of each first
    starts = np.flatnonzero(np.diff(animal[order], prepend=-1))
    within = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    turn = np.empty(len(rows), np.int64)
    more = max(params.per_leader - params.per_animal, 0) * _is_leader(animal[order], by_animal, params.leaders)
    turn[order] = np.maximum(within - more, 0) // params.per_animal
    dealt: np.ndarray = rows[np.lexsort((tie, -by_photo, animal, -by_animal[animal], turn))]
    return dealt


def _is_leader(animal: np.ndarray, by_animal: np.ndarray, leaders: int) -> np.ndarray:
    """(N,) whether each row's animal, rows of one animal together, is among the first of those that have a row."""
    here = np.unique(animal)
    first = here[np.argsort(-by_animal[here], kind="stable")][:leaders]
    return np.isin(animal, first)


def _reciprocal(evidence: np.ndarray) -> np.ndarray:
    """(N,) reciprocal rank of each: equal evidence has equal rank, and none counts nothing."""
    values, place = np.unique(-evidence, return_inverse=True)
    n_before = np.append(0, np.cumsum(np.bincount(place, minlength=len(values)))[:-1])
    return np.where(evidence > 0, 1 / (RANK_OFFSET + 1 + n_before[place]), 0.0)
