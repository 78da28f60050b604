"""Inverted lists of coded descriptors: in parts that grow with the gallery, read as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from resight.shortlist.codebook import Codebook, Load, as_float, one_thread


@dataclass(frozen=True, eq=False)
class Segment:
    """The coded descriptors of some crops, list by list; inside a list by crop, inside a crop strongest first.

    So a segment is a function of its crops and the codebook: it does not matter whether it was encoded at once or merged.

    Attributes:
        crop_ids: Sorted; crops without descriptors are among them.
        starts: (L + 1,) int64, list ``l`` is the entries from ``starts[l]`` to ``starts[l + 1]``.
        stored: (N, M) uint8 codes, or (N, D) float32 descriptors.
        crops: (N,) int32 into ``crop_ids``.
    """

    crop_ids: tuple[str, ...]
    starts: torch.Tensor
    stored: torch.Tensor
    crops: torch.Tensor

    def __len__(self) -> int:
        return int(self.crops.shape[0])


@dataclass(frozen=True, eq=False)
class Entries:
    """All segments of an index under common row numbers: row ``r`` is the crop ``crop_ids[r]``."""

    codebook: Codebook
    segments: Sequence[Segment]
    bases: list[int] = field(init=False)

    def __post_init__(self) -> None:
        counts = [0] + [len(s.crop_ids) for s in self.segments]
        object.__setattr__(self, "bases", np.cumsum(counts)[:-1].tolist())

    @cached_property
    def crop_ids(self) -> tuple[str, ...]:
        """(R,) crop of each row."""
        return tuple(one for segment in self.segments for one in segment.crop_ids)

    @cached_property
    def _starts(self) -> list[list[int]]:
        return [segment.starts.tolist() for segment in self.segments]

    def of_list(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, M) stored and (N,) int64 rows of one inverted list."""
        stored, rows = [], []
        for segment, base, starts in zip(self.segments, self.bases, self._starts, strict=True):
            first, last = starts[number], starts[number + 1]
            if last > first:
                stored.append(segment.stored[first:last])
                rows.append(segment.crops[first:last].long() + base)
        if len(rows) == 1:
            return stored[0], rows[0]
        if not rows:
            return torch.zeros(0, max(1, self.codebook.n_bytes), dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)
        return torch.cat(stored), torch.cat(rows)


def encode_crops(codebook: Codebook, crop_ids: Sequence[str], load: Load, most: int) -> Segment:
    """Encode the ``most`` strongest descriptors of each crop.

    Raises:
        SettingsError: Descriptors are binary.
    """
    ids = tuple(sorted(set(crop_ids)))
    lists, stored, counts = [torch.zeros(0, dtype=torch.int64)], [_nothing(codebook)], []
    with one_thread():
        for crop_id in ids:
            x = as_float(load(crop_id), crop_id, most)
            counts.append(len(x))
            if len(x):
                near = codebook.nearest_lists(x, 1)[1][:, 0]
                lists.append(near)
                stored.append(codebook.encode(x, near))
    crops = torch.repeat_interleave(torch.arange(len(ids)), torch.tensor(counts, dtype=torch.int64))
    return _sorted(ids, torch.cat(lists), torch.cat(stored), crops, len(codebook.centres))


def merge(segments: Sequence[Segment]) -> Segment:
    """One segment with all crops; equal to what `encode_crops` gives for them."""
    ids = tuple(sorted(one for segment in segments for one in segment.crop_ids))
    place = {one: at for at, one in enumerate(ids)}
    crops = [torch.tensor([place[c] for c in s.crop_ids], dtype=torch.int64)[s.crops.long()] for s in segments]
    lists = [torch.repeat_interleave(torch.arange(len(s.starts) - 1), s.starts.diff()) for s in segments]
    stored = torch.cat([s.stored for s in segments])
    return _sorted(ids, torch.cat(lists), stored, torch.cat(crops), len(segments[0].starts) - 1)


def _sorted(
    ids: tuple[str, ...], lists: torch.Tensor, stored: torch.Tensor, crops: torch.Tensor, n_lists: int
) -> Segment:
    order = (lists * max(1, len(ids)) + crops).argsort(stable=True)
    counts = torch.bincount(lists, minlength=n_lists)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return Segment(ids, starts, stored[order].contiguous(), crops[order].to(torch.int32))


def _nothing(codebook: Codebook) -> torch.Tensor:
    if codebook.n_bytes:
        return torch.zeros(0, codebook.n_bytes, dtype=torch.uint8)
    return torch.zeros(0, codebook.dim)
