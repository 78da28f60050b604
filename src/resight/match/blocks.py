"""One piece of matching work: a block of pairs, run on a worker, that leaves one part file behind.

A result depends on its two crops only: one thread, smaller crop id first, no padding that counts. On CPU it is bitwise
the same whatever else is in the block and however many workers there are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from resight.errors import ResightError, WeightsError, one_line
from resight.extract.base import Features
from resight.match.base import Matcher, PairMatch, TileMatcher
from resight.match.cache import PART_SCHEMA, write_pairs
from resight.match.summary import summarise
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

if TYPE_CHECKING:
    from resight.match.params import MatcherBase

CROPS_IN_MEMORY = 192
PAIRS_PER_TILE = {"cpu": 256, "cuda": 4096}  # a tile's crops lie on the device together

RowOf = Callable[[int, PairMatch, Features, Features], dict[str, Any]]
# What a crop that cannot be read, numbers that do not fit and a device without memory raise; anything else is a mistake in the
# code, and fails the block with its own message.
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
        folder: Where the part file goes.
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
    """What a block gives back.

    Attributes:
        part: Name of the part file; empty where every pair failed.
        n_matched: Pairs in it.
        seconds: Time for them, without loading the matcher.
        failed: (crop_id_a, crop_id_b, reason) of the others.
        slowed_by: Why pairs had to be matched one by one; empty where none had to.
    """

    part: str
    n_matched: int
    seconds: float
    failed: tuple[tuple[str, str, str], ...]
    slowed_by: str = ""


@dataclass(frozen=True)
class TileResult:
    """What the pairs of a tile gave; the attributes are those of `BlockResult`."""

    rows: pa.Table
    failed: list[tuple[str, str, str]]
    slowed_by: str = ""


def match_block(block: PairBlock) -> BlockResult:
    """Match the pairs of ``block`` and write their summaries.

    Raises:
        ResightError: The matcher cannot be built or does not fit the features.
    """

    def row(k: int, match: PairMatch, _a: Features, _b: Features) -> dict[str, Any]:
        a, b = block.ids(k)
        return {"crop_id_a": a, "crop_id_b": b} | summarise(match, block.bins)

    matcher = load_matcher(block.spec)
    if isinstance(matcher, TileMatcher) and matcher.tiles:
        return _run(block, PART_SCHEMA, lambda pairs, crops: _tile(block, matcher, pairs, crops, row))
    return run_block(block, row, PART_SCHEMA)


def run_block(block: PairBlock, row: RowOf, schema: pa.Schema) -> BlockResult:
    """Match each pair, turn it into a row, write the part."""
    matcher = load_matcher(block.spec)
    return _run(block, schema, lambda pairs, crops: _one_by_one(block, matcher, pairs, crops, row, schema))


def _run(block: PairBlock, schema: pa.Schema, work: Callable[[np.ndarray, CropReader], TileResult]) -> BlockResult:
    """Give ``work`` the block's pairs tile by tile, gather rows and failures, write the part."""
    single_thread()
    crops = CropReader(block)
    tiles: list[TileResult] = []
    start = time.perf_counter()
    size = PAIRS_PER_TILE["cuda" if block.spec.device == "cuda" else "cpu"]
    for first in range(0, len(block), size):
        tiles.append(work(np.arange(first, min(first + size, len(block))), crops))
    rows = pa.concat_tables([schema.empty_table(), *(tile.rows for tile in tiles)])
    part = write_pairs(block.folder, rows).name if rows.num_rows else ""
    failed = tuple(pair for tile in tiles for pair in tile.failed)
    slowed_by = next((tile.slowed_by for tile in tiles if tile.slowed_by), "")
    return BlockResult(part, rows.num_rows, time.perf_counter() - start, failed, slowed_by)


class CropReader:
    """Features of a block's crops, the last few kept."""

    def __init__(self, block: PairBlock) -> None:
        from resight.extract.reader import FeatureReader

        reader = FeatureReader(Workspace(block.root))

        @lru_cache(maxsize=CROPS_IN_MEMORY)
        def load(crop: int) -> Features:
            _, store, at = block.crops[crop]
            loaded: Features = reader.load(store, at)
            return loaded

        self.load = load


def _tile(block: PairBlock, matcher: TileMatcher, pairs: np.ndarray, crops: CropReader, row: RowOf) -> TileResult:
    """All pairs at once; where that fails, one by one, so that a bad pair does not take the others with it."""
    used, place = np.unique(np.concatenate([block.index_a[pairs], block.index_b[pairs]]), return_inverse=True)
    try:
        features = [(block.crops[c][0], crops.load(int(c))) for c in used]
        table = matcher.match_tile(features, place[: len(pairs)], place[len(pairs) :], block.bins)
    except ResightError:
        raise
    except TILE_ERRORS as error:
        if not isinstance(matcher, Matcher):
            raise
        return replace(
            _one_by_one(block, matcher, pairs, crops, row, PART_SCHEMA), slowed_by=one_line(error, (MemoryError,))
        )
    ids = [[block.ids(k)[side] for k in pairs] for side in (0, 1)]
    for at, (name, column) in enumerate(zip(("crop_id_a", "crop_id_b"), ids, strict=True)):
        table = table.add_column(at, name, pa.array(column, pa.string()))
    return TileResult(table.select(PART_SCHEMA.names).cast(PART_SCHEMA), [])


def _one_by_one(
    block: PairBlock, matcher: Matcher, pairs: np.ndarray, crops: CropReader, row: RowOf, schema: pa.Schema
) -> TileResult:
    """Rows of the pairs that can be matched, and the reasons of the others."""
    rows: list[dict[str, Any]] = []
    failed: list[tuple[str, str, str]] = []
    for k in pairs.tolist():
        try:
            a, b = crops.load(int(block.index_a[k])), crops.load(int(block.index_b[k]))
            rows.append(row(k, matcher.match(a, b), a, b))
        except ResightError:
            raise
        except Exception as error:  # one bad pair must not take the others of its block with it
            failed.append((*block.ids(k), one_line(error)))
    return TileResult(pa.Table.from_pylist(rows, schema=schema), failed)


def single_thread() -> None:
    """Sums of several threads end in other last digits than those of one."""
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
