"""The stage: index the gallery, let the queries vote, give what is left out its status."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resight.extract import FeatureReader, extract, extract_fingerprint
from resight.fingerprint import digest_ids, fingerprint
from resight.match.plan import PLANNED
from resight.parts import write_part
from resight.runner import Runner
from resight.settings import Settings
from resight.shortlist.params import ShortlistParams
from resight.shortlist.plan import allowed_by_plan, apply_shortlist
from resight.shortlist.store import ShortlistIndex, build_index, open_index
from resight.shortlist.votes import CROP_VOTES, search
from resight.weights.store import WeightStore
from resight.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

QUERIES_PER_BLOCK = 32
Place = tuple[str, int]


@dataclass(frozen=True)
class ShortlistResult:
    """What the stage gives back.

    Attributes:
        plan: The plan with the same rows; what was left out has the status ``not_shortlisted``.
        votes: `CROP_VOTES` of all candidates, kept or not.
        n_extracted: Crops whose voting descriptors were computed in this call.
        n_asked: Query crops that voted in this call; 0 where the votes were there already.
    """

    plan: pa.Table
    votes: pa.Table
    n_extracted: int
    n_asked: int


@dataclass(frozen=True, eq=False)
class VoteBlock:
    """Some queries; ``allowed`` holds one packed bit per row of the index."""

    root: Path
    index: Path
    params: ShortlistParams
    queries: tuple[tuple[str, Place], ...]
    allowed: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.queries)


def shortlist(
    workspace: Workspace,
    settings: Settings,
    plan: pa.Table,
    crops: pa.Table,
    features: pa.Table,
    weights: WeightStore,
    runner: Runner,
) -> ShortlistResult:
    """Keep the ``shortlist.k`` gallery crops per query crop that get the most LNBNN votes, where the gallery is large enough.

    Gallery encounters that play the unknown animal (calibration) go the same way as real queries: a best of k must be
    judged by what a best of k looks like.

    Args:
        workspace: Holds the index.
        settings: Section ``shortlist``.
        plan: From `plan_pairs`.
        crops, features: Tables of the run.
        weights: For the voting descriptors' extractor.
        runner: Runs the blocks of queries.
    """
    params = settings.shortlist
    planned = plan.filter(pc.equal(plan["status"], PLANNED))
    gallery = sorted(pc.unique(planned["gallery_crop_id"]).to_pylist())
    if not params.is_on(len(gallery)):
        return ShortlistResult(plan, CROP_VOTES.empty_table(), 0, 0)
    queries = sorted(pc.unique(planned["query_crop_id"]).to_pylist())
    voting = settings.model_copy(update={"extract": params.extractor(settings.extract)})
    name, n_extracted = extract_fingerprint(voting, weights), 0
    if voting.extract != settings.extract:
        wanted = crops.filter(pc.is_in(crops["crop_id"], pa.array(sorted({*gallery, *queries}))))
        extracted = extract(workspace, voting, wanted, weights, runner)
        features, n_extracted = extracted.features, extracted.n_extracted
    folder = workspace.stage_dir("shortlist", params.index_fingerprint(name))
    places, reader = _places(features), FeatureReader(workspace)
    gallery = [c for c in gallery if c in places]
    index = build_index(folder, gallery, lambda c: reader.load(*places[c]).descriptors, params, name)
    asked = [(c, places[c]) for c in queries if c in places]
    votes, n_asked = _votes(workspace, folder, index, params, asked, planned, runner)
    return ShortlistResult(apply_shortlist(plan, votes, params.k), votes, n_extracted, n_asked)


def _votes(
    workspace: Workspace,
    folder: Path,
    index: ShortlistIndex,
    params: ShortlistParams,
    asked: list[tuple[str, Place]],
    planned: pa.Table,
    runner: Runner,
) -> tuple[pa.Table, int]:
    pairs = (
        f"{q} {g}" for q, g in zip(*(planned[c].to_pylist() for c in ("query_crop_id", "gallery_crop_id")), strict=True)
    )
    how = params.model_dump(include={"neighbours", "n_probe", "descriptors_per_crop", "backend"})
    key = fingerprint(index.name, digest_ids(index.crop_ids), digest_ids(pairs), how)
    kept = folder / "votes" / f"{key}.parquet"
    if kept.exists():
        return pq.read_table(kept, partitioning=None).cast(CROP_VOTES), 0
    blocks = list(_blocks(workspace, folder / index.name, params, asked, planned, index))
    done, failed = runner.run("shortlist", vote_block, blocks, size=len, unit="queries")
    for failure in failed:  # a query that nobody voted for keeps all its pairs
        done += [(failure.block, CROP_VOTES.empty_table())]
    table = pa.concat_tables([CROP_VOTES.empty_table(), *(votes for _, votes in done)]).sort_by(
        [("query_crop_id", "ascending"), ("rank", "ascending")]
    )
    if not failed:
        write_part(kept.parent, key, table)
    return table, len(asked)


def _blocks(
    workspace: Workspace,
    index_path: Path,
    params: ShortlistParams,
    asked: list[tuple[str, Place]],
    planned: pa.Table,
    index: ShortlistIndex,
) -> Iterator[VoteBlock]:
    rows_of = allowed_by_plan(planned, index.crop_ids)
    for first in range(0, len(asked), QUERIES_PER_BLOCK):
        some = asked[first : first + QUERIES_PER_BLOCK]
        bits = tuple(_packed(rows_of(crop_id), len(index.crop_ids)) for crop_id, _ in some)
        yield VoteBlock(workspace.root, index_path, params, tuple(some), bits)


def vote_block(block: VoteBlock) -> pa.Table:
    """Votes of the block's queries."""
    index, reader = _opened(block.index), FeatureReader(Workspace(block.root))
    n = len(index.crop_ids)
    masks = {
        q: np.unpackbits(np.frombuffer(b, np.uint8), count=n).astype(bool)
        for (q, _), b in zip(block.queries, block.allowed, strict=True)
    }
    queries = ((crop_id, reader.load(*place).descriptors) for crop_id, place in block.queries)
    return search(index, queries, block.params, allowed=masks.__getitem__).crops


@lru_cache(maxsize=1)
def _opened_at(path: Path, _changed_ns: int) -> ShortlistIndex:
    return open_index(path)


def _opened(path: Path) -> ShortlistIndex:
    return _opened_at(path, (path / "index.json").stat().st_mtime_ns)


def _packed(rows: np.ndarray, n: int) -> bytes:
    mask = np.zeros(n, bool)
    mask[rows] = True
    return np.packbits(mask).tobytes()


def _places(features: pa.Table) -> Mapping[str, Place]:
    rows = features.select(["crop_id", "store", "store_row", "n_keypoints"]).to_pylist()
    return {r["crop_id"]: (r["store"], r["store_row"]) for r in rows if r["store"] is not None and r["n_keypoints"] > 0}
