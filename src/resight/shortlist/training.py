"""Training of a codebook: a sample of the gallery's descriptors, and k-means on the workers where it takes long.

All of it depends on the crops alone. Which crops are in the sample, and how many descriptors of each, follows from digests
and numbers of keypoints, before anything is read; so every shard is read once, in whatever order. The workers only say which
centre is nearest; the sums are added in one order in the flow, so that the centres do not depend on how many workers there are.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import numpy as np
import torch

from resight.errors import SettingsError
from resight.extract.block import one_thread
from resight.shortlist.codebook import (
    CHUNK_FLOATS,
    CODES,
    Assign,
    Codebook,
    as_float,
    assign_nearest,
    kmeans,
    sub_vectors,
)
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import Crops, Descriptors

SAMPLE_PER_LIST = 64
MAX_SAMPLE = 1 << 20
PQ_SAMPLE = 1 << 15
LEAST_PER_LIST = 16
LEAST_PER_CROP = 16
LARGEST_AUTO_LISTS = 1 << 15
SPREAD_FROM = 1 << 27  # distances in a round of k-means that are worth the way to the workers: half a second
CHUNKS_PER_BLOCK = 64


@dataclass(frozen=True)
class SampleRule:
    """Of the ``most`` strongest descriptors of a crop, so many, evenly spaced."""

    per_crop: int
    most: int

    def rows(self, n: int) -> np.ndarray:
        """Which rows of a crop with ``n`` descriptors are in the sample."""
        n = min(n, self.most)
        return np.unique(np.linspace(0, n - 1, min(self.per_crop, n)).astype(np.int64)) if n else np.zeros(0, np.int64)


def train(crop_ids: Sequence[str], descriptors: Descriptors, params: ShortlistParams, folder: Path) -> Codebook | None:
    """Train on a sample of the gallery; the same for the same crops in any order and on any number of workers.

    Args:
        crop_ids: All crops of the gallery.
        descriptors: Theirs.
        params: Settings.
        folder: For what the workers read, while it lasts.

    Returns:
        The codebook, or None where no crop has a descriptor.

    Raises:
        SettingsError: The descriptors are binary, or ``pq_bytes`` does not divide their width.
    """
    sample = draw_sample(crop_ids, descriptors, params)
    if sample is None:
        return None
    _check_width(sample.shape[1], params)
    n_lists = params.n_lists or min(
        auto_lists(len(crop_ids) * params.descriptors_per_crop), len(sample) // LEAST_PER_LIST
    )
    n_lists = max(1, n_lists)
    if len(sample) * n_lists < SPREAD_FROM:
        with one_thread():
            centres = kmeans(sample, n_lists)
    else:
        centres = _on_workers(sample, n_lists, descriptors, folder)
    codes = _train_codes(sample, centres, params.pq_bytes, descriptors)
    digest = hashlib.sha256(sample.numpy().data).hexdigest()
    return Codebook(centres, codes, len(set(crop_ids)), digest)


def auto_lists(n_descriptors: int) -> int:
    """Lists for a gallery of that size: the power of two below four times the square root."""
    wanted = int(4 * n_descriptors**0.5)
    return min(LARGEST_AUTO_LISTS, 1 << max(0, wanted.bit_length() - 1))


def draw_sample(crop_ids: Sequence[str], descriptors: Descriptors, params: ShortlistParams) -> torch.Tensor | None:
    """(N, D) float32, evenly from each crop, crops in the order of their digests until there are enough."""
    ids = sorted(set(crop_ids), key=lambda crop_id: hashlib.sha256(crop_id.encode()).digest())
    n_lists = params.n_lists or auto_lists(len(ids) * params.descriptors_per_crop)
    budget = min(MAX_SAMPLE, max(n_lists * SAMPLE_PER_LIST, PQ_SAMPLE))
    rule = SampleRule(max(LEAST_PER_CROP, -(-budget // max(1, len(ids)))), params.descriptors_per_crop)
    counts = np.array([len(rule.rows(int(n))) for n in descriptors.lengths(ids)], np.int64)
    ends = counts.cumsum()
    n_crops = min(len(ids), int(np.searchsorted(ends, budget)) + 1)  # the first crops that are enough
    if not n_crops or not ends[n_crops - 1]:
        return None
    first_row = dict(zip(ids[:n_crops], (ends - counts)[:n_crops].tolist(), strict=True))
    sample = torch.zeros(0, 0)
    for part in descriptors.visit(ids[:n_crops], take_rows, rule):
        for crop_id, rows in part:
            if not len(sample):
                sample = torch.empty(int(ends[n_crops - 1]), rows.shape[1])
            sample[first_row[crop_id] : first_row[crop_id] + len(rows)] = torch.from_numpy(rows)
    return sample


def take_rows(crops: Crops, rule: SampleRule) -> list[tuple[str, np.ndarray]]:
    """What is in the sample of each crop that has descriptors."""
    out = []
    for crop_id, descriptors in crops:
        x = as_float(descriptors, crop_id, rule.most).numpy()
        if len(x):
            out.append((crop_id, x[rule.rows(len(x))]))
    return out


@dataclass(frozen=True)
class AssignBlock:
    """Rows of the sample whose nearest centre is looked for."""

    sample: Path
    centres: Path
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first


def assign_block(block: AssignBlock) -> tuple[np.ndarray, np.ndarray]:
    """(N,) squared distances, and (N,) int32 centres."""
    x = np.array(np.load(block.sample, mmap_mode="r")[block.first : block.last])
    with one_thread():
        distance, member = assign_nearest(torch.from_numpy(x), torch.from_numpy(np.load(block.centres)))
    return distance.numpy(), member.numpy().astype(np.int32)


def _on_workers(sample: torch.Tensor, n_lists: int, descriptors: Descriptors, folder: Path) -> torch.Tensor:
    scratch = folder / f".training-{uuid.uuid4().hex}"
    scratch.mkdir(parents=True)
    try:
        np.save(scratch / "sample.npy", sample.numpy())
        with one_thread():
            return kmeans(sample, n_lists, _assign_on(descriptors, scratch))
    finally:
        with suppress(OSError):
            rmtree(scratch)


def _assign_on(descriptors: Descriptors, scratch: Path) -> Assign:
    rounds = iter(range(1 << 30))

    def assign(x: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        file = scratch / f"centres-{next(rounds)}.npy"  # another name each time: a worker may hold the last one
        np.save(file, centres.numpy())
        step = CHUNKS_PER_BLOCK * max(1, CHUNK_FLOATS // len(centres))  # whole chunks, as one process would take them
        blocks = [
            AssignBlock(scratch / "sample.npy", file, first, min(first + step, len(x)))
            for first in range(0, len(x), step)
        ]
        parts = descriptors.spread(assign_block, blocks, "descriptors")
        distance = torch.from_numpy(np.concatenate([distance for distance, _ in parts]))
        return distance, torch.from_numpy(np.concatenate([member for _, member in parts]).astype(np.int64))

    return assign


def _train_codes(sample: torch.Tensor, centres: torch.Tensor, n_bytes: int, descriptors: Descriptors) -> torch.Tensor:
    if not n_bytes:
        return torch.zeros(0, CODES, 0)
    part = sample[:: -(-len(sample) // PQ_SAMPLE)]
    with one_thread():
        residuals = sub_vectors(part - centres[assign_nearest(part, centres)[1]], n_bytes)
    blocks = [x.contiguous().numpy() for x in residuals]
    return torch.stack([torch.from_numpy(codes) for codes in descriptors.spread(codes_block, blocks, "descriptors")])


def codes_block(residuals: np.ndarray) -> np.ndarray:
    """(256, D / M) what stands for the sub-vectors (N, D / M)."""
    with one_thread():
        return kmeans(torch.from_numpy(residuals), CODES).numpy()


def _check_width(dim: int, params: ShortlistParams) -> None:
    if params.pq_bytes and dim % params.pq_bytes:
        fitting = [n for n in range(1, min(dim, 256) + 1) if dim % n == 0]
        raise SettingsError(
            f"shortlist.pq_bytes = {params.pq_bytes} does not divide the {dim} numbers of a descriptor; choose one of {fitting}, or 0"
        )
