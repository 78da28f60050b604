"""Answers that crops which are new in the gallery, or have left it, do not change.

A descriptor votes by its K + 1 nearest neighbours. The distance to the farthest of them, its edge, is kept beside the votes, and which
crops the query could find. Of those that have come or gone since, one that is no nearer than the edge is not and was not among the
neighbours. A query to whose descriptors none is nearer would be answered to the last bit as before, and is not asked again. So a
photo that gets or loses a name asks those again to which it matters, and not everybody. What has left the gallery stays in the index for
some time, so it can still be compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from resight.extract.reader import FeatureReader
from resight.runner.runner import Runner
from resight.shortlist import kept
from resight.shortlist.block import VoteBlock, opened
from resight.shortlist.edges import Numbers, Reach, keep_edges, read_edges
from resight.shortlist.kept import Question, keep, look_up
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import Place
from resight.store.workspace import Workspace

QUERIES_PER_BLOCK = 128
ANSWERS_TRIED = 3  # of a query, the latest: nights and evaluations may take turns
# Rounding (`scan`) moves distances by about 1e-4. Who is so near to an edge as this is asked again.
NEAR, NEARLY = 1e-3, 1.001


@dataclass(frozen=True, eq=False)
class CheckBlock:
    """Queries, and what they are looked up with: the crops that have changed, and by query which of them have for it and its edges."""

    root: Path
    index: Path
    base: Path | None
    params: ShortlistParams
    changed: tuple[str, ...]
    queries: tuple[tuple[str, Place], ...]
    concern: tuple[bytes, ...]
    edges: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.queries)


@dataclass(frozen=True, eq=False)
class Asking:
    """What the queries of a call have in common; see `unmoved`.

    Attributes:
        block: All that vote: the workspace, the index, and how votes are counted.
        crop_ids: (R,) crop of each row of the index.
        numbers: Of these.
        open_rows: (Q, R) bool, what queries may find.
        keys_of: Names of answers.
    """

    block: VoteBlock
    crop_ids: Sequence[str]
    numbers: Numbers
    open_rows: Callable[[Sequence[str]], np.ndarray]
    keys_of: Callable[[Iterable[Question]], dict[str, str]]


@dataclass(frozen=True, eq=False)
class Earlier:
    """An answer to a query, and the rows that it may find now and could not then, or the other way round."""

    reach: Reach
    changed: np.ndarray


def unmoved(runner: Runner, asking: Asking, queries: Sequence[tuple[str, Place]]) -> dict[str, Reach]:
    """Of these queries those that would be answered as before, and that answer; with what it may find now.

    Args:
        runner: Its workers look.
        asking: The index, and what may be found in it.
        queries: Whose answers are not kept; crop and place of its features.
    """
    tried: dict[str, list[Reach]] = {}
    for reach in read_edges(asking.block.index.parent, [crop_id for crop_id, _ in queries]):
        tried.setdefault(reach.query, []).append(reach)
    known = [voter for voter in queries if voter[0] in tried]
    earlier, now = dict[str, Earlier](), dict[str, bytes]()
    for first in range(0, len(known), QUERIES_PER_BLOCK):
        ids = [crop_id for crop_id, _ in known[first : first + QUERIES_PER_BLOCK]]
        for crop_id, rows in zip(ids, asking.open_rows(ids), strict=True):
            best = _least_changed(asking, rows, tried[crop_id][:ANSWERS_TRIED])
            if best is not None:
                earlier[crop_id], now[crop_id] = best, asking.numbers.packed(rows)
    blocks = _blocks(asking, [voter for voter in known if voter[0] in earlier], earlier)
    done, _ = runner.run("shortlist", unmoved_block, blocks, size=len, unit="queries")
    same = {crop_id: earlier[crop_id].reach for _, found in done for crop_id in found}
    return {q: Reach(reach.key, q, reach.edges, now[q]) for q, reach in same.items()}


def _least_changed(asking: Asking, rows: np.ndarray, tried: Sequence[Reach]) -> Earlier | None:
    """The answer since which the least has changed; None where more has than has not.

    What a query could find is read with today's rows, and true only where the answer to that has the name of the one that is kept.
    """
    best = None
    for reach in tried:
        then = asking.numbers.rows(reach.may_find)
        if then is None or asking.keys_of([Question(reach.query, then, None, reach.query)])[reach.query] != reach.key:
            continue
        changed = np.flatnonzero(then != rows)
        if 2 * len(changed) < then.sum() and (best is None or len(changed) < len(best.changed)):
            best = Earlier(reach, changed)
    return best


def _blocks(asking: Asking, queries: Sequence[tuple[str, Place]], earlier: Mapping[str, Earlier]) -> list[CheckBlock]:
    blocks = []
    for first in range(0, len(queries), QUERIES_PER_BLOCK):
        some = tuple(queries[first : first + QUERIES_PER_BLOCK])
        concern = [earlier[crop_id].changed for crop_id, _ in some]
        rows = np.unique(np.concatenate(concern))
        changed = tuple(asking.crop_ids[row] for row in rows)
        masks = tuple(np.isin(rows, mine).tobytes() for mine in concern)
        edges = tuple(earlier[crop_id].reach.edges.tobytes() for crop_id, _ in some)
        of = asking.block
        blocks.append(CheckBlock(of.root, of.index, of.base, of.params, changed, some, masks, edges))
    return blocks


def unmoved_block(block: CheckBlock) -> list[str]:
    """The queries of the block to none of whose descriptors one of the changed crops is nearer than its edge."""
    import torch

    from resight.shortlist.codebook import as_float
    from resight.shortlist.entries import Entries, without
    from resight.shortlist.scan import TorchScanner

    entries = opened(block.index, block.base).entries
    if entries is None:
        return []
    changed = set(block.changed)
    parts = [without(part, changed) for part in entries.parts if not changed.isdisjoint(part.crop_ids)]
    entries, at = Entries(entries.codebook, parts), {crop_id: row for row, crop_id in enumerate(block.changed)}
    order, scanner = [at[crop_id] for crop_id in entries.crop_ids], TorchScanner(entries)
    reader, asked, edge_of = FeatureReader(Workspace(block.root)), [], dict[str, np.ndarray]()
    for (crop_id, place), concern, edges in zip(block.queries, block.concern, block.edges, strict=True):
        x = as_float(reader.load(*place).descriptors, crop_id, block.params.descriptors_per_crop)
        edge = np.frombuffer(edges, np.float32)
        if len(edge) == len(x):
            edge_of[crop_id] = edge * NEARLY + NEAR
            asked.append((x, torch.from_numpy(np.frombuffer(concern, bool)[order])))
    found = scanner.nearest(asked, block.params.n_probe, 1)
    nearest = {crop_id: distance[:, 0].numpy() for crop_id, (distance, _) in zip(edge_of, found, strict=True)}
    return [q for q, edge in edge_of.items() if not (np.isfinite(nearest[q]) & (nearest[q] <= edge)).any()]


def carry(folder: Path, earlier: Mapping[str, Reach], keys: Mapping[str, str]) -> tuple[frozenset[str], pa.Table]:
    """Keep the answers of queries under the names that they have now; gives these names, and the answers (`kept.EVIDENCE_VOTES`).

    Args:
        folder: Of the index's kind.
        earlier: From `unmoved`.
        keys: Of all queries of the run.
    """
    before = {reach.key for reach in earlier.values()}
    found, answers, _ = look_up(folder / kept.FOLDER, before)
    now = {crop_id: keys[crop_id] for crop_id, reach in earlier.items() if reach.key in found}
    if now:
        keep(folder / kept.FOLDER, answers, now, keys.values())
        reaches = (
            Reach(key, crop_id, earlier[crop_id].edges, earlier[crop_id].may_find) for crop_id, key in now.items()
        )
        keep_edges(folder, reaches, keys.values(), before)
    return frozenset(now.values()), answers
