"""A block of queries on a worker: they look into the index, and their best candidates are verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from resight.extract.base import Features
from resight.extract.reader import FeatureReader
from resight.shortlist.kept import ANSWERS, VERIFIED, VOTERS
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import Place
from resight.shortlist.plan import CROP_VOTES
from resight.shortlist.union import Evidence, united
from resight.store.workspace import Workspace

if TYPE_CHECKING:  # torch is imported where votes are cast: a night in which nothing is new needs none
    from resight.shortlist.entries import Query
    from resight.shortlist.follow import Before, Neighbours
    from resight.shortlist.standing import Known, Pairs
    from resight.shortlist.store import ShortlistIndex

    Earlier = tuple[Before, Known]

RANKED = ("query_crop_id", "gallery_crop_id", "rank")
VOTED = ("query_crop_id", "gallery_crop_id", "lnbnn")
Voter = tuple[str, Place]


@dataclass(frozen=True, eq=False)
class VoteBlock:
    """Some queries; ``allowed`` holds one packed bit per row of the index, ``places`` where each row's features are.

    The best ``verify`` candidates of each query have their votes verified, and the best ``most`` come back. Where ``alike`` holds
    the rows of the most alike crops of each query (int32) and their cosines (float32), the best are those of `united`.
    ``index`` lies beside ``base``, if that is given (`beside`). ``earlier`` is what was found for a query before, and verified of its candidates then.
    """

    root: Path
    index: Path
    params: ShortlistParams
    queries: tuple[Voter, ...]
    allowed: tuple[bytes, ...]
    stores: tuple[str, ...]
    places: np.ndarray
    verify: int
    most: int
    alike: tuple[tuple[bytes, bytes], ...] = ()
    owners: np.ndarray | None = None
    encounters: tuple[str, ...] = ()
    base: Path | None = None
    earlier: Mapping[str, Earlier] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.queries)

    def may_find(self, n_rows: int) -> dict[str, np.ndarray]:
        """By query, (R,) bool."""
        masks = (np.unpackbits(np.frombuffer(bits, np.uint8), count=n_rows).astype(bool) for bits in self.allowed)
        return {crop_id: mask for (crop_id, _), mask in zip(self.queries, masks, strict=True)}


@dataclass(frozen=True, eq=False)
class Answers:
    """What the queries of a block were answered, `kept.ANSWERS`, and the neighbours of those that have descriptors."""

    votes: pa.Table
    neighbours: Mapping[str, Neighbours]


def vote_block(block: VoteBlock) -> Answers:
    """Let the queries of the block vote."""
    from resight.shortlist.follow import find
    from resight.shortlist.standing import Pairs
    from resight.shortlist.verified import as_floats
    from resight.shortlist.votes import counted

    index, reader = opened(block.index, block.base), FeatureReader(Workspace(block.root))
    masks = block.may_find(len(index.crop_ids))
    loaded = reader.load_many(place for _, place in block.queries)
    features = {crop_id: as_floats(found) for (crop_id, _), found in zip(block.queries, loaded, strict=True)}
    asked = _asked(index, features, masks, block.params)
    earlier = {crop_id: before for crop_id, (before, _) in block.earlier.items() if crop_id in asked}
    found = find(index.entries, asked, earlier, block.params) if index.entries else {}
    every = None if block.alike else block.most
    votes = counted(index.crop_ids, ((crop_id, of_query[:2]) for crop_id, of_query in found.items()), every)
    votes = _chosen(votes, block, masks, index.crop_ids) if block.alike else votes
    pairs = Pairs(features, found, block.earlier, block.params)
    return Answers(_verified(votes, block, index.crop_ids, pairs, reader), found)


def _verified(
    votes: pa.Table, block: VoteBlock, crop_ids: Sequence[str], pairs: Pairs, reader: FeatureReader
) -> pa.Table:
    """`kept.ANSWERS` from `CROP_VOTES`: the best candidates are verified."""
    from resight.shortlist.verified import Verified, as_floats

    row_of = {crop_id: row for row, crop_id in enumerate(crop_ids)}
    verified: list[Verified | None] = [None] * votes.num_rows
    candidates: dict[Place, list[tuple[str, int, int]]] = {}
    for number, (query, gallery, rank) in enumerate(zip(*(votes[name].to_pylist() for name in RANKED), strict=True)):
        if rank <= block.verify:
            row = row_of[gallery]
            verified[number] = pairs.known(query, row)
            if verified[number] is None:
                store, at = block.places[row].tolist()
                candidates.setdefault((block.stores[store], at), []).append((query, row, number))
    for place, features in reader.each(candidates):  # as they lie: each shard is read once, and no more of it than that
        candidate = as_floats(features)
        for query, row, number in candidates[place]:
            verified[number] = pairs.verified(query, row, candidate)
    sums = pa.array([of_pair and of_pair.votes for of_pair in verified], pa.float64())
    voters = pa.array([of_pair and of_pair.voters.tobytes() for of_pair in verified], pa.binary())
    return votes.append_column(ANSWERS.field(VERIFIED), sums).append_column(ANSWERS.field(VOTERS), voters)


def _asked(
    index: ShortlistIndex, features: Mapping[str, Features], masks: Mapping[str, np.ndarray], params: ShortlistParams
) -> dict[str, Query]:
    """Those that have descriptors."""
    import torch

    from resight.shortlist.codebook import as_float
    from resight.shortlist.entries import Query

    asked = {}
    for crop_id, of_query in features.items():
        x = as_float(of_query.descriptors, crop_id, params.descriptors_per_crop)
        if len(x):
            index.check_width(x.shape[1])
            asked[crop_id] = Query(x, torch.from_numpy(masks[crop_id]))
    return asked


def _chosen(votes: pa.Table, block: VoteBlock, allowed: Mapping[str, np.ndarray], crop_ids: Sequence[str]) -> pa.Table:
    """`CROP_VOTES` of the candidates that votes and vectors choose together, 0 votes for those that have none."""
    ids = np.array(crop_ids, dtype=object)
    tie = np.argsort(np.argsort(ids, kind="stable"), kind="stable")
    row_of = {crop_id: row for row, crop_id in enumerate(crop_ids)}
    of_query: dict[str, np.ndarray] = {crop_id: np.zeros(len(ids)) for crop_id, _ in block.queries}
    for query, gallery, value in zip(*(votes[name].to_pylist() for name in VOTED), strict=True):
        of_query[query][row_of[gallery]] = value
    together: dict[str, dict[str, Evidence]] = {}
    for (query, total), encounter, (rows, cosines) in zip(of_query.items(), block.encounters, block.alike, strict=True):
        likely = np.frombuffer(rows, np.int32), np.frombuffer(cosines, np.float32)
        together.setdefault(encounter, {})[query] = Evidence(total, *likely, allowed[query])
    owners = np.arange(len(ids)) if block.owners is None else block.owners
    tables = [CROP_VOTES.empty_table()]
    for queries in together.values():
        lists = united(list(queries.values()), owners, tie, block.most, block.params)
        for query, best in zip(queries, lists, strict=True):
            rank = np.arange(1, len(best) + 1, dtype=np.int32)
            tables.append(
                pa.table([[query] * len(best), ids[best].tolist(), of_query[query][best], rank], schema=CROP_VOTES)
            )
    return pa.concat_tables(tables).combine_chunks()


@lru_cache(maxsize=1)
def _opened_at(path: Path, base: Path | None, _changed_ns: tuple[int, ...]) -> ShortlistIndex:
    from resight.shortlist.beside import open_beside

    return open_beside(path, base)


def opened(path: Path, base: Path | None) -> ShortlistIndex:
    """The index at ``path``, and beside what; the last one stays open in the process."""
    changed = tuple((one / "index.json").stat().st_mtime_ns for one in (path, base) if one is not None)
    return _opened_at(path, base, changed)
