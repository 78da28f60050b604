"""Methods that look at two crops together: every pair is compared once and kept."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from pydantic import Field

from resight.compare.base import Method, MethodScores, Timing, Trial, planned_pairs, scores_of
from resight.compare.timing import take_time
from resight.errors import BrokenCountError
from resight.match.blocks import single_thread
from resight.plugins.params import Params
from resight.segment.store import read_crop
from resight.store.fingerprint import digest_ids, fingerprint
from resight.store.parts import read_parts, write_part
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

STAGE = "picture-pairs"
PAIR_SCHEMA = pa.schema([("crop_id_a", pa.string()), ("crop_id_b", pa.string()), ("score", pa.float64())])
Pair = tuple[str, str]


class PictureComparer(Protocol):
    """What ``PictureParams.build`` gives."""

    def prepare(self, rgb: np.ndarray, mask: np.ndarray) -> Any:
        """Whatever depends on one crop alone."""

    def compare(self, a: Any, b: Any) -> float:
        """Score of two prepared crops; 0 or more, larger means same animal."""


class PictureParams(Params):
    """What the settings of these methods share."""

    pairs_per_block: int = Field(512, ge=1, description="pairs that a worker does in one go and keeps together")
    crops_held: int = Field(2048, ge=2, description="prepared crops that a worker keeps in memory")

    @abstractmethod
    def build(self, weights: WeightStore, device: str) -> PictureComparer:
        """The comparer on its device."""


@dataclass(frozen=True)
class PairsBlock:
    """Pairs for a worker, which leaves one part file behind."""

    workspace: Workspace
    folder: Path
    params: PictureParams
    weights: WeightStore
    device: str
    pairs: tuple[tuple[Pair, Pair], ...]


@dataclass(frozen=True)
class PictureMethod(Method):
    """A comparer of pictures."""

    params: PictureParams

    def describe(self, trial: Trial) -> Any:
        return [
            type(self.params).__name__,
            self.params.model_dump(mode="json", exclude={"pairs_per_block", "crops_held"}),
            self.params.revision,
        ]

    def weight_names(self) -> list[str]:
        return self.params.weight_names()

    def run(self, trial: Trial) -> MethodScores:
        planned = trial.planned(trial.usable)
        values = self._values(trial, planned)
        by_pair = {pair: values[ordered(*pair)] for pair in planned_pairs(planned) if ordered(*pair) in values}
        return MethodScores(trial.usable, scores_of(planned, by_pair), self._timing(trial, planned))

    def _values(self, trial: Trial, planned: pa.Table) -> dict[Pair, float]:
        """By pair, smaller id first; only what no part holds is compared."""
        env, digests = trial.env, sorted(self.digests(trial).values())
        folder = env.workspace.stage_dir(STAGE, fingerprint(self.describe(trial), digests, env.device))
        kept, wanted = _read(folder), {ordered(*pair) for pair in planned_pairs(planned)}
        todo = in_tiles(wanted - kept.keys(), self.params.crops_held // 2)
        size = self.params.pairs_per_block
        named = [((a, trial.paths[a]), (b, trial.paths[b])) for a, b in todo]
        blocks = [
            PairsBlock(env.workspace, folder, self.params, env.weights, env.device, tuple(named[i : i + size]))
            for i in range(0, len(named), size)
        ]
        _, failures = env.runner.run(
            self.name, compare_block, blocks, size=lambda b: len(b.pairs), unit="pairs", gpu=True
        )  # fmt: skip
        if failures:
            raise BrokenCountError(
                f"{sum(len(f.block.pairs) for f in failures)} of {len(wanted)} pairs failed ({failures[0].reason}); "
                "run the same command again, only they are tried once more."
            )
        return _read(folder) if todo else kept

    def _timing(self, trial: Trial, planned: pa.Table) -> Timing | None:
        galleries = trial.galleries(planned)
        comparer = self.params.build(trial.env.weights, trial.env.device)

        def prepare(crop_id: str) -> Any:
            return comparer.prepare(*trial.read(crop_id))

        def gallery(query: str) -> list[Any]:
            return [prepare(crop_id) for crop_id in galleries[query]]

        def compare(query: Any, crops: Sequence[Any]) -> None:
            for crop in crops:
                comparer.compare(query, crop)

        return take_time(galleries, trial.n_comparable(galleries), trial.env.device, prepare, gallery, compare)


def compare_block(block: PairsBlock) -> float:
    """Compare the pairs of ``block``, write their scores, give the seconds back."""
    start = time.perf_counter()
    comparer = _built(block.params, block.weights, block.device)
    prepared = _prepared(block.workspace, block.params, block.weights, block.device)
    single_thread()
    rows = [
        {"crop_id_a": a, "crop_id_b": b, "score": comparer.compare(prepared(path_a), prepared(path_b))}
        for (a, path_a), (b, path_b) in block.pairs
    ]
    name = digest_ids(f"{r['crop_id_a']} {r['crop_id_b']}" for r in rows)
    write_part(block.folder, name, pa.Table.from_pylist(rows, schema=PAIR_SCHEMA))
    return time.perf_counter() - start


def ordered(a: str, b: str) -> Pair:
    """A pair has no direction: smaller crop id first, as in stage ``match``."""
    return (a, b) if a <= b else (b, a)


@lru_cache(maxsize=1)
def _built(params: PictureParams, weights: WeightStore, device: str) -> PictureComparer:
    return params.build(weights, device)


@lru_cache(maxsize=1)
def _prepared(
    workspace: Workspace, params: PictureParams, weights: WeightStore, device: str
) -> Callable[[str], Any]:  # fmt: skip
    """From a crop's path to what the comparer made of it; the last ones are kept from block to block."""
    comparer = _built(params, weights, device)
    return lru_cache(maxsize=params.crops_held)(lambda path: comparer.prepare(*read_crop(workspace, path)))


def in_tiles(pairs: Collection[Pair], crops: int) -> list[Pair]:
    """Pairs in an order in which ``crops`` crops of either side come together before others are needed."""
    place = {c: i // crops for i, c in enumerate(sorted({c for pair in pairs for c in pair}))}
    return sorted(pairs, key=lambda pair: (place[pair[0]], place[pair[1]], pair))


def _read(folder: Path) -> dict[Pair, float]:
    a, b, scores = (column.to_pylist() for column in read_parts(folder, PAIR_SCHEMA).select(PAIR_SCHEMA.names).columns)
    return dict(zip(zip(a, b, strict=True), scores, strict=True))
