"""Inverted lists of coded descriptors: in parts that grow with the gallery, read as one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import torch

from resight.extract.block import one_thread
from resight.shortlist.codebook import Codebook, as_float, assign_nearest
from resight.shortlist.passes import Crops

Found = tuple[torch.Tensor, torch.Tensor]  # (N, n) distances in rising order, and rows


class Query(NamedTuple):
    """Who asks for what.

    Attributes:
        descriptors: (N, D) float32.
        allowed: (R,) bool, which rows they may find; None: all.
        sought: (M,) int64, which of the descriptors are looked up, in rising order; None: all.
    """

    descriptors: torch.Tensor
    allowed: torch.Tensor | None = None
    sought: torch.Tensor | None = None

    @property
    def n_sought(self) -> int:
        """M; N where all are."""
        return len(self.descriptors if self.sought is None else self.sought)

    def of(self, by_descriptor: torch.Tensor) -> torch.Tensor:
        """What belongs to the descriptors that are looked up."""
        return by_descriptor if self.sought is None else by_descriptor[self.sought]


@dataclass(frozen=True, eq=False)
class CodedCrops:
    """The coded descriptors of some crops, list by list; inside a list by crop, inside a crop strongest first.

    It depends on its crops and the codebook alone: it does not matter whether it was encoded at once or merged.

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
    """All parts of an index under common row numbers: row ``r`` is the crop ``crop_ids[r]``."""

    codebook: Codebook
    parts: Sequence[CodedCrops]

    @cached_property
    def _bases(self) -> list[int]:
        """Row of each part's first crop."""
        return list(accumulate((len(part.crop_ids) for part in self.parts), initial=0))[:-1]

    @cached_property
    def crop_ids(self) -> tuple[str, ...]:
        """(R,) crop of each row."""
        return tuple(crop_id for part in self.parts for crop_id in part.crop_ids)

    @cached_property
    def _starts(self) -> list[list[int]]:
        return [part.starts.tolist() for part in self.parts]

    def of_list(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, M) stored and (N,) int64 rows of one inverted list."""
        stored, rows = [], []
        for part, base, starts in zip(self.parts, self._bases, self._starts, strict=True):
            first, last = starts[number], starts[number + 1]
            if last > first:
                stored.append(part.stored[first:last])
                rows.append(part.crops[first:last].long() + base)
        if not rows:
            return _nothing(self.codebook), torch.zeros(0, dtype=torch.int64)
        return (stored[0], rows[0]) if len(rows) == 1 else (torch.cat(stored), torch.cat(rows))


def encode_crops(codebook: Codebook, crops: Crops, most: int) -> CodedCrops:
    """Encode the ``most`` strongest descriptors of each crop, which may come in any order, each once.

    Raises:
        SettingsError: Descriptors are binary.
    """
    ids: list[str] = []
    lists, stored, counts = [torch.zeros(0, dtype=torch.int64)], [_nothing(codebook)], []
    with one_thread():
        for crop_id, descriptors in crops:
            x = as_float(descriptors, crop_id, most)
            ids.append(crop_id)
            counts.append(len(x))
            if len(x):
                near = assign_nearest(x, codebook.centres)[1]
                lists.append(near)
                stored.append(codebook.encode(x, near))
    ordered = tuple(sorted(ids))
    place = {crop_id: at for at, crop_id in enumerate(ordered)}
    rows = torch.tensor([place[crop_id] for crop_id in ids], dtype=torch.int64)
    of_entry = torch.repeat_interleave(rows, torch.tensor(counts, dtype=torch.int64))
    return _sorted(ordered, torch.cat(lists), torch.cat(stored), of_entry, len(codebook.centres))


def merge(parts: Sequence[CodedCrops]) -> CodedCrops:
    """All crops in one; equal to what `encode_crops` gives for them."""
    if len(parts) == 1:
        return parts[0]
    ids = tuple(sorted(crop_id for part in parts for crop_id in part.crop_ids))
    place = {crop_id: at for at, crop_id in enumerate(ids)}
    crops = [torch.tensor([place[c] for c in p.crop_ids], dtype=torch.int64)[p.crops.long()] for p in parts]
    lists = [torch.repeat_interleave(torch.arange(len(p.starts) - 1), p.starts.diff()) for p in parts]
    stored = torch.cat([p.stored for p in parts])
    return _sorted(ids, torch.cat(lists), stored, torch.cat(crops), len(parts[0].starts) - 1)


def without(coded: CodedCrops, kept: Collection[str]) -> CodedCrops:
    """Only the crops that are among ``kept``."""
    keep = torch.tensor([crop_id in kept for crop_id in coded.crop_ids], dtype=torch.bool)
    row = keep.long().cumsum(0) - 1
    stay = keep[coded.crops.long()]
    lists = torch.repeat_interleave(torch.arange(len(coded.starts) - 1), coded.starts.diff())[stay]
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lists.bincount(minlength=len(coded.starts) - 1).cumsum(0)])
    ids = tuple(crop_id for crop_id, stays in zip(coded.crop_ids, keep.tolist(), strict=True) if stays)
    return CodedCrops(ids, starts, coded.stored[stay], row[coded.crops[stay].long()].to(torch.int32))


def _sorted(
    ids: tuple[str, ...], lists: torch.Tensor, stored: torch.Tensor, crops: torch.Tensor, n_lists: int
) -> CodedCrops:
    order = (lists * max(1, len(ids)) + crops).argsort(stable=True)
    counts = torch.bincount(lists, minlength=n_lists)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return CodedCrops(ids, starts, stored[order].contiguous(), crops[order].to(torch.int32))


def _nothing(codebook: Codebook) -> torch.Tensor:
    if codebook.n_bytes:
        return torch.zeros(0, codebook.n_bytes, dtype=torch.uint8)
    return torch.zeros(0, codebook.dim)
