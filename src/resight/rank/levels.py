"""Candidates from the first few photos of an encounter, so that encounters with unequal numbers of photos can be compared.

The best of thirty photos scores higher than the best of two, whoever the animal is. Scores of two encounters mean the same only
if they rest on equally many photos: both are then judged by their photos with most keypoints, a choice that knows nothing of
what the photos match.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from resight.rank.params import RankParams
from resight.rank.photos import codes, starts
from resight.rank.stage import candidate_scores, moment_pairs

LEVELS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # numbers of photos at which encounters are compared
LEVEL_SCHEMA = pa.schema(
    [("encounter_id", pa.string()), ("n_photos", pa.int64()), ("individual_id", pa.string()), ("score", pa.float64())]
)
Scores = dict[int, dict[str, float]]


@dataclass(frozen=True)
class Seen:
    """What the photos of the query encounters show, beside the ranking.

    Attributes:
        candidates: `LEVEL_SCHEMA`, see `by_photos`.
        as_candidate: `LEVEL_SCHEMA`, with the query encounter as the candidate of each gallery encounter that it was compared
            with; see `turned`.
        left_out: By encounter, the animals that could have been compared with it, had the shortlist not left them out.
    """

    candidates: pa.Table
    as_candidate: pa.Table
    left_out: Mapping[str, Set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, scores: pa.Table, crops_info: pa.Table, params: RankParams) -> Seen:
        """From the tables of a run."""
        pairs = moment_pairs(scores, crops_info, params, "identify")
        place = photo_places(crops_info)
        return cls(by_photos(pairs, place, params.rule), turned(pairs, place, params.rule))

    def scores(self) -> dict[str, Scores]:
        """By encounter and number of photos, the score of each candidate."""
        return _nested(self.candidates)

    def returned(self) -> dict[str, Scores]:
        """By query encounter and number of photos, its score as a candidate of each gallery encounter."""
        by_query: dict[str, Scores] = {}
        for row in self.as_candidate.to_pylist():
            of_query = by_query.setdefault(row["individual_id"], {})
            of_query.setdefault(row["n_photos"], {})[row["encounter_id"]] = row["score"]
        return by_query


def by_photos(
    pairs: pa.Table, place: Mapping[str, int], rule: str, keep: np.ndarray | None = None, both: bool = False
) -> pa.Table:
    """The score of each candidate from the first 1, 2, 3, 4, 6, ... photos of every encounter, as far as it has as many.

    Args:
        pairs: From `stage.moment_pairs`.
        place: From `photo_places`.
        rule: The rule by which photos vote.
        keep: (N,) bool, the pairs that give scores; all of them say which photos an encounter has.
        both: Take as many photos of the encounter on the gallery's side too.

    Returns:
        `LEVEL_SCHEMA`.
    """
    sides = [_turns(pairs, side, place) for side in (("query", "gallery") if both else ("query",))]
    tables = []
    for level in LEVELS:
        chosen = np.ones(pairs.num_rows, bool) if keep is None else keep.copy()
        for order, size in sides:
            chosen &= (order < level) & (size >= level)
        if not chosen.any():
            continue
        ranked = candidate_scores(pairs.filter(pa.array(chosen)), "query_encounter_id", rule)
        n = pa.array(np.full(ranked.num_rows, level), pa.int64())
        columns = [ranked["query_encounter_id"], n, ranked["individual_id"], ranked["score"]]
        tables.append(pa.table(columns, names=LEVEL_SCHEMA.names).cast(LEVEL_SCHEMA))
    return pa.concat_tables([LEVEL_SCHEMA.empty_table(), *tables])


def turned(pairs: pa.Table, place: Mapping[str, int], rule: str) -> pa.Table:
    """Each query encounter as a candidate of the gallery encounters, from the first few photos of both.

    Under the rule ``max`` this cannot exceed the query's own best score, so nothing is computed.

    Args:
        pairs: From `stage.moment_pairs`.
        place: From `photo_places`.
        rule: The rule by which photos vote.
    """
    if rule == "max":
        return LEVEL_SCHEMA.empty_table()
    sides = {"query": "gallery", "gallery": "query"}
    columns = {
        f"{side}_{what}": pairs[f"{other}_{what}"]
        for side, other in sides.items()
        for what in ("photo_id", "encounter_id", "moment", "crop_id")
    }
    columns |= {"individual_id": pairs["query_encounter_id"], "score": pairs["score"]}
    return by_photos(pa.table(columns), place, rule, both=True)


def photo_places(crops_info: pa.Table) -> dict[str, int]:
    """A number for each photo: the smaller, the more keypoints it has; equal ones in the order of their ids."""
    ids = crops_info["photo_id"].to_pylist()
    counts = crops_info["n_keypoints"].to_pylist() if "n_keypoints" in crops_info.column_names else [0] * len(ids)
    most: dict[str, int] = {}
    for photo, n in zip(ids, counts, strict=True):
        most[photo] = max(most.get(photo, 0), n or 0)
    return {photo: k for k, photo in enumerate(sorted(most, key=lambda p: (-most[p], p)))}


def _turns(pairs: pa.Table, side: str, place: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """For each row the place of its photo within its encounter, from 0, and how many photos that has, compared ones alone."""
    photos = pairs[f"{side}_photo_id"].combine_chunks().dictionary_encode()
    places = np.array([place[p] for p in photos.dictionary.to_pylist()], np.int64)
    of_row = places[photos.indices.to_numpy(zero_copy_only=False)] if pairs.num_rows else np.zeros(0, np.int64)
    key = codes(pairs[f"{side}_encounter_id"]) * (len(place) + 1) + of_row
    shown, which = np.unique(key, return_inverse=True)  # sorted by encounter, then by place
    encounter = shown // (len(place) + 1)
    first = starts(encounter)
    sizes = np.diff(np.append(first, len(shown)))
    order = np.arange(len(shown)) - np.repeat(first, sizes)
    return order[which], np.repeat(sizes, sizes)[which]


def _nested(table: pa.Table) -> dict[str, Scores]:
    by_encounter: dict[str, Scores] = {}
    columns = (table[name].to_pylist() for name in LEVEL_SCHEMA.names)
    for encounter, n, individual, score in zip(*columns, strict=True):
        by_encounter.setdefault(encounter, {}).setdefault(n, {})[individual] = score
    return by_encounter
