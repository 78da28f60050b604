"""Some crops, embedded on a worker: crops in, one part file out."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

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
    from resight.embed.network import EmbeddingNet

log = logging.getLogger("resight")


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

    Each picture goes through the network alone: its vector does not depend on who is in the block with it.

    Returns:
        Reason by crop_id of those that failed.

    Raises:
        ResightError: The network cannot be loaded.
    """
    failed: dict[str, str] = {}
    rows: list[tuple[str, bool, np.ndarray]] = []
    net, side_px = loaded(block.weights, block.store, block.device)
    with one_thread():
        for crop_id, path, ways in block.crops:
            try:
                rgb, _ = read_crop(block.workspace, path)
                made = [(crop_id, way, vector_of(rgb, way, net, side_px, block.device)) for way in ways]
            except Exception as error:  # one bad crop must not take the others of its block with it
                log.debug("crop %s failed", crop_id, exc_info=True)
                failed[crop_id] = one_line(error)
            else:
                rows += made
    if rows:
        ids, mirrored, vectors = zip(*rows, strict=True)
        table = pa.table([pa.array(ids), pa.array(mirrored), pa.array(list(vectors), SCHEMA.types[2])], schema=SCHEMA)
        write_part(block.folder / PARTS, digest_ids([f"{c} {way}" for c, way, _ in rows]), table)
    return failed


def vector_of(rgb: np.ndarray, mirrored: bool, net: EmbeddingNet, side_px: int, device: str) -> np.ndarray:
    """(D,) float16 of a crop (H, W, 3) uint8."""
    import torch

    from resight.embed.picture import squashed

    picture = squashed(rgb, Viewpoint.RIGHT if mirrored else Viewpoint.LEFT, side_px)
    with torch.inference_mode():
        batch = torch.from_numpy(picture[None]).to(device).permute(0, 3, 1, 2).float() / 255
        vector: np.ndarray = net(batch)[0].half().cpu().numpy()
    return vector


@lru_cache(maxsize=2)
def loaded(weights: str, store: WeightStore, device: str) -> tuple[EmbeddingNet, int]:
    """The network and the side of its pictures; loaded once per worker, not once per block."""
    from resight.embed.weights import load_net

    return load_net(store.find(weights).path, device)
