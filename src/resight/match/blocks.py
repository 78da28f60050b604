"""One piece of matching work: a block of pairs, run on a worker, that writes one part file.

A result depends on its two crops only: one thread, smaller crop id first, no influence of padding. On CPU it is bitwise the
same whatever else is in the block and however many workers there are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from resight.errors import ResightError, WeightsError, one_line
from resight.extract.base import Features
from resight.match.base import Matcher, PairMatch, TileMatcher
from resight.match.cache import KEYS, PART_SCHEMA, write_pairs
from resight.match.summary import summarise
from resight.store.selective import conformed
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

if TYPE_CHECKING:
    from resight.match.params import MatcherBase

CROPS_IN_MEMORY = 192  # more than the crops on both sides of a square of `work.TILE` pairs
PAIRS_PER_TILE = {"cpu": 256, "cuda": 4096}  # a tile's crops are on the device at the same time

LoadCrop = Callable[[int], Features]
RowOf = Callable[[PairMatch, Features, Features], dict[str, Any]]
# Raised by crops that cannot be read, numbers that do not fit and devices without memory. Anything else is a mistake in the code,
# and fails the block with its own message.
TILE_ERRORS = (OSError, ValueError, LookupError, RuntimeError, MemoryError)


@dataclass(frozen=True)
class MatcherSpec:
    """Everything that a matcher is made from; equal specs are one matcher on a worker.

    Attributes:
        params: Settings of the matcher.
        family: Descriptors that it reads.
        device: Where it runs.
        weights: Where weights are looked for.
        digests: (name, SHA-256) of the weights that the flow saw.
    """

    params: MatcherBase
    family: str
    device: str
    weights: WeightStore
    digests: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class PairBlock:
    """Pairs that are matched together because they share crops.

    Attributes:
        root: The workspace's folder.
        folder: Where the part file is written.
        spec: The matcher.
        crops: (crop_id, store, row in the store) of each crop in the block.
        index_a: (P,) int32 into ``crops``.
        index_b: (P,) int32 into ``crops``; its id is larger than that of ``index_a``.
        bins: Bins of the histogram.
    """

    root: Path
    folder: Path
    spec: MatcherSpec
    crops: tuple[tuple[str, str, int], ...]
    index_a: np.ndarray
    index_b: np.ndarray
    bins: int

    def __len__(self) -> int:
        return len(self.index_a)

    def ids(self, k: int) -> tuple[str, str]:
        """Crop ids of pair ``k``."""
        return self.crops[self.index_a[k]][0], self.crops[self.index_b[k]][0]


@dataclass(frozen=True)
class BlockResult:
    """Results of a block.

    Attributes:
        part: Name of the part file; empty where every pair failed.
        n_matched: Pairs in it.
        seconds: Time for them, without loading the matcher.
        failed: (crop_id_a, crop_id_b, reason) of the others.
        slowed_by: Why fewer pairs were matched at once, or one by one, in words; empty where none were.
    """

    part: str
    n_matched: int
    seconds: float
    failed: tuple[tuple[str, str, str], ...]
    slowed_by: str = ""


@dataclass(frozen=True)
class TileResult:
    """Results of the pairs of a tile; the attributes are those of `BlockResult`."""

    rows: pa.Table
    failed: list[tuple[str, str, str]]
    slowed_by: str = ""


def match_block(block: PairBlock) -> BlockResult:
    """Match the pairs of ``block`` and write their summaries.

    Raises:
        ResightError: The matcher cannot be built or does not fit the features.
    """

    def row(match: PairMatch, _a: Features, _b: Features) -> dict[str, Any]:
        return summarise(match, block.bins)

    work = _BlockWork(block, load_matcher(block.spec), crop_loader(block), row, PART_SCHEMA)
    if isinstance(work.matcher, TileMatcher) and work.matcher.tiles:
        return work.run(partial(work.tile, work.matcher))
    return work.run(work.one_by_one)


def match_pair_by_pair(block: PairBlock, row: RowOf, schema: pa.Schema) -> BlockResult:
    """Match each pair of ``block``, turn it into a row of ``schema`` (crop ids, then what ``row`` gives), write the part."""
    work = _BlockWork(block, load_matcher(block.spec), crop_loader(block), row, schema)
    return work.run(work.one_by_one)


def crop_loader(block: PairBlock) -> LoadCrop:
    """What loads the features of a crop by its place in ``block.crops``; the last few are kept."""
    from resight.extract.reader import FeatureReader

    reader = FeatureReader(Workspace(block.root))

    @lru_cache(maxsize=CROPS_IN_MEMORY)
    def load(crop: int) -> Features:
        _, store, store_row = block.crops[crop]
        return reader.load(store, store_row)

    return load


@dataclass(frozen=True)
class _BlockWork:
    """The matching of a block's pairs: each becomes a row of ``schema`` or fails with a reason."""

    block: PairBlock
    matcher: Matcher
    load: LoadCrop
    row: RowOf
    schema: pa.Schema

    def run(self, match_tile: Callable[[np.ndarray], TileResult]) -> BlockResult:
        """Match the pairs tile by tile, gather rows and failures, write the part."""
        single_thread()
        block, start = self.block, time.perf_counter()
        size = PAIRS_PER_TILE["cuda" if block.spec.device == "cuda" else "cpu"]
        tiles = [match_tile(np.arange(i, min(i + size, len(block)))) for i in range(0, len(block), size)]
        rows = pa.concat_tables([self.schema.empty_table(), *(tile.rows for tile in tiles)])
        part = write_pairs(block.folder, rows).name if rows.num_rows else ""
        failed = tuple(pair for tile in tiles for pair in tile.failed)
        slowed_by = next((tile.slowed_by for tile in tiles if tile.slowed_by), "")
        return BlockResult(part, rows.num_rows, time.perf_counter() - start, failed, slowed_by)

    def tile(self, matcher: TileMatcher, pairs: np.ndarray) -> TileResult:
        """All pairs at once; half as many where memory is short; where it fails otherwise, one by one, so that a bad pair does not
        take the others with it."""
        block = self.block
        used, place = np.unique(np.concatenate([block.index_a[pairs], block.index_b[pairs]]), return_inverse=True)
        try:
            crops = [(block.crops[c][0], self.load(int(c))) for c in used]
            table = matcher.match_tile(crops, place[: len(pairs)], place[len(pairs) :], block.bins)
        except ResightError:
            raise
        except TILE_ERRORS as error:
            why, is_short = one_line(error, (MemoryError,)), is_short_of_memory(error)
        else:
            return TileResult(with_crop_ids(table, *zip(*map(block.ids, pairs), strict=True)), [])
        if is_short and len(pairs) > 1:  # out of the handler, which holds what the failed attempt has allocated
            _give_memory_back()
            return self._in_halves(matcher, pairs, why)
        return replace(
            self.one_by_one(pairs), slowed_by=f"pairs are matched one by one, which is slow, because of {why}"
        )

    def _in_halves(self, matcher: TileMatcher, pairs: np.ndarray, why: str) -> TileResult:
        halves = [self.tile(matcher, half) for half in np.array_split(pairs, 2)]
        slower = next((half.slowed_by for half in halves if half.slowed_by), "")
        rows = pa.concat_tables([half.rows for half in halves])
        failed = [pair for half in halves for pair in half.failed]
        fewer = f"only {len(pairs) - len(pairs) // 2} pairs are matched at once, because of {why}"
        return TileResult(rows, failed, slower or fewer)

    def one_by_one(self, pairs: np.ndarray) -> TileResult:
        """Rows of the pairs that can be matched, and the reasons of the others."""
        rows: list[dict[str, Any]] = []
        failed: list[tuple[str, str, str]] = []
        for k in pairs.tolist():
            ids = self.block.ids(k)
            try:
                a, b = self.load(int(self.block.index_a[k])), self.load(int(self.block.index_b[k]))
                rows.append(dict(zip(KEYS, ids, strict=True)) | self.row(self.matcher.match(a, b), a, b))
            except ResightError:
                raise
            except Exception as error:  # one bad pair must not take the others of its block with it
                failed.append((*ids, one_line(error)))
        return TileResult(pa.Table.from_pylist(rows, schema=self.schema), failed)


