"""The work of one call of successive halving: queries cut into blocks, run, and their outcome gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from resight.match.blocks import MatcherSpec
from resight.match.cache import CropCodes
from resight.match.halving.block import Asking, HalvedBlock, HalvingBlock, halve_block
from resight.match.work import CropTable, cut, matcher_spec, read_rate, write_rate

if TYPE_CHECKING:
    from resight.runner.runner import Runner
    from resight.settings import Settings
    from resight.store.workspace import Workspace
    from resight.weights.store import WeightStore


@dataclass(frozen=True)
class Query:
    """A query crop with its candidates; ``rows`` are those of the plan, in order of the candidates' ids."""

    crop: int
    gallery: np.ndarray
    rows: np.ndarray
    key: str


@dataclass(frozen=True)
class HalvingWork:
    """The queries of one call: cuts them into blocks and runs those."""

    workspace: Workspace
    folder: Path
    pairs_folder: Path
    settings: Settings
    weights: WeightStore
    codes: CropCodes
    features: pa.Table

    def run(self, todo: Sequence[Query], runner: Runner) -> HalvedBlock:
        """Ask all queries of ``todo``: one alone where nobody knows how long that takes, then blocks of the others."""
        pairs = np.concatenate([self.codes.pairs(np.full(len(q.gallery), q.crop), q.gallery) for q in todo])
        table = CropTable.of(self.codes, self.features, np.unique(pairs))
        rate, results = read_rate(self.folder), list[HalvedBlock]()
        if not rate:
            results += self._run(table, [todo[:1]], runner)
            todo, rate = todo[1:], _rate(results)
        if todo:
            results += self._run(table, _cut(todo, rate, self.settings, runner), runner)
        if _rate(results):
            write_rate(self.folder, _rate(results))
        dropped = {key: ids for result in results for key, ids in result.dropped.items()}
        failed = tuple(one for result in results for one in result.failed)
        return HalvedBlock(dropped, failed, sum(r.n_pairs for r in results), sum(r.seconds for r in results))

    def _run(self, table: CropTable, groups: Sequence[Sequence[Query]], runner: Runner) -> list[HalvedBlock]:
        spec = matcher_spec(self.settings, self.weights)
        blocks = [self._block(spec, table, group) for group in groups]
        done, lost = runner.run("halve", halve_block, blocks, size=len, unit="pairs", gpu=True)
        failed = [HalvedBlock({}, f.block.all_failed(f.reason), 0, 0.0) for f in lost]
        return [result for _, result in done] + failed

    def _block(self, spec: MatcherSpec, table: CropTable, group: Sequence[Query]) -> HalvingBlock:
        used = np.unique(np.concatenate([np.append(query.gallery, query.crop) for query in group]))
        ids = self.codes.ids.take(pa.array(used)).to_pylist()
        crops = tuple((crop_id, table.store[c], int(table.row[c])) for crop_id, c in zip(ids, used, strict=True))
        asking = [
            Asking(q.key, int(np.searchsorted(used, q.crop)), np.searchsorted(used, q.gallery).astype(np.int32))
            for q in group
        ]
        bins = self.settings.score.bins
        return HalvingBlock(self.workspace.root, self.folder, self.pairs_folder, spec, crops, tuple(asking), bins)


def _cut(todo: Sequence[Query], rate: float, settings: Settings, runner: Runner) -> list[Sequence[Query]]:
    """Blocks of whole queries, about as many as stage ``match`` would make of their pairs."""
    sizes = np.array([len(query.gallery) for query in todo])
    n_blocks = len(cut(np.arange(sizes.sum()), rate, settings, runner))
    block = (np.cumsum(sizes) - sizes) * n_blocks // sizes.sum()
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(todo)]
    return [todo[start:stop] for start, stop in pairwise(edges)]


def _rate(results: Sequence[HalvedBlock]) -> float:
    seconds = sum(r.seconds for r in results)
    return sum(r.n_pairs for r in results) / seconds if seconds > 0 else 0.0
