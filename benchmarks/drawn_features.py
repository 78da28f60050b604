"""Features that are drawn instead of extracted, for catalogues that are too large to be rendered.

A photo is 64 x 64 black and white fields that say which animal it shows and its number, so ingest and segment do their own work on small
files. In place of SIFT the worker draws the keypoints and writes them into the store as `extract_block` does: the same groups, shards and
marks, RootSIFT's form. All that follows (index, votes, matches, scores, verdicts, page) is the real thing.

Descriptors are drawn around a few thousand words that all animals share, so that the inverted lists fill unevenly as they do with photos.
Three quarters of a photo's keypoints are its animal's, moved by a pixel and by some noise; the others are its own.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from resight.extract import batch
from resight.extract.base import Features
from resight.extract.block import ExtractBlock
from resight.extract.kinds.sift import root_sift
from resight.extract.store import write_shard
from resight.segment.store import read_crop

FIELDS, FIELD_PX = 8, 8
SIDE_PX = FIELDS * FIELD_PX
BITS = FIELDS * FIELDS // 2
KEYPOINTS, OF_ANIMAL = 128, 96
WORDS, DIM = 4096, 128


def stamped(animal: int, number: int) -> bytes:
    """PNG that says which photo this is."""
    bits = [(value >> k) & 1 for value in (animal, number) for k in range(BITS)]
    fields = np.array(bits, np.uint8).reshape(FIELDS, FIELDS) * 175 + 40
    grey = np.kron(fields, np.ones((FIELD_PX, FIELD_PX), np.uint8))
    return cv2.imencode(".png", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))[1].tobytes()


def read_stamp(rgb: np.ndarray) -> tuple[int, int]:
    """Animal and number of a crop (64, 64, 3) of a stamped photo."""
    if rgb.shape[:2] != (SIDE_PX, SIDE_PX):
        raise ValueError(
            f"a stamped photo is {SIDE_PX} x {SIDE_PX} pixels, this crop is {rgb.shape[1]} x {rgb.shape[0]}"
        )
    fields = rgb[:, :, 0].reshape(FIELDS, FIELD_PX, FIELDS, FIELD_PX).mean(axis=(1, 3)).ravel() > 127
    animal, number = (sum(int(bit) << k for k, bit in enumerate(half)) for half in (fields[:BITS], fields[BITS:]))
    return animal, number


def drawn(animal: int, number: int) -> Features:
    """The features of a photo, the same on every machine."""
    base, xy, angle, scale = _pattern(animal)
    rng = np.random.default_rng([12, number])
    seen = rng.permutation(KEYPOINTS)[:OF_ANIMAL]
    n_own = KEYPOINTS - OF_ANIMAL
    histograms = np.concatenate([base[seen], _around_words(rng, n_own)])
    turn, size = rng.uniform(-0.1, 0.1), rng.uniform(0.95, 1.05)
    map_ = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = SIDE_PX / 2
    moved = (xy[seen] - middle) @ map_.T + middle + rng.normal(0, 0.4, (OF_ANIMAL, 2))
    places = np.concatenate([moved, rng.uniform(0, SIDE_PX, (n_own, 2))]).clip(0, SIDE_PX - 1)
    angles = np.concatenate([angle[seen] + turn, rng.uniform(-np.pi, np.pi, n_own)])
    order = rng.permutation(KEYPOINTS)
    noisy = np.abs(histograms + rng.normal(0, 0.012, histograms.shape))
    return Features(
        xy_px=places[order].astype(np.float32),
        descriptors=root_sift(noisy[order]).astype(np.float16),
        scale_px=np.concatenate([scale[seen] * size, rng.uniform(1, 6, n_own)])[order].astype(np.float32),
        angle_rad=((angles[order] + np.pi) % (2 * np.pi) - np.pi).astype(np.float32),
        score=np.sort(rng.uniform(0.1, 1, KEYPOINTS))[::-1].astype(np.float32),
        size_wh_px=(SIDE_PX, SIDE_PX),
    )


def extract_block(block: ExtractBlock) -> dict[str, str]:
    """`resight.extract.block.extract_block`, but the features are drawn."""
    rows = [drawn(*read_stamp(read_crop(block.workspace, path)[0])) for _, path in block.crops]
    write_shard(block.workspace.root / block.store, block.start, rows)
    return {}


def draw_instead_of_extracting() -> None:
    """In this process and the workers that it sends blocks to."""
    batch.extract_block = extract_block


@lru_cache(maxsize=64)
def _pattern(animal: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Histograms (128, 128), places (128, 2), angles and sizes (128,) of an animal's keypoints."""
    rng = np.random.default_rng([11, animal])
    places = rng.uniform(3, SIDE_PX - 3, (KEYPOINTS, 2))
    return _around_words(rng, KEYPOINTS), places, rng.uniform(-np.pi, np.pi, KEYPOINTS), rng.uniform(1, 6, KEYPOINTS)


def _around_words(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 128) histograms; some words are much more frequent than others."""
    words = _words()[(WORDS * rng.uniform(0, 1, n) ** 2).astype(int)]
    return np.abs(words + rng.normal(0, 0.04, words.shape))


@lru_cache(maxsize=1)
def _words() -> np.ndarray:
    """(4096, 128) histograms, most of their bins small."""
    return np.random.default_rng(10).exponential(1, (WORDS, DIM)) ** 2 / 20
