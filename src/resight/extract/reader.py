"""Reading features back, a shard at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np

from resight.errors import DamagedError
from resight.extract.base import Features
from resight.extract.damage import open_whole, read_rows, read_shard
from resight.extract.opened import Group
from resight.extract.places import elsewhere
from resight.extract.store import layout_of, unpack
from resight.store.workspace import Workspace

T = TypeVar("T")
ROWS_WORTH_A_SHARD = 4  # a quarter of a shard's rows, one by one, cost about half of the shard
SHARDS_REMEMBERED = 8


class FeatureReader:
    """Loads rows of feature stores and keeps the shards it read last; what is kept does not travel when it is pickled.

    A shard of which several rows are wanted is read at once: on disk its rows lie together. Work through rows in order of (store, row) where
    you can. Of one that is asked for a single row nothing else is read: in a large gallery candidates lie in as many shards as there are.
    The arrays are shared between callers and cannot be written to.

    Examples:
        >>> run = resight.open_run("my season")
        >>> rows = [row for row in run.table("features").to_pylist() if row["status"] == "ok"]
        >>> features = resight.FeatureReader(run.workspace).load(rows[0]["store"], rows[0]["store_row"])
        >>> len(features) == rows[0]["n_keypoints"]
        True
    """

    def __init__(self, workspace: Workspace, shards_held: int = 8) -> None:
        self.workspace, self.shards_held = workspace, shards_held
        self._asked: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._groups: dict[str, tuple[Group, int, int]] = {}
        self._descriptors: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}
        self._shards: OrderedDict[tuple[str, int], tuple[Features, ...]] = OrderedDict()

    def load(self, store: str, row: int) -> Features:
        """Features of one crop by the columns ``store`` and ``store_row`` of the table ``features``.

        Raises:
            DamagedError: The store is missing, not whole, or holds something else than was written; the same command heals it.
            WorkspaceError: It is newer than this program.
            IndexError: It has no such row.
        """
        return self._found(self._load, store, row)

    def descriptors(self, store: str, row: int) -> np.ndarray:
        """Descriptors (N, D) of one crop, strongest first; nothing else of its shard is read. Errors as of `load`."""
        return self._found(self._descriptors_of, store, row)

    def _found(self, read: Callable[[str, int], T], store: str, row: int) -> T:
        """What is read, from where the crop lies now if its batch is gone: earlier runs name batches that are put together since."""
        try:
            return read(store, row)
        except DamagedError:
            self._groups.pop(store, None)
            place = elsewhere(self.workspace.root, store, row)
            if place is None:
                raise
            return read(*place)

    def _load(self, store: str, row: int) -> Features:
        _, shard_rows, n_rows = self._group(store)
        key = store, row // shard_rows
        if key not in self._shards and 0 <= row < n_rows:
            asked = self._asked.pop(key, 0) + 1
            alone = self._alone(*key, [row]) if asked * ROWS_WORTH_A_SHARD < shard_rows else None
            if alone is not None:
                self._asked[key] = asked
                while len(self._asked) > SHARDS_REMEMBERED:
                    self._asked.popitem(last=False)
                return alone[0]
        return self._in_shard(store, row)

    def _in_shard(self, store: str, row: int) -> Features:
        _, shard_rows, n_rows = self._group(store)
        if not 0 <= row < n_rows:
            raise IndexError(f"{store} has {n_rows} rows, there is no row {row}")
        return self._shard(store, row // shard_rows)[row % shard_rows]

    def _alone(self, store: str, index: int, rows: Sequence[int]) -> tuple[Features, ...] | None:
        """These rows of one shard, without the others; None where that is not possible."""
        group, shard_rows, n_rows = self._group(store)
        start = index * shard_rows
        stop = min(start + shard_rows, n_rows)
        arrays = read_rows(self.workspace.root / store, group, start, stop, rows)
        if arrays is None:
            return None
        found = unpack(arrays)
        _freeze(found)
        return found

    def _descriptors_of(self, store: str, row: int) -> np.ndarray:
        group, shard_rows, n_rows = self._group(store)
        if not 0 <= row < n_rows:
            raise IndexError(f"{store} has {n_rows} rows, there is no row {row}")
        start = row - row % shard_rows
        if (store, start) not in self._descriptors:
            stop = min(start + shard_rows, n_rows)
            arrays = read_shard(self.workspace.root / store, group, start, stop, ["descriptors", "n_keypoints"])
            self._descriptors = {(store, start): (arrays["descriptors"], arrays["n_keypoints"])}
        descriptors, counts = self._descriptors[store, start]
        values: np.ndarray = descriptors[row - start, : counts[row - start]]
        return values

    def load_many(self, places: Iterable[tuple[str, int]]) -> list[Features]:
        """As `load` for many ``(store, row)``; every shard is read once, results come in the order asked for."""
        wanted = list(places)
        loaded = dict(self.each(wanted))
        return [loaded[place] for place in wanted]

    def each(self, places: Iterable[tuple[str, int]]) -> Iterator[tuple[tuple[str, int], Features]]:
        """As `load` for many ``(store, row)``, each once and in order; every shard is read once, and of one with few of them these rows alone."""
        for store, of_store in groupby(sorted(set(places)), key=itemgetter(0)):
            rows = [row for _, row in of_store]
            try:
                _, shard_rows, n_rows = self._group(store)
            except DamagedError:  # its rows may lie elsewhere
                shard_rows, n_rows = 1, 0
            for index, of_shard in groupby(rows, key=lambda row: row // shard_rows):
                together, alone = list(of_shard), None
                few = len(together) * ROWS_WORTH_A_SHARD < shard_rows and (store, index) not in self._shards
                if few and together[0] >= 0 and together[-1] < n_rows:
                    alone = self._alone(store, index, together)
                for number, row in enumerate(together):
                    yield (store, row), alone[number] if alone else self._found(self._in_shard, store, row)

    def _group(self, store: str) -> tuple[Group, int, int]:
        if store not in self._groups:
            group = open_whole(self.workspace.root / store)
            layout = layout_of(group)
            self._groups[store] = group, layout.shard_rows, layout.n_rows
        return self._groups[store]

    def _shard(self, store: str, index: int) -> tuple[Features, ...]:
        key = store, index
        if key not in self._shards:
            group, shard_rows, n_rows = self._group(store)
            start = index * shard_rows
            stop = min(start + shard_rows, n_rows)
            self._shards[key] = unpack(read_shard(self.workspace.root / store, group, start, stop))
            _freeze(self._shards[key])
        self._shards.move_to_end(key)
        while len(self._shards) > max(1, self.shards_held):
            self._shards.popitem(last=False)
        return self._shards[key]

    def __getstate__(self) -> dict[str, Any]:
        return {"workspace": self.workspace, "shards_held": self.shards_held}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _freeze(rows: tuple[Features, ...]) -> None:
    for features in rows:
        for array in (features.xy_px, features.descriptors, features.scale_px, features.angle_rad, features.score):
            array.setflags(write=False)
