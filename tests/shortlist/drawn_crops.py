"""Crops that show drawn patterns, for tests of what is kept of a vote."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from resight.environment import Environment
from resight.segment.store import write_crop
from resight.shortlist.params import ShortlistParams

CODED = ShortlistParams(enabled="on", k=3, min_gallery=1, descriptors_per_crop=64, pq_bytes=8, n_lists=8, n_probe=4)
GALLERY = tuple(f"g{i}" for i in range(12))
QUERIES = tuple(f"q{i}" for i in range(4))


def with_more(env: Environment, crops: pa.Table, pictures: dict[str, np.ndarray]) -> pa.Table:
    """The crops, and others with these pictures."""
    rows = []
    for crop_id, rgb in pictures.items():
        path = env.workspace.root / "store" / "segment" / f"{crop_id}.png"
        write_crop(path, rgb, np.ones(rgb.shape[:2], bool))
        place = env.workspace.relative(path)
        rows.append({"crop_id": crop_id, "photo_id": f"p{crop_id}", "path": place, "viewpoint": "left", "status": "ok"})
    return pa.concat_tables([crops, pa.Table.from_pylist(rows)])
