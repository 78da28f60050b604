"""Which pairs of a tile go through the network together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

BUCKET = 64
MAX_WASTE = 1.25


@dataclass(frozen=True)
class Chunk:
    """Pairs that share a batch.

    Attributes:
        rows: (B,) int64, rows of the list of pairs.
        length_a, length_b: Padded keypoint counts.
    """

    rows: np.ndarray
    length_a: int
    length_b: int


def bucket_of(n: int, step: int = BUCKET) -> int:
    """Next multiple of ``step``; 0 stays 0. A few static shapes instead of one per keypoint count."""
    return -(-n // step) * step


def plan_tile(
    counts_a: Sequence[int],
    counts_b: Sequence[int],
    pairs: np.ndarray,
    batch_size: Callable[[int, int], int],
    step: int = BUCKET,
) -> list[Chunk]:
    """Sort pairs by size and cut them into batches.

    Sorted by buckets, neighbours pad each other little; a batch ends where its padded area would exceed `MAX_WASTE`
    times the area of its buckets. Pairs with a photo without keypoints are left out: nothing can match.

    Args:
        counts_a, counts_b: Keypoints of the tile's photos.
        pairs: (P, 2) int, photo of a and photo of b.
        batch_size: Pairs that fit for two padded lengths.
        step: Bucket width.
    """
    n_a, n_b = np.asarray(counts_a, np.int64)[pairs[:, 0]], np.asarray(counts_b, np.int64)[pairs[:, 1]]
    padded_a, padded_b = (-(-n // step) * step for n in (n_a, n_b))
    order = np.lexsort((np.arange(len(pairs)), padded_b, padded_a))
    order = order[(n_a[order] > 0) & (n_b[order] > 0)][::-1]
    chunks: list[Chunk] = []
    start = 0
    while start < len(order):
        stop, length_a, length_b, area = start, 0, 0, 0
        while stop < len(order):
            i = order[stop]
            new_a, new_b, new_area = (
                max(length_a, int(padded_a[i])),
                max(length_b, int(padded_b[i])),
                area + int(padded_a[i] * padded_b[i]),
            )
            size = stop - start + 1
            if size > max(1, batch_size(new_a, new_b)) or size * new_a * new_b > MAX_WASTE * new_area:
                break
            stop, length_a, length_b, area = stop + 1, new_a, new_b, new_area
        chunks.append(Chunk(order[start:stop].copy(), length_a, length_b))
        start = stop
    return chunks
