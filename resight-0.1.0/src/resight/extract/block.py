"""A shard of crops, extracted on a worker: crops in, one shard of the store out."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache

from resight.errors import one_line
from resight.extract.base import Extractor, Features
from resight.extract.params import ExtractorBase
from resight.extract.select import nothing
from resight.extract.store import write_shard
from resight.runner.threads import one_thread as one_thread
from resight.segment.store import read_crop
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

log = logging.getLogger("resight")


@dataclass(frozen=True)
class ExtractBlock:
    """Crops that become one shard, and all that a worker needs to know for it; small and picklable.

    Attributes:
        workspace: Where the crops lie.
        store: The batch's group, relative to the workspace.
        start: First row of the shard in that group.
        crops: (crop_id, path) of the rows.
        params: Settings of the extractor.
        weights: Where the extractor finds its weights.
        device: Where it runs.
    """

    workspace: Workspace
    store: str
    start: int
    crops: tuple[tuple[str, str], ...]
    params: ExtractorBase
    weights: WeightStore
    device: str


def extract_block(block: ExtractBlock) -> dict[str, str]:
    """Extract all crops of a block and write its shard.

    One crop that cannot be read or breaks the extractor leaves an empty row.

    Returns:
        Reason by crop_id of those that failed.

    Raises:
        ResightError: The extractor cannot be built, or the shard is not the block's.
    """
    failed: dict[str, str] = {}
    rows: list[Features] = []
    with one_thread():
        extractor = built(block.params, block.weights, block.device)
        for crop_id, path in block.crops:
            try:
                rgb, mask = read_crop(block.workspace, path)
                rows.append(extractor.extract(rgb, mask))
            except Exception as error:  # one bad crop must not take the others of its shard with it
                log.debug("crop %s failed", crop_id, exc_info=True)
                failed[crop_id] = one_line(error)
                rows.append(nothing((0, 0), extractor.descriptor_dim, extractor.descriptor_dtype))
    write_shard(block.workspace.root / block.store, block.start, rows, failed)
    return failed


@lru_cache(maxsize=2)
def built(params: ExtractorBase, weights: WeightStore, device: str) -> Extractor:
    """Loaded once per worker, not once per block."""
    return params.build(weights, device)
