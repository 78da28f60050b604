"""The crops of these tests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from drawn_crops import GALLERY, QUERIES

from resight.environment import Environment
from resight.segment.store import write_crop


@pytest.fixture
def crops(env: Environment) -> pa.Table:
    """Twelve gallery crops, four queries that show the same with noise, and one query without any keypoint."""
    rng = np.random.default_rng(3)
    pictures = [np.kron(rng.integers(0, 255, (9, 12, 3), np.uint8), np.ones((9, 9, 1), np.uint8)) for _ in GALLERY]
    noisy = [p.astype(int) + rng.integers(-9, 9, p.shape) for p in pictures[: len(QUERIES)]]
    pictures += [np.clip(p, 0, 255).astype(np.uint8) for p in noisy]
    rows = []
    for crop_id, rgb in zip((*GALLERY, *QUERIES), pictures, strict=True):
        path = env.workspace.root / "store" / "segment" / f"{crop_id}.png"
        write_crop(path, rgb, np.ones(rgb.shape[:2], bool))
        place = env.workspace.relative(path)
        rows.append({"crop_id": crop_id, "photo_id": f"p{crop_id}", "path": place, "viewpoint": "left", "status": "ok"})
    return pa.Table.from_pylist(rows)
