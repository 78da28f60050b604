"""Views on disk and in memory: extracted once, drawn from for as long as the training runs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from resight.store.parts import write_bytes
from resight.train.matcher.truth import Placed
from resight.train.matcher.views import View2D

log = logging.getLogger("resight")
VIEWS_PER_SHARD = 256
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
        p = self.placed
        return Placed(*(t[view, :n] for t in (p.place, p.px_per_unit, p.sigma_px, p.angle_rad, p.known)))


def fill(folder: Path, groups: Sequence[tuple[str, int, Iterable[View2D]]], max_keypoints: int) -> None:
    """Write shards that are not there yet; a killed filling goes on where it was, shard by shard.

    Args:
        folder: Of the bank.
        groups: Name, number of views in all (for the time left), and the views; a group that is whole is not looked at.
        max_keypoints: K.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, total, views in groups:
        if (folder / f"{name}.done").exists():
            continue
        began, done = time.monotonic(), 0
        for number, some in enumerate(_chunks(views)):
            write_bytes(folder / f"{name}-{number:04d}.safetensors", _shard(some, max_keypoints))
            done += len(some)
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
    whole = {key: np.concatenate(parts) for key, parts in arrays.items()}
    placed = Placed(*(whole[key] for key in ("place", "px_per_unit", "sigma_px", "angle_rad", "known")))
    words_by_tag = {tag: np.array(values) for tag, values in tags.items()}
    return Bank(whole["descriptors"], whole["positions"], placed, whole["counts"], words_by_tag)


def _chunks(views: Iterable[View2D]) -> Iterator[list[View2D]]:
    some: list[View2D] = []
    for view in views:
        if len(view.placed) < 16:
            continue
        some.append(view)
        if len(some) == VIEWS_PER_SHARD:
            yield some
            some = []
    if some:
        yield some


def _shard(views: Sequence[View2D], k: int) -> bytes:
    def stack(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.stack([np.pad(a[:k], [(0, k - min(k, len(a)))] + [(0, 0)] * (a.ndim - 1)) for a in arrays])

    arrays = {
        "descriptors": stack(v.descriptors for v in views),
        "positions": stack(v.positions for v in views),
        "place": stack(v.placed.place for v in views),
        "px_per_unit": stack(v.placed.px_per_unit for v in views),
        "sigma_px": stack(v.placed.sigma_px for v in views),
        "angle_rad": stack(v.placed.angle_rad for v in views),
        "known": stack(v.placed.known for v in views),
        "counts": np.array([min(k, len(v.placed)) for v in views], np.int64),
    }
    return save(arrays, {"tags": json.dumps({tag: [getattr(v, tag) for v in views] for tag in TAGS})})
