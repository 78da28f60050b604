"""The crops of these tests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from drawn_crops import GALLERY, QUERIES, drawn

from resight.environment import Environment


@pytest.fixture
def crops(env: Environment) -> pa.Table:
    """Twelve gallery crops, four queries that show the same with noise, and one query without any keypoint."""
    rng = np.random.default_rng(3)
    pictures = [np.kron(rng.integers(0, 255, (9, 12, 3), np.uint8), np.ones((9, 9, 1), np.uint8)) for _ in GALLERY]
    noisy = [p.astype(int) + rng.integers(-9, 9, p.shape) for p in pictures[: len(QUERIES)]]
    pictures += [np.clip(p, 0, 255).astype(np.uint8) for p in noisy]
    return drawn(env, dict(zip((*GALLERY, *QUERIES), pictures, strict=True)))
