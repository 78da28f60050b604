"""The stage: index the gallery, let the queries vote, give what is left out its status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.environment import Environment
from resight.extract.reader import FeatureReader
from resight.extract.stage import extract
from resight.pairs.plan import PLANNED
from resight.runner.runner import Runner
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import Place, Stored
from resight.shortlist.plan import allowed_by_plan, apply_shortlist
from resight.shortlist.setup import Voting
from resight.shortlist.store import ShortlistIndex, build_index, open_index
from resight.shortlist.verified import verified_votes
from resight.shortlist.votes import CROP_VOTES, search
from resight.store.fingerprint import digest_ids, fingerprint
from resight.store.parts import whole_parts, write_part
from resight.store.workspace import Workspace

QUERIES_PER_BLOCK = 32
VERIFIED = "lnbnn_verified"
EVIDENCE_VOTES = CROP_VOTES.append(pa.field(VERIFIED, pa.float64()))


@dataclass(frozen=True)
class ShortlistResult:
    """What the stage gives back.

    Attributes:
        plan: The plan with the same rows; what was left out has the status ``not_shortlisted``.
        votes: `EVIDENCE_VOTES` of all candidates, kept or not: `CROP_VOTES`, and for those that were kept the sum of the
            votes that pass spatial verification.
        n_extracted: Crops whose voting descriptors were computed in this call.
        n_voted: Query crops that voted in this call; 0 where the votes of an earlier call could be read.
    """

    plan: pa.Table
    votes: pa.Table
    n_extracted: int
    n_voted: int


@dataclass(frozen=True, eq=False)
class VoteBlock:
    """Some queries; ``allowed`` holds one packed bit per row of the index, ``places`` where each row's features are.

    The best ``verify`` candidates of each query have their votes verified.
    """

    root: Path
    index: Path
    params: ShortlistParams
    queries: tuple[tuple[str, Place], ...]
    allowed: tuple[bytes, ...]
    stores: tuple[str, ...]
    places: np.ndarray
    verify: int

    def __len__(self) -> int:
        return len(self.queries)


def shortlist(env: Environment, voting: Voting, plan: pa.Table, crops: pa.Table, features: pa.Table) -> ShortlistResult:
    """Keep the ``k`` gallery crops per query crop that get the most LNBNN votes, where the gallery is large enough.

    Gallery encounters that stand in for unknown animals (calibration) are treated like real queries: the best of k must be
    judged by scores of a best of k. In a smaller gallery the votes are evidence alone and the plan stays as it is; its
    descriptors are then kept exactly.

    Args:
        env: Holds the index, and runs the blocks of queries.
        voting: Which descriptors vote and how.
        plan: From `plan_between`.
        crops, features: Tables of the run.
    """
    planned = plan.filter(pc.equal(plan["status"], PLANNED))
    gallery = sorted(pc.unique(planned["gallery_crop_id"]).to_pylist())
    cut = voting.params.is_on(len(gallery))
    if not gallery or not (cut or voting.as_evidence):
        return ShortlistResult(plan, EVIDENCE_VOTES.empty_table(), 0, 0)
    params = voting.params if cut else voting.params.exact()
    queries = sorted(pc.unique(planned["query_crop_id"]).to_pylist())
    n_extracted = 0
    if not voting.own:
        wanted = crops.filter(pc.is_in(crops["crop_id"], pa.array(sorted({*gallery, *queries}))))
        extracted = extract(env, voting.extractor, voting.names.features, wanted)
        features, n_extracted = extracted.features, extracted.n_extracted
    folder = env.workspace.stage_dir("shortlist", voting.names.index if cut else voting.names.exact_index)
    stored = Stored.of(env.runner, env.workspace, features)
    places = stored.places
    gallery = [c for c in gallery if c in places]
    index = build_index(folder, gallery, stored, params, voting.names.features)
    voters = tuple((c, places[c]) for c in queries if c in places)
    stores, rows = _place_arrays(index.crop_ids, places)
    everything = VoteBlock(
        env.workspace.root, folder / index.name, params, voters, (), stores, rows, params.k if cut else len(gallery)
    )
    votes, n_voted = _votes(env.runner, index, everything, planned)
    return ShortlistResult(apply_shortlist(plan, votes, params.k) if cut else plan, votes, n_extracted, n_voted)


def _votes(runner: Runner, index: ShortlistIndex, everything: VoteBlock, planned: pa.Table) -> tuple[pa.Table, int]:
    """Votes of all queries, and how many voted now: none where the same queries have voted on the same plan before."""
    sides = (planned[column].to_pylist() for column in ("query_crop_id", "gallery_crop_id"))
    pairs = (f"{query} {gallery}" for query, gallery in zip(*sides, strict=True))
    how = everything.params.model_dump(include={"k", "neighbours", "n_probe", "descriptors_per_crop", "backend"})
    key = fingerprint(VERIFIED, index.name, digest_ids(index.crop_ids), digest_ids(pairs), how)
    kept = everything.index.parent / "votes" / f"{key}.parquet"
    for _, votes in whole_parts([kept] if kept.exists() else [], EVIDENCE_VOTES):
        return votes, 0
    blocks = list(_blocks(everything, planned, index.crop_ids))
    done, failed = runner.run("shortlist", vote_block, blocks, size=len, unit="queries")
    table = pa.concat_tables([EVIDENCE_VOTES.empty_table(), *(votes for _, votes in done)])
    table = table.sort_by([("query_crop_id", "ascending"), ("rank", "ascending")])
    if not failed:  # queries of a failed block have no votes, so they keep all their pairs, and vote in the next run
        write_part(kept.parent, key, table)
    return table, len(everything)


def _blocks(everything: VoteBlock, planned: pa.Table, crop_ids: Sequence[str]) -> Iterator[VoteBlock]:
    """Blocks of queries, each with the rows of the index that they may find."""
    rows_of = allowed_by_plan(planned, crop_ids)
    for first in range(0, len(everything), QUERIES_PER_BLOCK):
        queries = everything.queries[first : first + QUERIES_PER_BLOCK]
        allowed = tuple(_packed(rows_of(crop_id), len(crop_ids)) for crop_id, _ in queries)
        yield replace(everything, queries=queries, allowed=allowed)


def vote_block(block: VoteBlock) -> pa.Table:
    """Votes of the block's queries, `EVIDENCE_VOTES`."""
    index, reader = _opened(block.index), FeatureReader(Workspace(block.root))
    n = len(index.crop_ids)
    masks = {
        q: np.unpackbits(np.frombuffer(b, np.uint8), count=n).astype(bool)
        for (q, _), b in zip(block.queries, block.allowed, strict=True)
    }
    queries = {crop_id: reader.load(*place) for crop_id, place in block.queries}
    background: dict[str, np.ndarray] = {}
    descriptors = ((crop_id, features.descriptors) for crop_id, features in queries.items())
    votes = search(index, descriptors, block.params, allowed=masks.__getitem__, background=background)
    row_of = {crop_id: row for row, crop_id in enumerate(index.crop_ids)}
    verified: list[float | None] = [None] * votes.num_rows
    for place, row in sorted(enumerate(votes.to_pylist()), key=lambda r: r[1]["gallery_crop_id"]):
        if row["rank"] <= block.verify:  # crop by crop, so that each shard of the gallery is read once
            store, at = block.places[row_of[row["gallery_crop_id"]]]
            query = row["query_crop_id"]
            gallery = reader.load(block.stores[store], int(at))
            most, k = block.params.descriptors_per_crop, block.params.neighbours
            verified[place] = verified_votes(queries[query], gallery, background[query], most, k)
    return votes.append_column(EVIDENCE_VOTES.field(VERIFIED), pa.array(verified, pa.float64()))


def _place_arrays(crop_ids: tuple[str, ...], places: Mapping[str, Place]) -> tuple[tuple[str, ...], np.ndarray]:
    """Stores, and (R, 2) number of the store and row in it; -1 for crops that have left the gallery."""
    stores = sorted({places[c][0] for c in crop_ids if c in places})
    number = {store: k for k, store in enumerate(stores)}
    rows = [(number[places[c][0]], places[c][1]) if c in places else (-1, -1) for c in crop_ids]
    return tuple(stores), np.array(rows, np.int32).reshape(-1, 2)


@lru_cache(maxsize=1)
def _opened_at(path: Path, _changed_ns: int) -> ShortlistIndex:
    return open_index(path)


def _opened(path: Path) -> ShortlistIndex:
    return _opened_at(path, (path / "index.json").stat().st_mtime_ns)


def _packed(rows: np.ndarray, n: int) -> bytes:
    mask = np.zeros(n, bool)
    mask[rows] = True
    return np.packbits(mask).tobytes()
