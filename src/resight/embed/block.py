"""Some crops, embedded on a worker: crops in, one part file out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from resight.embed.vectors import PARTS, SCHEMA
from resight.errors import one_line
from resight.runner.threads import one_thread
from resight.segment.store import read_crop
from resight.status import Viewpoint
from resight.store.fingerprint import digest_ids
from resight.store.parts import write_part
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

if TYPE_CHECKING:  # imported where it is used: a night in which nothing is new needs no torch
    from torch import Tensor

    from resight.embed.network import EmbeddingNet

log = logging.getLogger("resight")
AT_ONCE = 4  # more take as long for each on one core, and leave more over
_same_together: WeakKeyDictionary[EmbeddingNet, bool] = WeakKeyDictionary()  # what was found for a network


@dataclass(frozen=True)
class EmbedBlock:
    """Crops that become one part, and all that a worker needs to know for it; small and picklable.

    Attributes:
        workspace: Where the crops lie.
        folder: Of the vectors.
        crops: ``(crop_id, path, ways)``; see `vectors.ways`.
        weights: Name or path of the network's weights.
        store: Where they are found.
        device: Where the network runs.
    """

    workspace: Workspace
    folder: Path
    crops: tuple[tuple[str, str, tuple[bool, ...]], ...]
    weights: str
    store: WeightStore
    device: str

    def __len__(self) -> int:
        return len(self.crops)


def embed_block(block: EmbedBlock) -> dict[str, str]:
    """Embed all crops of a block and write its part. A crop that cannot be read is left out.

    Returns:
        Reason by crop_id of those that failed.

    Raises:
        ResightError: The network cannot be loaded.
    """
    failed: dict[str, str] = {}
    rows: list[tuple[str, bool]] = []
    pictures: list[np.ndarray] = []
    net, side_px = loaded(block.weights, block.store, block.device)
    with one_thread():
        for crop_id, path, ways in block.crops:
            try:
                rgb, _ = read_crop(block.workspace, path)
                made = [picture_of(rgb, way, side_px) for way in ways]
            except Exception as error:  # one bad crop must not take the others of its block with it
                log.debug("crop %s failed", crop_id, exc_info=True)
                failed[crop_id] = one_line(error)
            else:
                rows += [(crop_id, way) for way in ways]
                pictures += made
        try:
            vectors = vectors_of(pictures, net, block.device)
        except Exception:  # whichever crop it was; the others get theirs
            rows, vectors = _crop_by_crop(rows, pictures, net, block.device, failed)
    if rows:
        ids, mirrored = zip(*rows, strict=True)
        table = pa.table([pa.array(ids), pa.array(mirrored), pa.array(vectors, SCHEMA.types[2])], schema=SCHEMA)
        write_part(block.folder / PARTS, digest_ids([f"{c} {way}" for c, way in rows]), table)
    return failed


def _crop_by_crop(
    rows: Sequence[tuple[str, bool]],
    pictures: Sequence[np.ndarray],
    net: EmbeddingNet,
    device: str,
    failed: dict[str, str],
) -> tuple[list[tuple[str, bool]], list[np.ndarray]]:
    """The rows of the crops that the network takes, with their vectors; the reasons of the others go into ``failed``."""
    done: list[tuple[str, bool]] = []
    vectors: list[np.ndarray] = []
    for crop_id, of_crop in groupby(zip(rows, pictures, strict=True), key=lambda one: one[0][0]):
        mine, shown = zip(*of_crop, strict=True)
        try:
            vectors += vectors_of(shown, net, device)
        except Exception as error:
            log.debug("crop %s failed", crop_id, exc_info=True)
            failed[crop_id] = one_line(error)
        else:
            done += mine
    return done, vectors


def picture_of(rgb: np.ndarray, mirrored: bool, side_px: int) -> np.ndarray:
    """(side_px, side_px, 3) uint8 of a crop (H, W, 3) uint8."""
    from resight.embed.picture import squashed

    return squashed(rgb, Viewpoint.RIGHT if mirrored else Viewpoint.LEFT, side_px)


def vectors_of(pictures: Sequence[np.ndarray], net: EmbeddingNet, device: str) -> list[np.ndarray]:
    """(D,) float16 of each picture (S, S, 3) uint8, to the last bit what it gets alone, whoever is beside it.

    Several go through the network together, in less time, where that changes nothing: on a CPU, once the outermost of the first ones have
    got the same vectors together as each alone. What is left over goes alone.
    """
    from torch import equal

    out: list[Tensor] = []
    for first in range(0, len(pictures), AT_ONCE):
        some = pictures[first : first + AT_ONCE]
        if device != "cpu" or len(some) < AT_ONCE or _same_together.get(net) is False:
            out += _each_alone(some, net, device)
        elif net in _same_together:
            out += _together(some, net, device)
        else:
            together, outermost = _together(some, net, device), (0, AT_ONCE - 1)
            # In single precision: rounded to half, hardly any difference of last bits would show.
            alone = _each_alone([some[k] for k in outermost], net, device)
            _same_together[net] = all(equal(together[k], one) for k, one in zip(outermost, alone, strict=True))
            out += together if _same_together[net] else _each_alone(some, net, device)
    return [vector.half().cpu().numpy() for vector in out]


def _each_alone(pictures: Sequence[np.ndarray], net: EmbeddingNet, device: str) -> list[Tensor]:
    return [vector for picture in pictures for vector in _together([picture], net, device)]


def _together(pictures: Sequence[np.ndarray], net: EmbeddingNet, device: str) -> list[Tensor]:
    """(D,) float32 of each. The linear layer sees one at a time in any case: its sums depend in the last bits on how many rows it is given."""
    import torch

    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 255
        features = net.features(batch)
        return [net.on_sphere(row.clone())[0] for row in features.split(1)]


@lru_cache(maxsize=2)
def loaded(weights: str, store: WeightStore, device: str) -> tuple[EmbeddingNet, int]:
    """The network and the side of its pictures; loaded once per worker, not once per block."""
    from resight.embed.weights import load_net

    return load_net(store.find(weights).path, device)