def is_short_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of this machine or of a GPU: PyTorch says that in the message of a RuntimeError."""
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def _give_memory_back() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def with_crop_ids(rows: pa.Table, first: Sequence[str], second: Sequence[str]) -> pa.Table:
    """`PART_SCHEMA` from `SUMMARY_SCHEMA` rows and the ids of their crops; columns that a matcher of another package does not know are missing."""
    ids = [pa.array(side, pa.string()) for side in (first, second)]
    return conformed(pa.table([*ids, *rows.columns], names=[*KEYS, *rows.column_names]), PART_SCHEMA)


def single_thread() -> None:
    """Sums of several threads end in other last digits than those of one. Call it when the matcher is built, which may import torch."""
    import cv2

    cv2.setNumThreads(1)
    if torch := sys.modules.get("torch"):  # not imported for a matcher that has done without it
        torch.set_num_threads(1)


@lru_cache(maxsize=2)
def load_matcher(spec: MatcherSpec) -> Matcher:
    """The matcher, built once per worker.

    Raises:
        WeightsError: The worker finds other weights than the flow did.
    """
    for name, digest in spec.digests:
        file = spec.weights.find(name)
        if file.sha256 != digest:
            raise WeightsError(
                f"{file.path} on this worker is not the file that the run started with; use one file everywhere."
            )
    return spec.params.build(spec.weights, spec.family, spec.device)
