"""Which verified votes still stand though the neighbours of a query have changed.

What verification says of a query and a candidate follows from their features and from the backgrounds of the query's descriptors. Where a background
has come nearer, its descriptor has the votes of before or fewer; a turn or a size that did not agree still does not. So what was said
stands if none of the descriptors whose votes agree has another background; or if there were too few of them to pass anything, and none has more. Where
a background has moved away, there may be votes that were not there; then it stands only if that descriptor is still near to none of the candidate's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from resight.extract.base import Features
from resight.shortlist.follow import Before, Neighbours
from resight.shortlist.params import ShortlistParams
from resight.shortlist.verified import MIN_VOTES, Verified, verified_votes
from resight.shortlist.votes import background

ROUNDING = 1e-4  # of a product of float32, by far; relative to squared lengths


@dataclass(frozen=True, eq=False)
class Known:
    """What verification said of a query and C candidates when it was asked before.

    Attributes:
        rows: (C,) int32, of the index.
        votes: (C,) float64.
        voters: (C,) bytes of `Verified.voters`; there may be some that vote no longer.
    """

    rows: np.ndarray
    votes: np.ndarray
    voters: tuple[bytes, ...]


class Pairs:
    """Queries that verify their candidates, as far as that is not known."""

    def __init__(
        self,
        features: Mapping[str, Features],
        found: Mapping[str, Neighbours],
        earlier: Mapping[str, tuple[Before, Known]],
        params: ShortlistParams,
    ) -> None:
        """All by query: features with descriptors in float32, what they find now, and what they had found and verified before."""
        self._features, self._params = features, params
        self._now = {query: background(of_query.distance) for query, of_query in found.items()}
        self._wider: dict[str, np.ndarray] = {}
        self._standing: dict[tuple[str, int], Verified] = {}
        for query, (before, known) in earlier.items():
            if query in found and before.distance.shape == found[query].distance.shape:
                self._compare(query, background(before.distance), known)

    def known(self, query: str, row: int) -> Verified | None:
        """What is certain without a look at the candidate."""
        return None if len(self._wider.get(query, ())) else self._standing.get((query, row))

    def verified(self, query: str, row: int, candidate: Features) -> Verified:
        """Of a candidate, descriptors in float32."""
        before = self._standing.get((query, row))
        if before is not None and not self._may_vote(query, candidate):
            return before
        most, k = self._params.descriptors_per_crop, self._params.neighbours
        return verified_votes(self._features[query], candidate, self._now[query], most, k)

    def _compare(self, query: str, then: np.ndarray, known: Known) -> None:
        now = self._now[query]
        changed, wider = then != now, now > then
        self._wider[query] = np.flatnonzero(wider)
        for row, votes, voters in zip(known.rows.tolist(), known.votes.tolist(), known.voters, strict=True):
            verified = Verified(votes, np.frombuffer(voters, np.uint16))
            matters = changed if len(verified.voters) >= MIN_VOTES else wider
            if not matters[verified.voters].any():
                self._standing[query, row] = verified

    def _may_vote(self, query: str, candidate: Features) -> bool:
        """Whether a descriptor whose background has moved away may vote for the candidate; no is certain."""
        rows = self._wider[query]
        x = self._features[query].descriptors[rows]
        y = candidate.descriptors[: self._params.descriptors_per_crop]
        if not len(x) or not len(y):
            return False
        lengths = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
        least = 0.5 * (lengths - np.square(self._now[query][rows])[:, None]) - ROUNDING * lengths
        return bool((x @ y.T > least).any())
