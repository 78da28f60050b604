"""Votes and vectors together, by animal: which gallery crops a query is compared with where the crops have vectors.

An animal stands as high by votes as the photo of it with the most votes, and as high by vectors as the photo of it that is most
alike. The two orders of animals are joined by their reciprocal ranks (Cormack, Clarke and Buettcher, SIGIR 2009), and so are the
photos of each animal. Places are dealt in rounds, a few photos of each animal: an animal with many photos cannot fill the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resight.embed.vectors import Embedded, Vectors

RANK_OFFSET = 60.0  # of Cormack et al.
NEAREST = 1024  # most alike gallery crops of a query that are looked at; the others count as alike to none


@dataclass(frozen=True, eq=False)
class Alike:
    """How alike crops are by their vectors, and whose they are.

    Attributes:
        vectors: Of queries and gallery.
        views: View of each crop.
        owners: Animal of each gallery crop; where nobody knows it, what stands for one, such as its encounter.
    """

    vectors: Vectors
    views: Mapping[str, str | None]
    owners: Mapping[str, str]

    def among(self, crop_ids: Sequence[str]) -> Embedded:
        """Vectors of these crops."""
        return self.vectors.among(crop_ids, [self.views.get(crop_id) for crop_id in crop_ids])

    def numbers(self, crop_ids: Sequence[str]) -> np.ndarray:
        """(N,) int32, a number for the animal of each crop."""
        names = [self.owners.get(crop_id, crop_id) for crop_id in crop_ids]
        return np.unique(names, return_inverse=True)[1].astype(np.int32) if names else np.zeros(0, np.int32)


def nearest(cosines: np.ndarray, allowed: np.ndarray, most: int = NEAREST) -> np.ndarray:
    """Rows of the most alike gallery crops of one query, the best first.

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
    votes: np.ndarray, alike: np.ndarray, owners: np.ndarray, tie: np.ndarray, k: int, per_animal: int
) -> np.ndarray:
    """Rows of the ``k`` gallery crops that one query is compared with, in the order in which they got their places.

    Args:
        votes: (R,) sum of votes of each row; 0 for none.
        alike: Rows from the most alike on; see `nearest`.
        owners: (R,) number of each row's animal.
        tie: (R,) what decides between rows that are equal otherwise: the smaller first.
        k: Places.
        per_animal: Photos of an animal in each round.
    """
    likeness = np.zeros(len(votes))
    likeness[alike] = np.arange(len(alike), 0, -1)
    rows = np.flatnonzero((votes > 0) | (likeness > 0))
    if not len(rows):
        return rows
    animals, animal = np.unique(owners[rows], return_inverse=True)
    by_animal = np.zeros(len(animals))
    by_photo = np.zeros(len(rows))
    for evidence in (votes[rows].astype(np.float64), likeness[rows]):
        best = np.zeros(len(animals))
        np.maximum.at(best, animal, evidence)
        by_animal += _reciprocal(best)
        by_photo += _reciprocal(evidence)
    order = np.lexsort((tie[rows], -by_photo, animal))  # animal by animal, the best photo of each first
    starts = np.flatnonzero(np.diff(animal[order], prepend=-1))
    within = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    turn = np.empty(len(rows), np.int64)
    turn[order] = within // per_animal
    dealt = np.lexsort((tie[rows], -by_photo, animal, -by_animal[animal], turn))
    return rows[dealt[:k]]


def _reciprocal(evidence: np.ndarray) -> np.ndarray:
    """(N,) reciprocal rank of each: equal evidence has equal rank, and none counts nothing."""
    values, place = np.unique(-evidence, return_inverse=True)
    n_before = np.append(0, np.cumsum(np.bincount(place, minlength=len(values)))[:-1])
    return np.where(evidence > 0, 1 / (RANK_OFFSET + 1 + n_before[place]), 0.0)
