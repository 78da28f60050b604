"""Going through the descriptors of many crops: in memory, or on the workers in the order in which they lie in their stores.

A crop's id is a digest, so crops in the order of their ids lie in as many shards as there are crops. Whoever needs the
descriptors of a whole gallery says what is to be done with each crop, and every shard is then read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from resight.errors import ResightError
from resight.extract.block import one_thread
from resight.extract.reader import FeatureReader
from resight.extract.store import SHARD_ROWS
from resight.runner.progress import counted
from resight.runner.runner import Runner
from resight.store.workspace import Workspace

Place = tuple[str, int]
Crops = Iterable[tuple[str, np.ndarray]]
Visit = Callable[[Crops, Any], Any]
LABEL = "index"
WORTH_WORKERS = 8  # blocks; for fewer none are started, which takes longer than the blocks


class Descriptors(Protocol):
    """The descriptors (N, D) of crops, strongest first."""

    def lengths(self, crop_ids: Sequence[str]) -> np.ndarray:
        """(C,) int64, how many descriptors each crop has."""
        ...

    def in_parts(self, crop_ids: Sequence[str], n: int) -> list[list[str]]:
        """The crops in parts of about ``n`` that lie together."""
        ...

    def visit(self, crop_ids: Sequence[str], function: Visit, how: Any) -> list[Any]:
        """Results of ``function(crops, how)`` for parts of the crops, each of which is in one part; the parts do not depend on who works.

        Args:
            crop_ids: Which, each once.
            function: On module level. Gets ``(crop id, descriptors)`` one after the other.
            how: Small and picklable.
        """
        ...

    def spread(self, function: Callable[[Any], Any], blocks: Sequence[Any], unit: str) -> list[Any]:
        """Results of ``function`` (module level) for every block, in their order; ``len(block)`` units each."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Descriptors that a function gives, worked through in this process."""

    load: Callable[[str], np.ndarray]

    def lengths(self, crop_ids: Sequence[str]) -> np.ndarray:
        """See `Descriptors`."""
        return np.array([len(self.load(crop_id)) for crop_id in crop_ids], np.int64)

    def in_parts(self, crop_ids: Sequence[str], n: int) -> list[list[str]]:
        """See `Descriptors`."""
        ids = sorted(crop_ids)
        return [ids[first : first + n] for first in range(0, len(ids), n)]

    def visit(self, crop_ids: Sequence[str], function: Visit, how: Any) -> list[Any]:
        """See `Descriptors`."""
        with one_thread():
            return [function(((crop_id, self.load(crop_id)) for crop_id in sorted(crop_ids)), how)] if crop_ids else []

    def spread(self, function: Callable[[Any], Any], blocks: Sequence[Any], unit: str) -> list[Any]:
        """See `Descriptors`."""
        return [function(block) for block in blocks]


@dataclass(frozen=True)
class Stored:
    """Descriptors in the feature stores, worked through on the workers, a shard at a time.

    Attributes:
        runner: Its workers, and the progress.
        workspace: Where the stores are.
        places: Store and row of each crop.
        counts: Keypoints of each crop.
    """

    runner: Runner
    workspace: Workspace
    places: Mapping[str, Place]
    counts: Mapping[str, int]

    @staticmethod
    def of(runner: Runner, workspace: Workspace, features: pa.Table) -> Stored:
        """Of the crops of a table ``features`` that have keypoints."""
        columns = (features[name].to_pylist() for name in ("crop_id", "store", "store_row", "n_keypoints"))
        rows = [row for row in zip(*columns, strict=True) if row[1] is not None and row[3] > 0]
        places = {crop_id: (store, at) for crop_id, store, at, _ in rows}
        return Stored(runner, workspace, places, {crop_id: n for crop_id, _, _, n in rows})

    def lengths(self, crop_ids: Sequence[str]) -> np.ndarray:
        """See `Descriptors`."""
        return np.array([self.counts[crop_id] for crop_id in crop_ids], np.int64)

    def in_parts(self, crop_ids: Sequence[str], n: int) -> list[list[str]]:
        """See `Descriptors`; a part ends where a shard ends."""
        return [[crop_id for _, _, crop_id in part] for part in _by_shard(self._placed(crop_ids), n)]

    def visit(self, crop_ids: Sequence[str], function: Visit, how: Any) -> list[Any]:
        """See `Descriptors`."""
        parts = _by_shard(self._placed(crop_ids), SHARD_ROWS)
        blocks = [VisitBlock(self.workspace, tuple(part), function, how) for part in parts]
        return self.spread(visit_block, blocks, "crops")

    def spread(self, function: Callable[[Any], Any], blocks: Sequence[Any], unit: str) -> list[Any]:
        """See `Descriptors`.

        Raises:
            ResightError: A block did not come back.
        """
        if len(blocks) < WORTH_WORKERS and not self.runner.started:
            return [function(block) for block in counted(blocks, LABEL, "parts")]
        done, failed = self.runner.run(LABEL, function, blocks, size=len, unit=unit)
        if failed:
            raise ResightError(
                f"{len(failed)} of {len(blocks)} blocks of the shortlist's index failed (first: {failed[0].reason}); "
                "run the same command again, it goes on from what is there."
            )
        return [result for _, result in done]

    def _placed(self, crop_ids: Sequence[str]) -> list[tuple[str, int, str]]:
        return sorted((*self.places[crop_id], crop_id) for crop_id in crop_ids)


@dataclass(frozen=True)
class VisitBlock:
    """Crops that lie together, ``(store, row, crop id)``, and what is done with them."""

    workspace: Workspace
    crops: tuple[tuple[str, int, str], ...]
    function: Visit
    how: Any

    def __len__(self) -> int:
        return len(self.crops)


def visit_block(block: VisitBlock) -> Any:
    """Do it."""
    reader = FeatureReader(block.workspace)
    crops = ((crop_id, reader.descriptors(store, row)) for store, row, crop_id in block.crops)
    with one_thread():
        return block.function(crops, block.how)


def _by_shard(placed: Sequence[tuple[str, int, str]], n: int) -> list[list[tuple[str, int, str]]]:
    """Cut where a shard ends, as soon as a part has ``n`` crops."""
    parts: list[list[tuple[str, int, str]]] = []
    last = ("", -1)
    for store, row, crop_id in placed:
        shard = store, row // SHARD_ROWS
        if not parts or (shard != last and len(parts[-1]) >= n):
            parts.append([])
        parts[-1].append((store, row, crop_id))
        last = shard
    return parts
