"""The work of one call: missing pairs are cut into blocks that share crops and run, and the results gathered."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.environment import Environment
from resight.errors import BrokenCountError, DamagedError
from resight.match.blocks import BlockResult, MatcherSpec, PairBlock, match_block
from resight.match.cache import CropCodes
from resight.match.setup import MatchSetup
from resight.pairs.plan import PLANNED
from resight.store.damage import set_aside
from resight.store.sealed import read_json, write_json

if TYPE_CHECKING:
    from resight.match.halving.block import HalvedBlock

log = logging.getLogger("resight")
RATE_FILE = "rate.json"
PROBE_PAIRS, PROBE_GROWS = 16, 8
TILE = 64  # crops on a side of a square of pairs that are matched together
PROBE_S = 3.0  # the time of shorter work is that of a worker's start rather than its rate
PAIRS_AT_UNKNOWN_RATE = 4096
WORTH_A_BLOCK_S = 5.0
LAST_BLOCK_S = 1.0


@dataclass(frozen=True)
class NumberedPlan:
    """A plan whose crops and pairs are numbers.

    Attributes:
        codes: Numbers of the crops.
        query, gallery: (rows,) int64, codes of each row's crops.
        pair: (rows,) int64, number of each row's unordered pair.
        planned: (rows,) bool, which rows are to be matched.
    """

    codes: CropCodes
    query: np.ndarray
    gallery: np.ndarray
    pair: np.ndarray
    planned: np.ndarray

    @staticmethod
    def of(plan: pa.Table) -> NumberedPlan:
        codes = CropCodes.of(plan["query_crop_id"], plan["gallery_crop_id"])
        query, gallery = codes.encode(plan["query_crop_id"]), codes.encode(plan["gallery_crop_id"])
        planned = np.asarray(pc.equal(plan["status"], PLANNED))
        return NumberedPlan(codes, query, gallery, codes.pairs(query, gallery), planned)


@dataclass(frozen=True)
class CropTable:
    """Where the features of each crop are.

    Attributes:
        codes: Numbers of the crops.
        place: (crops,) int64, rank of each crop in the order of store and row; -1 where it has no features.
        store: Store of each crop, by code.
        row: Row in the store, by code.
    """

    codes: CropCodes
    place: np.ndarray
    store: list[str]
    row: np.ndarray

    @staticmethod
    def of(codes: CropCodes, features: pa.Table, pairs: np.ndarray) -> CropTable:
        """Of all crops in ``codes``.

        Raises:
            BrokenCountError: A crop in ``pairs`` has no features.
        """
        order = features.sort_by([("store", "ascending"), ("store_row", "ascending")])
        code = codes.encode(order["crop_id"].cast(pa.string()))
        usable = (code >= 0) & np.asarray(pc.is_valid(order["store"])) & np.asarray(pc.is_valid(order["store_row"]))
        place, row = np.full(len(codes.ids), -1), np.full(len(codes.ids), -1)
        place[code[usable]] = np.flatnonzero(usable)
        row[code[usable]] = np.asarray(pc.fill_null(order["store_row"], -1))[usable]
        store = [""] * len(codes.ids)
        for crop, name in zip(code[usable], order["store"].filter(pa.array(usable)).to_pylist(), strict=True):
            store[crop] = name
        needed = np.unique(np.concatenate(codes.unpack(pairs)))
        if (place[needed] < 0).any():
            lost = codes.ids.take(pa.array(needed[place[needed] < 0])).to_pylist()
            raise BrokenCountError(
                f"stage match: {len(lost)} planned crops have no features, e.g. {lost[:3]}; extract them first."
            )
        return CropTable(codes, place, store, row)

    def by_tile(self, pairs: np.ndarray) -> np.ndarray:
        """``pairs`` ordered so that neighbours share crops and feature shards: tile by tile, then crop by crop."""
        low, high = self.codes.unpack(pairs)
        i, j = np.minimum(self.place[low], self.place[high]), np.maximum(self.place[low], self.place[high])
        return pairs[np.lexsort((j, i, j // TILE, i // TILE))]

    def places(self, crops: np.ndarray) -> tuple[tuple[str, str, int], ...]:
        """(crop_id, store, row in the store) of the crops with these codes."""
        ids = self.codes.ids.take(pa.array(crops)).to_pylist()
        return tuple((crop_id, self.store[code], int(self.row[code])) for crop_id, code in zip(ids, crops, strict=True))


def block_maker(
    env: Environment, setup: MatchSetup, folder: Path, table: CropTable
) -> Callable[[np.ndarray], PairBlock]:
    """What makes blocks from numbers of pairs (`CropCodes.pairs`), with this matcher and with parts in ``folder``."""
    spec = matcher_spec(env, setup)

    def block(pairs: np.ndarray) -> PairBlock:
        crops, index = np.unique(np.concatenate(table.codes.unpack(pairs)), return_inverse=True)
        index_a, index_b = np.split(index.astype(np.int32), 2)
        return PairBlock(env.workspace.root, folder, spec, table.places(crops), index_a, index_b, setup.bins)

    return block


def matcher_spec(env: Environment, setup: MatchSetup) -> MatcherSpec:
    """What a worker needs to build the matcher."""
    digests = env.weights.digests(setup.weight_names())
    return MatcherSpec(setup.params, setup.family, env.device, env.weights, tuple(digests.items()))


def cut(pairs: np.ndarray, rate: float, setup: MatchSetup, n_workers: int) -> list[np.ndarray]:
    """Cut ordered pairs into blocks of about ``block_seconds`` that grow smaller towards the end.

    A block is at most half of a worker's share of what is left (guided self-scheduling, Polychronopoulos and Kuck
    1987), so that all workers end within about `LAST_BLOCK_S` of each other. Work of less than `WORTH_A_BLOCK_S` stays one
    block, and so does that of a single worker up to ``block_seconds``.

    Args:
        pairs: Ordered by `CropTable.by_tile`.
        rate: Pairs per second of one worker; 0 where it is not known.
        setup: Size of a block.
        n_workers: How many share the work.
    """
    limit, n = setup.max_block_pairs, n_workers
    if not rate:
        limit = min(limit, PAIRS_AT_UNKNOWN_RATE)
        return np.array_split(pairs, min(len(pairs), max(2 * n, math.ceil(len(pairs) / limit))))
    largest = max(1, min(limit, round(rate * setup.block_seconds)))
    if n == 1 or len(pairs) / rate <= WORTH_A_BLOCK_S:
        return np.array_split(pairs, math.ceil(len(pairs) / largest))
    sizes, left, least = [], len(pairs), max(1, round(rate * LAST_BLOCK_S))
    while left:
        sizes.append(min(left, largest, max(least, left // (2 * n))))
        left -= sizes[-1]
    return np.split(pairs, np.cumsum(sizes)[:-1])


def read_rate(folder: Path) -> float:
    """Pairs per second of one worker, as measured last time; 0 where it was never measured."""
    try:
        rate = read_json(folder / RATE_FILE).get("pairs_per_second")
    except FileNotFoundError:
        return 0.0
    except DamagedError as damage:
        set_aside(damage, "the rate is measured again")
        return 0.0
    if isinstance(rate, int | float) and math.isfinite(rate) and rate > 0:
        return float(rate)
    set_aside(DamagedError(folder / RATE_FILE, "it holds no rate"), "the rate is measured again")
    return 0.0


def write_rate(folder: Path, rate: float) -> None:
    """Remember the rate; it only sizes blocks and is no result."""
    write_json(folder / RATE_FILE, {"pairs_per_second": round(rate, 3)})


def rate_of(results: Sequence[BlockResult | HalvedBlock]) -> float:
    """Pairs per second of the worker that the results come from; 0 where no time has passed."""
    seconds = sum(result.seconds for result in results)
    return sum(result.n_matched for result in results) / seconds if seconds > 0 else 0.0


@dataclass(frozen=True)
class Work:
    """The missing pairs of one call: cuts them into blocks and runs those."""

    env: Environment
    setup: MatchSetup
    folder: Path
    codes: CropCodes
    features: pa.Table

    def run(self, missing: np.ndarray) -> tuple[list[BlockResult], dict[int, str]]:
        """Match ``missing`` pairs.

        Returns:
            What the blocks gave back, and the reason of each pair that failed.
        """
        table = CropTable.of(self.codes, self.features, missing)
        missing = table.by_tile(missing)
        block = block_maker(self.env, self.setup, self.folder, table)
        results: list[BlockResult] = []
        failed: dict[int, str] = {}
        rate = read_rate(self.folder)
        for groups in self._probes(missing, rate):
            probes, probes_failed = self._run([block(group) for group in groups])
            results, failed, rate = results + probes, failed | probes_failed, rate_of(probes)
            missing = missing[sum(map(len, groups)) :]
            is_reliable = max((probe.seconds for probe in probes), default=0.0) >= PROBE_S
            if is_reliable or len(missing) <= rate * WORTH_A_BLOCK_S:
                break
        if missing.size:
            groups = cut(missing, rate, self.setup, self.env.runner.n_workers)
            rest, rest_failed = self._run([block(group) for group in groups])
            results, failed, rate = results + rest, failed | rest_failed, rate_of(rest) or rate
        if rate:
            write_rate(self.folder, rate)
        return results, failed

    def _probes(self, missing: np.ndarray, rate: float) -> Iterator[list[np.ndarray]]:
        """While the rate is not known: a few pairs, then ever more on all workers, until a block takes some seconds.

        The first pairs of a worker include the time of its start, which on a GPU is a hundred times that of the pairs.
        """
        size, n = min(PROBE_PAIRS, self.setup.max_block_pairs), 1
        while not rate and missing.size:
            yield np.array_split(missing[:size], min(n, size, len(missing)))
            missing, n = missing[size:], self.env.runner.n_workers
            size = min(size * PROBE_GROWS, n * self.setup.max_block_pairs)

    def _run(self, blocks: Sequence[PairBlock]) -> tuple[list[BlockResult], dict[int, str]]:
        done, lost = self.env.runner.run("match", match_block, blocks, size=len, unit="pairs", gpu=True)
        results = [result for _, result in done]
        for reason in sorted({result.slowed_by for result in results} - {""}):
            log.warning("match: %s", reason)
        failed = [pair for result in results for pair in result.failed]
        failed += [(*f.block.ids(k), f.reason) for f in lost for k in range(len(f.block))]
        first, second = encoded_ids(self.codes, failed)
        return results, {int(n): pair[2] for n, pair in zip(self.codes.pairs(first, second), failed, strict=True)}


def encoded_ids(codes: CropCodes, failed: Sequence[tuple[str, str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) codes of the first and of the second crop of failed pairs (crop id, crop id, reason)."""
    first, second = (codes.encode(pa.array([pair[side] for pair in failed], pa.string())) for side in (0, 1))
    return first, second
