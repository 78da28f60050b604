"""Methods that look at two crops together: every pair is compared once and kept."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from pydantic import Field

from resight.compare.base import Method, Scored, Timing, Trial, scores_of
from resight.compare.local import n_comparable
from resight.compare.timing import take_time
from resight.errors import BrokenCountError
from resight.match.blocks import single_thread
from resight.pairs.plan import PLANNED
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

    def run(self, trial: Trial) -> Scored:
        planned = trial.planned(trial.usable)
        values = self._values(trial, planned)
        ids = zip(planned["query_crop_id"].to_pylist(), planned["gallery_crop_id"].to_pylist(), strict=True)
        by_pair = {(q, g): values[ordered(q, g)] for q, g in ids if ordered(q, g) in values}
        return Scored(trial.usable, scores_of(planned, by_pair), self._timing(trial, planned))

    def _values(self, trial: Trial, planned: pa.Table) -> dict[Pair, float]:
        """By pair, smaller id first; only what no part holds is compared."""
        digests = sorted(self.digests(trial).values())
        name = fingerprint(self.describe(trial), digests, trial.env.device)
        folder = trial.env.workspace.stage_dir(STAGE, name)
        known, wanted = _read(folder), _wanted(planned)
        todo = in_tiles(wanted - known.keys(), self.params.crops_held // 2)
        size = self.params.pairs_per_block
        named = [((a, trial.paths[a]), (b, trial.paths[b])) for a, b in todo]
        blocks = [
            PairsBlock(
                trial.env.workspace,
                folder,
                self.params,
                trial.env.weights,
                trial.env.device,
                tuple(named[i : i + size]),
            )
            for i in range(0, len(named), size)
        ]
        _, failures = trial.env.runner.run(
            self.name, compare_block, blocks, size=lambda b: len(b.pairs), unit="pairs", gpu=True
        )  # fmt: skip
        if failures:
            raise BrokenCountError(
                f"{sum(len(f.block.pairs) for f in failures)} of {len(wanted)} pairs failed ({failures[0].reason}); "
                "run the same command again, only they are tried once more."
            )
        return _read(folder) if todo else known

    def _timing(self, trial: Trial, planned: pa.Table) -> Timing | None:
        galleries = trial.galleries(planned)
        comparer = self.params.build(trial.env.weights, trial.env.device)

        def one(crop_id: str) -> Any:
            return comparer.prepare(*read_crop(trial.env.workspace, trial.paths[crop_id]))

        def gallery(query: str) -> list[Any]:
            return [one(g) for g in galleries[query]]

        def compare(asked: Any, known: Sequence[Any]) -> None:
            for other in known:
                comparer.compare(asked, other)

        return take_time(galleries, n_comparable(trial, galleries), trial.env.device, one, gallery, compare)


def compare_block(block: PairsBlock) -> float:
    """Compare the pairs of ``block``, write their scores, give the seconds back."""
    single_thread()
    start = time.perf_counter()
    comparer = _built(block.params, block.weights, block.device)
    prepared = _prepared(block.workspace, block.params, block.weights, block.device)
    rows = [
        {"crop_id_a": a, "crop_id_b": b, "score": comparer.compare(prepared(path_a), prepared(path_b))}
        for (a, path_a), (b, path_b) in block.pairs
    ]
    name = digest_ids(f"{r['crop_id_a']} {r['crop_id_b']}" for r in rows)
    write_part(block.folder, name, pa.Table.from_pylist(rows, schema=PAIR_SCHEMA))
    return time.perf_counter() - start


def ordered(one: str, other: str) -> Pair:
    """A pair has no direction: smaller crop id first, as in stage ``match``."""
    return (one, other) if one <= other else (other, one)


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


def _wanted(planned: pa.Table) -> set[Pair]:
    ids = [planned[c].to_pylist() for c in ("query_crop_id", "gallery_crop_id", "status")]
    return {ordered(q, g) for q, g, status in zip(*ids, strict=True) if status == PLANNED}


def _read(folder: Path) -> dict[Pair, float]:
    found: Mapping[str, list[Any]] = read_parts(folder, PAIR_SCHEMA).to_pydict()
    return dict(zip(zip(found["crop_id_a"], found["crop_id_b"], strict=True), found["score"], strict=True))
