"""COCO's run-length masks (column by column, background first) as polygons."""

from __future__ import annotations

from typing import Any

import numpy as np

Polygon = tuple[tuple[float, float], ...]
SMOOTHING_PX = 1.0


def rle_polygons(segmentation: dict[str, Any], max_pixels: float) -> tuple[Polygon, ...]:
    """Outlines of a mask; parts of less than three corners are left out.

    Args:
        segmentation: ``{"size": [height, width], "counts": …}``; counts are run lengths or COCO's packed text.
        max_pixels: Larger masks are refused.

    Raises:
        ValueError, TypeError, LookupError, OverflowError: It is no mask, or size and runs do not fit each other.
    """
    import cv2

    height, width = (int(v) for v in segmentation["size"])
    counts, pixels = segmentation["counts"], height * width
    runs = unpack_counts(counts.encode() if isinstance(counts, str) else counts)
    fits = 0 < pixels <= max_pixels and min(height, width) > 0 and runs.ndim == 1 and runs.size > 0
    if not fits or runs.min() < 0 or runs.max() > pixels or runs.sum() != pixels:
        raise ValueError("the runs do not fill the mask")
    mask, x0 = _filled_columns(runs, height)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, 0))
    smooth = (cv2.approxPolyDP(c, SMOOTHING_PX, True).reshape(-1, 2) for c in contours)
    return tuple(tuple((float(x), float(y)) for x, y in points) for points in smooth if len(points) >= 3)


def unpack_counts(counts: bytes | list[int]) -> np.ndarray:
    """Run lengths, int64.

    The packed text holds 5 bits a character (offset 48, 32 means that more follow, 16 in the last one is the sign);
    from the fourth run on it holds differences to the run two before.
    """
    if not isinstance(counts, bytes):
        return np.asarray(counts, dtype=np.int64)
    chars = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if chars.size == 0 or chars.min() < 0 or chars.max() > 63 or chars[-1] & 32:
        raise ValueError("the packed runs are damaged")
    starts = np.flatnonzero(np.concatenate([[True], (chars[:-1] & 32) == 0]))
    lengths = np.diff(np.append(starts, chars.size))
    place = np.arange(chars.size) - np.repeat(starts, lengths)
    values = np.add.reduceat((chars & 31) << (5 * place), starts)
    values -= np.where(chars[starts + lengths - 1] & 16, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _filled_columns(runs: np.ndarray, height: int) -> tuple[np.ndarray, int]:
    """(height, columns) uint8 mask of the columns that hold something, and the first of them."""
    ends = np.cumsum(runs)
    filled = np.flatnonzero(runs[1::2]) * 2 + 1
    if filled.size == 0:
        return np.zeros((height, 1), np.uint8), 0
    first, last = int(ends[filled[0] - 1]) // height, int(ends[filled[-1]] - 1) // height
    low, high = first * height, (last + 1) * height
    clipped = np.diff(np.clip(np.concatenate([[0], ends]), low, high))
    flat = np.repeat(np.arange(runs.size) % 2, clipped).astype(np.uint8)
    return np.ascontiguousarray(flat.reshape(-1, height).T), first
