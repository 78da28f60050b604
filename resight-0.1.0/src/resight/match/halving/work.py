"""The work of one call of successive halving: queries are cut into blocks and run, and the results gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from resight.environment import Environment
from resight.match.blocks import MatcherSpec
from resight.match.cache import CropCodes
from resight.match.halving.block import HalvedBlock, HalvingBlock, QueryPlaces, halve_block
from resight.match.setup import MatchSetup
from resight.match.work import CropTable, cut, matcher_spec, rate_of, read_rate, write_rate


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

    env: Environment
    setup: MatchSetup
    folder: Path
    pairs_folder: Path
    codes: CropCodes
    features: pa.Table

    def run(self, todo: Sequence[Query]) -> HalvedBlock:
        """Halve the candidates of all queries in ``todo``: one alone where the rate is not known, then blocks of the others."""
        pairs = np.concatenate([self.codes.pairs(np.full(len(q.gallery), q.crop), q.gallery) for q in todo])
        table = CropTable.of(self.codes, self.features, np.unique(pairs))
        rate, results = read_rate(self.folder), list[HalvedBlock]()
        if not rate:
            results += self._run(table, [todo[:1]])
            todo, rate = todo[1:], rate_of(results)
        if todo:
            results += self._run(table, _cut(todo, rate, self.setup, self.env.runner.n_workers))
        if rate_of(results):
            write_rate(self.folder, rate_of(results))
        dropped = {key: ids for result in results for key, ids in result.dropped.items()}
        failed = tuple(pair for result in results for pair in result.failed)
        return HalvedBlock(dropped, failed, sum(r.n_matched for r in results), sum(r.seconds for r in results))

    def _run(self, table: CropTable, groups: Sequence[Sequence[Query]]) -> list[HalvedBlock]:
        spec = matcher_spec(self.env, self.setup)
        blocks = [self._block(spec, table, group) for group in groups]
        done, lost = self.env.runner.run("halve", halve_block, blocks, size=len, unit="pairs", gpu=True)
        failed = [HalvedBlock({}, f.block.all_failed(f.reason), 0, 0.0) for f in lost]
        return [result for _, result in done] + failed

    def _block(self, spec: MatcherSpec, table: CropTable, group: Sequence[Query]) -> HalvingBlock:
        used = np.unique(np.concatenate([np.append(query.gallery, query.crop) for query in group]))
        queries = tuple(
            QueryPlaces(q.key, int(np.searchsorted(used, q.crop)), np.searchsorted(used, q.gallery).astype(np.int32))
            for q in group
        )
        root, crops, bins = self.env.workspace.root, table.places(used), self.setup.bins
        return HalvingBlock(root, self.folder, self.pairs_folder, spec, crops, queries, bins)


def _cut(todo: Sequence[Query], rate: float, setup: MatchSetup, n_workers: int) -> list[Sequence[Query]]:
    """Blocks of whole queries, about as many as stage ``match`` would make of their pairs."""
    sizes = np.array([len(query.gallery) for query in todo])
    n_blocks = len(cut(np.arange(sizes.sum()), rate, setup, n_workers))
    block = (np.cumsum(sizes) - sizes) * n_blocks // sizes.sum()
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(todo)]
    return [todo[start:stop] for start, stop in pairwise(edges)]
