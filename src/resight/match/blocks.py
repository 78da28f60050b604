"""One piece of matching work: a block of pairs, run on a worker, that leaves one part file behind.

A result depends on its two crops only: one thread, pair by pair, smaller crop id first. So it is bitwise the same
whatever else is in the block and however many workers there are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from resight.errors import ResightError, WeightsError
from resight.extract.base import Features
from resight.match.base import Matcher, PairMatch
from resight.match.cache import PART_SCHEMA, write_pairs
from resight.match.summary import summarise
from resight.weights.store import WeightStore
from resight.workspace import Workspace

if TYPE_CHECKING:
    from resight.params import Params

CROPS_IN_MEMORY = 192
REASON_CHARS = 300


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

    params: Params
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
    """

    part: str
    n_matched: int
    seconds: float
    failed: tuple[tuple[str, str, str], ...]


def match_block(block: PairBlock) -> BlockResult:
    """Match the pairs of ``block`` and write their summaries.

    Raises:
        ResightError: The matcher cannot be built or does not fit the features.
    """

    def row(k: int, match: PairMatch, _a: Features, _b: Features) -> dict[str, Any]:
        a, b = block.ids(k)
        return {"crop_id_a": a, "crop_id_b": b} | summarise(match, block.bins)

    return run_block(block, row, PART_SCHEMA)


def run_block(
    block: PairBlock, row: Callable[[int, PairMatch, Features, Features], dict[str, Any]], schema: pa.Schema
) -> BlockResult:
    """Match each pair, turn it into a row, write the part."""
    matcher = load_matcher(block.spec)
    single_thread()
    rows: list[dict[str, Any]] = []
    failed: list[tuple[str, str, str]] = []
    start = time.perf_counter()
    for k, outcome in _each_pair(block, matcher, row):
        if isinstance(outcome, str):
            failed.append((*block.ids(k), outcome))
        else:
            rows.append(outcome)
    part = write_pairs(block.folder, pa.Table.from_pylist(rows, schema=schema)).name if rows else ""
    return BlockResult(part, len(rows), time.perf_counter() - start, tuple(failed))


def _each_pair(
    block: PairBlock, matcher: Matcher, row: Callable[[int, PairMatch, Features, Features], dict[str, Any]]
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Index of each pair with its row, or with the reason why there is none."""
    from resight.extract import FeatureReader

    reader = FeatureReader(Workspace(block.root))

    @lru_cache(maxsize=CROPS_IN_MEMORY)
    def features(crop: int) -> Features:
        _, store, at = block.crops[crop]
        loaded: Features = reader.load(store, at)
        return loaded

    for k in range(len(block)):
        try:
            a, b = features(int(block.index_a[k])), features(int(block.index_b[k]))
            yield k, row(k, matcher.match(a, b), a, b)
        except ResightError:
            raise
        except Exception as error:  # one bad pair must not take the others of its block with it
            yield k, " ".join(f"{type(error).__name__}: {error}".split())[:REASON_CHARS]


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
        found = spec.weights.find(name)
        if found.sha256 != digest:
            raise WeightsError(
                f"{found.path} on this worker is not the file that the run started with; use one file everywhere."
            )
    matcher: Matcher = spec.params.build(spec.weights, spec.family, spec.device)  # type: ignore[attr-defined]
    return matcher
