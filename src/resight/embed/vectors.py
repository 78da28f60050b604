"""Vectors of crops: where they lie, and how alike two crops are by them.

A head is embedded as if it looked left. A left side is taken as it is, a right side mirrored, any other view both ways. Two crops
are compared as both can be had: a view from above with a right side mirrored, with a left side as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from resight.status import Viewpoint
from resight.store.parts import read_parts

PARTS = "parts"
SCHEMA = pa.schema([("crop_id", pa.string()), ("mirrored", pa.bool_()), ("vector", pa.list_(pa.float16()))])
AS_IT_IS, MIRRORED = False, True
OTHERS_AT_ONCE = 1 << 13
Key = tuple[str, bool]


def ways(viewpoint: str | None) -> tuple[bool, ...]:
    """Whether a crop of this view is embedded mirrored: one way for a side, both for any other view."""
    if viewpoint == Viewpoint.LEFT:
        return (AS_IT_IS,)
    return (MIRRORED,) if viewpoint == Viewpoint.RIGHT else (AS_IT_IS, MIRRORED)


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of crops, and the view of each crop.

    Attributes:
        keys: Crop of each row, and whether it was mirrored.
        values: (N, D) float32 of unit length, but for what half precision takes away.
    """

    keys: Sequence[Key]
    values: np.ndarray

    @staticmethod
    def read(folder: Path) -> Vectors:
        """All whole parts of a folder; a damaged one is set aside, so that its crops are embedded again."""
        table = read_parts(folder / PARTS, SCHEMA)
        keys = list(zip(table["crop_id"].to_pylist(), table["mirrored"].to_pylist(), strict=True))
        flat = np.asarray(table["vector"].combine_chunks().flatten()).astype(np.float32)
        return Vectors(keys, flat.reshape(len(keys), -1) if keys else np.zeros((0, 0), np.float32))

    @cached_property
    def places(self) -> dict[Key, int]:
        """Row of each crop by whether it was mirrored; of a crop that stands twice, the last."""
        return {key: row for row, key in enumerate(self.keys)}

    def has(self, crop_id: str, viewpoint: str | None) -> bool:
        """Whether a crop is there in every way that its view needs."""
        return all((crop_id, way) in self.places for way in ways(viewpoint))

    def among(self, crop_ids: Sequence[str], views: Sequence[str | None]) -> Embedded:
        """The vectors of some crops, looked up once for all comparisons."""
        return Embedded.of(self, crop_ids, views)


NO_VECTORS = Vectors((), np.zeros((0, 0), np.float32))


@dataclass(frozen=True, eq=False)
class Embedded:
    """N crops with their vectors as they are and mirrored; rows of crops that lack one are 0.

    Attributes:
        values: By way, (N, D) float32.
        there: By way, (N,) bool.
    """

    values: tuple[np.ndarray, np.ndarray]
    there: tuple[np.ndarray, np.ndarray]

    @staticmethod
    def of(vectors: Vectors, crop_ids: Sequence[str], views: Sequence[str | None]) -> Embedded:
        """See `Vectors.among`."""
        values, there = [], []
        for way in (AS_IT_IS, MIRRORED):
            rows = np.array(
                [
                    vectors.places.get((c, way), -1) if way in ways(v) else -1
                    for c, v in zip(crop_ids, views, strict=True)
                ],
                np.int64,
            )
            known = rows >= 0
            of_way = np.zeros((len(rows), vectors.values.shape[1]), np.float32)
            of_way[known] = vectors.values[rows[known]]
            values.append(of_way)
            there.append(known)
        return Embedded((values[0], values[1]), (there[0], there[1]))

    def take(self, rows: np.ndarray) -> Embedded:
        """Some of the crops."""
        return Embedded(
            (self.values[0][rows], self.values[1][rows]),
            (self.there[0][rows], self.there[1][rows]),
        )

    def cosines(self, others: Embedded) -> np.ndarray:
        """(N, M) float32 with M others, NaN where no way is common to both; as it is, where both ways are.

        Added up in float64, so that one of them does not depend on which others are asked for: the last bits of a product do.
        """
        out = np.full((len(self.there[0]), len(others.there[0])), np.nan, np.float32)
        for way in (MIRRORED, AS_IT_IS):
            mine = self.values[way].astype(np.float64)
            for first in range(0, out.shape[1], OTHERS_AT_ONCE):
                some = slice(first, first + OTHERS_AT_ONCE)
                common = self.there[way][:, None] & others.there[way][None, some]
                if common.any():
                    product = mine @ others.values[way][some].astype(np.float64).T
                    out[:, some][common] = product[common].astype(np.float32)
        return out

    def cosines_with(self, others: Embedded) -> np.ndarray:
        """(N,) float32 of each crop with the one beside it among N others; otherwise as `cosines`."""
        out = np.full(len(self.there[0]), np.nan, np.float32)
        for way in (MIRRORED, AS_IT_IS):
            common = self.there[way] & others.there[way]
            out[common] = np.einsum("nd,nd->n", self.values[way][common], others.values[way][common])
        return out


def missing(vectors: Vectors, crops: Sequence[tuple[str, str | None]]) -> Iterator[tuple[str, tuple[bool, ...]]]:
    """Of crops with their views, those that lack a vector, and in which ways."""
    for crop_id, view in crops:
        lacking = tuple(way for way in ways(view) if (crop_id, way) not in vectors.places)
        if lacking:
            yield crop_id, lacking
