"""What happens to a batch of features that does not hold what was written into it.

The digests of every shard stand in the batch's completion mark; the first time that a process reads a shard it compares
them, so that neither a flipped bit nor a chunk that is gone (which Zarr reads as zeros) becomes somebody's features. A
damaged shard takes the completion mark with it, and its batch is then finished like one that a killed run left: what is
whole stays, the rest is computed again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import DamagedError
from resight.extract import store
from resight.extract.marks import AGAIN, mark_path
from resight.extract.opened import Group
from resight.store.damage import set_aside
from resight.store.parts import write_bytes
from resight.store.sealed import DIFFERS

# What chunks and descriptions raise that cannot be decoded.
UNREADABLE = (ValueError, RuntimeError, LookupError, TypeError, AttributeError, OverflowError)

_seen: set[tuple[str, int, int]] = set()  # (group, time of its mark, first row) of the shards that were compared


def open_whole(folder: Path) -> Group:
    """`store.open_complete`; a batch whose description is damaged is set aside.

    Raises:
        DamagedError: It is missing, not whole or damaged; the same command computes what is not there.
        WorkspaceError: A newer version wrote it.
    """
    try:
        return store.open_complete(folder)
    except DamagedError as damage:
        if folder.exists() and damage.why != store.NOT_WHOLE:
            set_aside(DamagedError(folder, damage.why), AGAIN)
        raise


def read_shard(
    folder: Path, group: Group, start: int, stop: int, names: Sequence[str] = tuple(store.ABOUT)
) -> dict[str, np.ndarray]:
    """The arrays ``names`` of one shard, as they were written.

    Raises:
        DamagedError: They are not. The shard has then been set aside and its batch waits to be finished.
    """
    arrays, damaged = look_at_shard(folder, group, start, stop, names)
    if damaged:
        raise _reopened(folder, start, stop, damaged)
    return arrays


def read_rows(folder: Path, group: Group, start: int, stop: int, rows: Sequence[int]) -> dict[str, np.ndarray] | None:
    """All arrays of some rows of one shard, as they were written; None where only the whole shard can tell whether they are.

    Args:
        folder, group, start, stop: As of `read_shard`.
        rows: Of the batch, in this shard.
    """
    try:
        mark = (folder / store.COMPLETE).stat().st_mtime_ns
        said = _shards(folder, mark).get((start, stop), {}).get(store.ROW_DIGESTS, "")
        arrays = group.some(start, rows)
    except (FileNotFoundError, *UNREADABLE):
        return None
    if not said:  # written before rows had digests, or by nobody
        return arrays if (str(folder), mark, start) in _seen and store.is_complete(folder) else None
    at = (store.ROW_DIGITS * (row - start) for row in rows)
    if store.row_digests(arrays) == [said[place : place + store.ROW_DIGITS] for place in at]:
        return arrays
    _seen.discard((str(folder), mark, start))  # it was whole when it was compared, and is not any more
    return None


def look_at_shard(
    folder: Path, group: Group, start: int, stop: int, names: Sequence[str] = tuple(store.ABOUT)
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays ``names`` of one shard, and what is wrong with which of them.

    Raises:
        DamagedError: The batch is not whole.
    """
    try:
        mark = (folder / store.COMPLETE).stat().st_mtime_ns
        told = _shards(folder, mark) if (str(folder), mark, start) not in _seen else {}
    except FileNotFoundError:
        raise DamagedError(folder, store.NOT_WHOLE) from None
    # A shard without digests was written by nobody: its crops have failed, and no table names its rows.
    digests = told.get((start, stop), {}).get("sha256", {})
    arrays: dict[str, np.ndarray] = {}
    damaged: dict[str, str] = {}
    for name in names:
        try:
            arrays |= group.rows(start, stop, [name])
            if digests and store.digest(arrays[name]) != digests[name]:
                damaged[name] = DIFFERS
        except UNREADABLE as error:
            damaged[name] = f"{type(error).__name__}: {error}"[:200]
    if not store.is_complete(folder):  # it went while it was read, and what is gone reads as zeros
        raise DamagedError(folder, store.NOT_WHOLE)
    if not damaged and len(arrays) == len(store.ABOUT):
        _seen.add((str(folder), mark, start))
    return arrays, damaged


@lru_cache(maxsize=64)
def _shards(folder: Path, _mark_ns: int) -> Mapping[tuple[int, int], dict[str, Any]]:
    """The mark of every shard, by its first row and the one after its last; read once, not once per shard."""
    return {(shard["rows"][0], shard["rows"][1]): shard for shard in store.completion(folder)["shards"]}


def forget() -> None:
    """Compare shards again that were compared before."""
    _seen.clear()
    _shards.cache_clear()


def keypoint_counts(folder: Path) -> list[int]:
    """Keypoints of every row.

    Raises:
        DamagedError: As `read_shard`.
    """
    group = open_whole(folder)
    shards = store.layout_of(group).shards()
    return [
        n
        for start, stop in shards
        for n in read_shard(folder, group, start, stop, ["n_keypoints"])["n_keypoints"].tolist()
    ]


def _reopened(folder: Path, start: int, stop: int, damaged: Mapping[str, str]) -> DamagedError:
    """Take the completion mark from a batch and set the chunks of one shard aside; gives what is to be raised."""
    error = DamagedError(folder, f"rows {start} to {stop}: " + ", ".join(f"{n}: {why}" for n, why in damaged.items()))
    try:
        _write_marks(folder, store.completion(folder), start)
        (folder / store.COMPLETE).unlink()
    except FileNotFoundError:  # another worker was sooner
        return error
    for name, why in damaged.items():
        set_aside(DamagedError(store.chunk_path(folder, name, start), why), AGAIN)
    return error


def _write_marks(folder: Path, said: Mapping[str, Any], without: int) -> None:
    """The marks of the shards that are whole, as they were before the batch was complete."""
    ids = store.crop_ids_of(folder)
    for shard in said["shards"]:
        start, stop = shard["rows"]
        if start != without:
            failed = {key: reason for key, reason in said["failed"].items() if key in set(ids[start:stop])}
            write_bytes(mark_path(folder, start), json.dumps({**shard, "failed": failed}).encode())
