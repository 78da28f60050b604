"""The stage: index the gallery, let the queries vote, give what is left out its status."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.environment import Environment
from resight.extract.stage import extract
from resight.pairs.plan import PairGrid, Plan
from resight.runner.runner import Runner
from resight.shortlist.block import VoteBlock, Voter, vote_block
from resight.shortlist.kept import ANSWERS, EVIDENCE_VOTES, FOLDER, VERIFIED, Keys, Question, keep, look_up, renew
from resight.shortlist.passes import Place, Stored
from resight.shortlist.plan import allowed_by_grids, shortlisted
from resight.shortlist.setup import Voting
from resight.shortlist.union import Alike, nearest
from resight.store.fingerprint import fingerprint

if TYPE_CHECKING:  # torch is imported in the functions that vote: a night in which nothing is new needs none
    from resight.shortlist.neighbours import Memory
    from resight.shortlist.store import ShortlistIndex

QUERIES_PER_BLOCK = 64
ROUNDED = "rounded"  # distances are (see `scan`); answers of before are others in their last digits
DECIDE_VOTES = {"k", "neighbours", "n_probe", "descriptors_per_crop", "backend"}
DECIDE_NEIGHBOURS = DECIDE_VOTES - {"k"}
DEAL_PLACES = {"per_animal", "leaders", "per_leader"}


@dataclass(frozen=True)
class ShortlistResult:
    """What the stage gives back.

    Attributes:
        plans: Of each grid; what the shortlist left out is counted as ``not_shortlisted``.
        votes: `EVIDENCE_VOTES`: `CROP_VOTES` of the candidates that were kept (of all, where no shortlist was made), and the sum of
            those that pass spatial verification.
        n_extracted: Crops whose voting descriptors were computed in this call.
        n_voted: Query crops that were answered in this call; the answers of the others were kept by an earlier one.
        n_looked_up: Their descriptors that were looked up in the whole index; the neighbours of the others follow from those of before.
    """

    plans: tuple[Plan, ...]
    votes: pa.Table
    n_extracted: int
    n_voted: int
    n_looked_up: int


def shortlist(
    env: Environment,
    voting: Voting,
    grids: Sequence[PairGrid],
    crops: pa.Table,
    features: pa.Table,
    *,
    every_vote: bool = False,
    alike: Alike | None = None,
) -> ShortlistResult:
    """Keep the ``k`` gallery crops per query crop that get the most LNBNN votes, where the gallery is large enough.

    Gallery encounters that stand in for unknown animals (calibration) are treated like real queries: the best of k must be
    judged by scores of a best of k. In a smaller gallery the votes are evidence alone and no pair is left out; its
    descriptors are then kept exactly.

    Args:
        env: Holds the index, and runs the blocks of queries.
        voting: Which descriptors vote and how.
        grids: All pairs of the run.
        crops, features: Tables of the run.
        every_vote: Give back the votes of candidates that are left out too.
        alike: Vectors of the crops, which then choose beside the votes; they leave out nothing where no shortlist is made.
    """
    queries, gallery = _open_crops(grids) if voting.params.enabled != "off" else ([], [])
    cut = voting.params.is_on(len(gallery))
    if not gallery or not (cut or voting.as_evidence):
        return ShortlistResult(tuple(grid.plan() for grid in grids), EVIDENCE_VOTES.empty_table(), 0, 0, 0)
    n_extracted = 0
    if not voting.own:
        wanted = crops.filter(pc.is_in(crops["crop_id"], pa.array(sorted({*gallery, *queries}))))
        extracted = extract(env, voting.extractor, voting.names.features, wanted)
        features, n_extracted = extracted.features, extracted.n_extracted
    stored = Stored.of(env.runner, env.workspace, features)
    index, everything = indexed(env, voting, stored, queries, gallery, cut)
    everything = replace(everything, most=len(index.crop_ids)) if every_vote else everything
    asking = grids if cut else [replace(grid, beside=None) for grid in grids]  # without places all pairs have votes
    votes, n_voted, n_looked_up = _votes(
        env.runner, index, everything, asking, alike if cut and not every_vote else None
    )
    plans = shortlisted(grids, votes, voting.params.k) if cut else tuple(grid.plan() for grid in grids)
    return ShortlistResult(plans, votes, n_extracted, n_voted, n_looked_up)


def indexed(
    env: Environment, voting: Voting, stored: Stored, queries: Sequence[str], gallery: Sequence[str], cut: bool
) -> tuple[ShortlistIndex, VoteBlock]:
    """The index of the gallery, and all queries that vote in it."""
    from resight.shortlist.beside import base_of, build_beside, open_beside
    from resight.shortlist.store import build_index

    params, places = voting.params if cut else voting.params.exact(), stored.places
    names, stage_dir = voting.names, env.workspace.stage_dir
    folder = stage_dir("shortlist", names.index if cut else names.exact_index)
    family, holding = params.index_name(names.features), [c for c in gallery if c in places]
    base = base_of(stage_dir("shortlist", names.base), family, holding) if cut and names.base else None
    if base is None:
        index = build_index(folder, holding, stored, params, names.features)
    else:
        index = open_beside(build_beside(folder, base, holding, stored, params, family), base)
    voters = tuple((c, places[c]) for c in queries if c in places)
    stores, rows = _place_arrays(index.crop_ids, places)
    kept = params.k if cut else len(index.crop_ids)
    root, path = env.workspace.root, folder / index.name
    return index, VoteBlock(root, path, params, voters, (), stores, rows, verify=kept, most=kept, base=base)


def _open_crops(grids: Sequence[PairGrid]) -> tuple[list[str], list[str]]:
    """Query and gallery crops with a pair that may be compared, in the order of their ids."""
    sides: tuple[set[str], set[str]] = set(), set()
    for grid in grids:
        for side, ids, is_open in zip(sides, (grid.query_ids, grid.gallery_ids), grid.open_sides(), strict=True):
            side.update(ids.filter(pa.array(is_open)).to_pylist())
    return sorted(sides[0]), sorted(sides[1])


def _votes(
    runner: Runner,
    index: ShortlistIndex,
    everything: VoteBlock,
    grids: Sequence[PairGrid],
    alike: Alike | None = None,
) -> tuple[pa.Table, int, int]:
    """Votes of all queries, how many voted now: those that would not be answered as before (`kept`), and descriptors of theirs that were looked up."""
    how = everything.params.model_dump(include=DECIDE_VOTES | (DEAL_PLACES if alike else set()))
    ends = [n if n < len(index.crop_ids) else "all" for n in (everything.verify, everything.most)]
    keys_of = Keys(index.crop_ids, fingerprint(VERIFIED, ROUNDED, index.name, how, *ends), alike).of
    open_rows = allowed_by_grids(grids, index.crop_ids)
    keys: dict[str, str] = {}
    for questions in _questions(everything.queries, open_rows, index.crop_ids, alike):
        keys |= keys_of(questions)
    folder = everything.index.parent / FOLDER
    is_kept, before, asked_on = look_up(folder, keys.values())
    speaks_with = alike.encounter if alike else str
    again = {speaks_with(crop_id) for crop_id, _ in everything.queries if keys[crop_id] not in is_kept}
    renew(folder, before, {crop_id: key for crop_id, key in keys.items() if key in is_kept}, asked_on)
    if not again:
        return _ordered(before), 0, 0
    asked = [voter for voter in everything.queries if speaks_with(voter[0]) in again]
    from resight.shortlist.earlier import with_earlier

    memory = _memory(everything, index.crop_ids, [crop_id for crop_id, _ in asked])
    owners = alike.numbers(index.crop_ids) if alike else None
    questions_now = _questions(asked, open_rows, index.crop_ids, alike)
    blocks = [_block(everything, questions, asked, owners) for questions in questions_now]
    now, n_looked_up = _answered(runner, folder, with_earlier(folder, memory, index.crop_ids, blocks), memory, keys)
    crops_asked = pa.array([crop_id for crop_id, _ in asked], pa.string())
    before = before.filter(pc.invert(pc.is_in(before["query_crop_id"], crops_asked)))
    return _ordered(pa.concat_tables([before, now])), len(asked), n_looked_up


def _memory(everything: VoteBlock, crop_ids: Sequence[str], queries: Sequence[str]) -> Memory:
    from resight.shortlist.neighbours import WRITTEN, Memory
    from resight.shortlist.store import codebook_digest

    params = everything.params
    digest = codebook_digest(everything.index) if crop_ids else ""
    how = fingerprint(ROUNDED, WRITTEN, digest, params.model_dump(include=DECIDE_NEIGHBOURS))
    return Memory(everything.index.parent, how, crop_ids, queries, params.neighbours + 1)


def _answered(
    runner: Runner, folder: Path, blocks: Sequence[VoteBlock], memory: Memory, keys: Mapping[str, str]
) -> tuple[pa.Table, int]:
    """The votes of these queries, which are kept too, and how many descriptors were looked up. Those of a block that failed have none, keep all their pairs, and vote in the next run."""
    done, _ = runner.run("shortlist", vote_block, blocks, size=len, unit="queries")
    now = pa.concat_tables([ANSWERS.empty_table(), *(answers.votes for _, answers in done)])
    if done:
        keep(folder, now, {crop_id: keys[crop_id] for block, _ in done for crop_id, _ in block.queries}, keys.values())
        found = (
            (crop_id, answers.neighbours[crop_id], rows)
            for block, answers in done
            for crop_id, rows in block.may_find(memory.n_rows).items()
            if crop_id in answers.neighbours
        )
        memory.keep(found, keys, folder)
    return now, sum(of_query.n_sought for _, answers in done for of_query in answers.neighbours.values())


def _ordered(votes: pa.Table) -> pa.Table:
    return votes.select(EVIDENCE_VOTES.names).sort_by([("query_crop_id", "ascending"), ("rank", "ascending")])


def _questions(
    queries: Sequence[Voter],
    open_rows: Callable[[Sequence[str]], np.ndarray],
    crop_ids: Sequence[str],
    alike: Alike | None,
) -> Iterator[list[Question]]:
    """What each query is asked, so many at a time as a block takes: which rows it may find, and which of them are most alike."""
    gallery = alike.among(crop_ids) if alike else None
    for voters in _together(queries, alike):
        ids = [crop_id for crop_id, _ in voters]
        allowed = open_rows(ids)
        if alike is None or not gallery:
            yield [Question(crop_id, rows, None, crop_id) for crop_id, rows in zip(ids, allowed, strict=True)]
            continue
        cosines = alike.among(ids).cosines(gallery)
        rows = [nearest(*of_query) for of_query in zip(cosines, allowed, strict=True)]
        likely = [(r, c[r]) for r, c in zip(rows, cosines, strict=True)]
        encounters = [alike.encounter(crop_id) for crop_id in ids]
        yield [Question(*of_query) for of_query in zip(ids, allowed, likely, encounters, strict=True)]


def _block(
    everything: VoteBlock, questions: Sequence[Question], asked: Sequence[Voter], owners: np.ndarray | None
) -> VoteBlock:
    """The same for the workers."""
    place = dict(asked)
    masks = np.packbits(np.stack([question.allowed for question in questions]), axis=1)
    block = replace(
        everything,
        queries=tuple((question.crop_id, place[question.crop_id]) for question in questions),
        allowed=tuple(mask.tobytes() for mask in masks),
    )
    likely = [question.likely for question in questions if question.likely is not None]
    if not likely:
        return block
    encounters = tuple(question.encounter for question in questions)
    alike = tuple((rows.tobytes(), cosines.tobytes()) for rows, cosines in likely)
    return replace(block, alike=alike, owners=owners, encounters=encounters)


def _together(queries: Sequence[Voter], alike: Alike | None) -> Iterator[tuple[Voter, ...]]:
    """Queries in blocks; where vectors count, those of an encounter are in one block, because they speak together."""
    if alike is None:
        for first in range(0, len(queries), QUERIES_PER_BLOCK):
            yield tuple(queries[first : first + QUERIES_PER_BLOCK])
        return
    block: list[Voter] = []
    ordered = sorted(queries, key=lambda voter: (alike.encounter(voter[0]), voter[0]))
    for _, encounter in groupby(ordered, key=lambda voter: alike.encounter(voter[0])):
        block += encounter
        if len(block) >= QUERIES_PER_BLOCK:
            yield tuple(block)
            block = []
    if block:
        yield tuple(block)


def _place_arrays(crop_ids: tuple[str, ...], places: Mapping[str, Place]) -> tuple[tuple[str, ...], np.ndarray]:
    """Stores, and (R, 2) number of the store and row in it; -1 for crops that have left the gallery."""
    stores = sorted({places[c][0] for c in crop_ids if c in places})
    number = {store: k for k, store in enumerate(stores)}
    rows = [(number[places[c][0]], places[c][1]) if c in places else (-1, -1) for c in crop_ids]
    return tuple(stores), np.array(rows, np.int32).reshape(-1, 2)
