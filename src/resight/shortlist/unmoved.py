"""Answers that crops which are new in the gallery do not change.

A descriptor votes by its K + 1 nearest neighbours. The distance to the farthest of them, its edge, is kept beside the votes; a query
of whose descriptors none has a new one nearer than its edge would be answered to the last bit as before, and is not asked
again. So a photo that gets a name asks those again to which it matters, and not everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.extract.reader import FeatureReader
from resight.runner.runner import Runner
from resight.shortlist import kept
from resight.shortlist.kept import Question, keep, look_up, still_of_use
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import Place
from resight.store.fingerprint import digest_ids
from resight.store.parts import compact, part_files, whole_parts, write_part
from resight.store.workspace import Workspace

FOLDER = "edges"
EDGES = pa.schema([("key", pa.string()), ("edges", pa.list_(pa.float32())), ("asked_on", pa.date32())])
QUERIES_PER_BLOCK = 128
# Distances are good to about 1e-6, and to 1e-3 near 0. Who is so near to an edge is asked again.
NEAR, NEARLY = 1e-3, 1.001


@dataclass(frozen=True, eq=False)
class CheckBlock:
    """Queries, and what they are looked up with: the crops that are new, and by query which of them it may find and its edges."""

    root: Path
    index: Path
    params: ShortlistParams
    added: tuple[str, ...]
    queries: tuple[tuple[str, Place], ...]
    allowed: tuple[bytes, ...]
    edges: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.queries)


@dataclass(frozen=True, eq=False)
class Asking:
    """What the queries of a call have in common; see `unmoved`.

    Attributes:
        root, index: The workspace, and the folder of the index.
        params: How votes are counted.
        crop_ids: (R,) crop of each row of the index.
        added: Crops that the index has since this call.
        open_rows: (Q, R) bool, what queries may find.
        keys_of: Names of answers.
    """

    root: Path
    index: Path
    params: ShortlistParams
    crop_ids: Sequence[str]
    added: Collection[str]
    open_rows: Callable[[Sequence[str]], np.ndarray]
    keys_of: Callable[[Iterable[Question]], dict[str, str]]


def unmoved(runner: Runner, asking: Asking, queries: Sequence[tuple[str, Place]]) -> dict[str, str]:
    """Of these queries those that would be answered as before the crops that were added, and the name of that answer.

    Args:
        runner: Its workers look.
        asking: The index, and what may be found in it.
        queries: Whose answers are not kept; crop and place of its features.
    """
    is_added = np.array([crop_id in asking.added for crop_id in asking.crop_ids], bool)
    if not is_added.any() or is_added.all():
        return {}
    before, may_find = dict[str, str](), dict[str, bytes]()
    for first in range(0, len(queries), QUERIES_PER_BLOCK):
        ids = [crop_id for crop_id, _ in queries[first : first + QUERIES_PER_BLOCK]]
        allowed = asking.open_rows(ids)
        before |= asking.keys_of(
            [Question(crop_id, rows & ~is_added, None, crop_id) for crop_id, rows in zip(ids, allowed, strict=True)]
        )
        may_find |= {crop_id: rows[is_added].tobytes() for crop_id, rows in zip(ids, allowed, strict=True)}
    edges = read_edges(asking.index.parent, before.values())
    asked = [voter for voter in queries if before[voter[0]] in edges]
    added = tuple(crop_id for crop_id, new in zip(asking.crop_ids, is_added.tolist(), strict=True) if new)
    blocks = []
    for first in range(0, len(asked), QUERIES_PER_BLOCK):
        some = tuple(asked[first : first + QUERIES_PER_BLOCK])
        allowed_some = tuple(may_find[crop_id] for crop_id, _ in some)
        edges_some = tuple(edges[before[crop_id]].tobytes() for crop_id, _ in some)
        blocks.append(CheckBlock(asking.root, asking.index, asking.params, added, some, allowed_some, edges_some))
    done, _ = runner.run("shortlist", unmoved_block, blocks, size=len, unit="queries")
    return {crop_id: before[crop_id] for _, found in done for crop_id in found}


def unmoved_block(block: CheckBlock) -> list[str]:
    """The queries of the block to none of whose descriptors a new one is nearer than its edge."""
    import torch

    from resight.shortlist.codebook import as_float
    from resight.shortlist.entries import Entries, without
    from resight.shortlist.scan import TorchScanner
    from resight.shortlist.store import open_index

    entries = open_index(block.index).entries
    if entries is None:
        return []
    new = set(block.added)
    entries = Entries(entries.codebook, [without(part, new) for part in entries.parts if new & set(part.crop_ids)])
    at = {crop_id: row for row, crop_id in enumerate(block.added)}
    order, scanner = [at[crop_id] for crop_id in entries.crop_ids], TorchScanner(entries)
    reader, asked, edge_of = FeatureReader(Workspace(block.root)), [], dict[str, np.ndarray]()
    for (crop_id, place), allowed, edges in zip(block.queries, block.allowed, block.edges, strict=True):
        x = as_float(reader.load(*place).descriptors, crop_id, block.params.descriptors_per_crop)
        edge = np.frombuffer(edges, np.float32)
        if len(edge) == len(x):
            edge_of[crop_id] = edge * NEARLY + NEAR
            asked.append((x, torch.from_numpy(np.frombuffer(allowed, bool)[order])))
    found = scanner.nearest(asked, block.params.n_probe, 1)
    nearest = {crop_id: distance[:, 0].numpy() for crop_id, (distance, _) in zip(edge_of, found, strict=True)}
    return [q for q, edge in edge_of.items() if not (np.isfinite(nearest[q]) & (nearest[q] <= edge)).any()]


def carry(folder: Path, earlier: Mapping[str, str], keys: Mapping[str, str]) -> tuple[frozenset[str], pa.Table]:
    """Keep the answers of queries under the names that they have now; gives these names, and the answers (`kept.EVIDENCE_VOTES`).

    Args:
        folder: Of the index's kind.
        earlier: From `unmoved`.
        keys: Of all queries of the run.
    """
    found, answers, _ = look_up(folder / kept.FOLDER, earlier.values())
    now = {crop_id: keys[crop_id] for crop_id, key in earlier.items() if key in found}
    if now:
        edges = read_edges(folder, found)
        keep(folder / kept.FOLDER, answers, now, keys.values())
        keep_edges(folder, {key: edges[earlier[crop_id]] for crop_id, key in now.items()}, keys.values())
    return frozenset(now.values()), answers


def read_edges(folder: Path, keys: Collection[str]) -> dict[str, np.ndarray]:
    """(N,) float32 edges by the name of an answer, as far as they are kept; damaged parts are set aside."""
    wanted, found = pa.array(sorted(set(keys)), pa.string()), dict[str, np.ndarray]()
    for _, rows in whole_parts(part_files(folder / FOLDER), EDGES):
        mine = rows.filter(pc.is_in(rows["key"], wanted))
        for key, edges in zip(mine["key"].to_pylist(), mine["edges"], strict=True):
            found[key] = np.asarray(edges.values, np.float32)
    return found


def keep_edges(folder: Path, edges: Mapping[str, np.ndarray], in_use: Collection[str]) -> None:
    """Keep edges by the name of their answer; what nobody has used for `kept.UNUSED_DAYS` goes.

    Args:
        folder: Of the index's kind. One writer at a time.
        edges: (N,) each.
        in_use: Names of all answers of this run.
    """
    if not edges:
        return
    today = datetime.now(UTC).date()
    columns = [list(edges), [np.asarray(one, np.float32) for one in edges.values()], [today] * len(edges)]
    write_part(folder / FOLDER, digest_ids(sorted(edges)), pa.table(columns, schema=EDGES))
    compact(folder / FOLDER, EDGES, ("key",), still_of_use(in_use, today))
