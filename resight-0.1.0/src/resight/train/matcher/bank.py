"""Views on disk and in memory: extracted once, and drawn from during the whole training."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from resight.store.parts import write_bytes
from resight.train.matcher.truth import Placed
from resight.train.matcher.views import View2D

log = logging.getLogger("resight")
VIEWS_PER_SHARD, MIN_KEYPOINTS = 256, 16
PLACED = ("place", "px_per_unit", "sigma_px", "angle_rad", "known")
TAGS = ("space", "animal", "encounter", "side", "kind")


@dataclass(frozen=True)
class Bank:
    """V views of at most K keypoints, strongest first.

    Attributes:
        descriptors: (V, K, 128) float16.
        positions: (V, K, 4) float32.
        placed: `Placed` with a leading dimension of V.
        counts: (V,) keypoints of each view.
        tags: By name, one word per view: ``space``, ``animal``, ``encounter``, ``side``, ``kind`` as in `View2D`.
    """

    descriptors: np.ndarray
    positions: np.ndarray
    placed: Placed
    counts: np.ndarray
    tags: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.counts)

    def placed_of(self, view: int, n: int) -> Placed:
        """The strongest ``n`` keypoints of a view."""
        n = min(n, int(self.counts[view]))
        return Placed(*(getattr(self.placed, name)[view, :n] for name in PLACED))


def fill(folder: Path, groups: Sequence[tuple[str, int, Iterable[View2D]]], max_keypoints: int) -> None:
    """Write shards that are not there yet; after a kill, only the group under way is written again.

    Args:
        folder: Of the bank.
        groups: Name, number of views (for the estimate of the time left), and the views; a finished group is skipped.
        max_keypoints: K.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, total, views in groups:
        if (folder / f"{name}.done").exists():
            continue
        began, done = time.monotonic(), 0
        for number, chunk in enumerate(_chunks(views)):
            write_bytes(folder / f"{name}-{number:04d}.safetensors", _shard(chunk, max_keypoints))
            done += len(chunk)
            rate = done / (time.monotonic() - began)
            log.info("views %s: %d of %d, %.1f a second, %.0f s left", name, done, total, rate, (total - done) / rate)
        write_bytes(folder / f"{name}.done", b"")


def read_bank(folder: Path) -> Bank:
    """All shards of a folder, in the order of their names."""
    files = sorted(folder.glob("*.safetensors"))
    arrays: dict[str, list[np.ndarray]] = {}
    tags: dict[str, list[str]] = {tag: [] for tag in TAGS}
    for file in files:
        with safe_open(file, "np") as shard:
            for key in shard.keys():  # noqa: SIM118
                arrays.setdefault(key, []).append(shard.get_tensor(key))
            words: dict[str, Any] = json.loads(shard.metadata()["tags"])
        for tag in TAGS:
            tags[tag] += words[tag]
    joined = {key: np.concatenate(parts) for key, parts in arrays.items()}
    placed = Placed(*(joined[key] for key in PLACED))
    words_by_tag = {tag: np.array(values) for tag, values in tags.items()}
    return Bank(joined["descriptors"], joined["positions"], placed, joined["counts"], words_by_tag)


def _chunks(views: Iterable[View2D]) -> Iterator[list[View2D]]:
    usable = (view for view in views if len(view.placed) >= MIN_KEYPOINTS)
    while chunk := list(islice(usable, VIEWS_PER_SHARD)):
        yield chunk


def _shard(views: Sequence[View2D], k: int) -> bytes:
    def stack(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.stack([np.pad(a[:k], [(0, k - min(k, len(a)))] + [(0, 0)] * (a.ndim - 1)) for a in arrays])

    arrays = {name: stack(getattr(v, name) for v in views) for name in ("descriptors", "positions")}
    arrays |= {name: stack(getattr(v.placed, name) for v in views) for name in PLACED}
    arrays["counts"] = np.array([min(k, len(v.placed)) for v in views], np.int64)
    return save(arrays, {"tags": json.dumps({tag: [getattr(v, tag) for v in views] for tag in TAGS})})
