"""Scores compared with what the same two crops score with other animals (S-norm, as in speaker recognition).

Auckenthaler et al., Digital Signal Processing 10 (2000): a score is z-scored by the impostor cohort of each side, and the two
are averaged. Some crops, sharp ones with many keypoints, match every animal; their own cohort corrects for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import BrokenCountError
from resight.score.null import CALIBRATE, Moments, labels_of, shrunk

PSEUDO_PAIRS = 20.0
NOBODY = -1
POWERS = ("n", "first", "second")


@dataclass(frozen=True)
class Cohorts:
    """Which pairs each crop is compared with.

    The cohort of a query crop consists of its pairs with animals other than the candidate (and its own, if labelled); that of a
    gallery crop consists of its calibration pairs with animals other than its own and the query's. A pair that stands in the table
    from both sides counts once: otherwise gallery crops would have cohorts twice as sure of themselves as query crops, and their scores
    would not be of one kind.

    Attributes:
        query, gallery: (N,) number of each pair's crops.
        own, other: (N,) number of the query's and of the gallery photo's animal, `NOBODY` if unlabelled.
        calibrate: (N,) bool, both photos are of known animals.
        crops, animals: The ids behind the numbers, in alphabetical order, so that sums do not hang on what else stands in the table.
    """

    query: np.ndarray
    gallery: np.ndarray
    own: np.ndarray
    other: np.ndarray
    calibrate: np.ndarray
    crops: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    animals: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))

    @classmethod
    def of(cls, scored: pa.Table, labels: Mapping[str, str | None]) -> Cohorts:
        """From scored rows of ``pairs`` and the individual by photo_id, as far as visible."""
        query, gallery, crops = _codes(*(scored[f"{side}_crop_id"].combine_chunks() for side in ("query", "gallery")))
        own, other, animals = _codes(*(labels_of(scored[f"{side}_photo_id"], labels) for side in ("query", "gallery")))
        return cls(query, gallery, own, other, np.asarray(pc.equal(scored["purpose"], CALIBRATE)), crops, animals)

    def scores(self, x: np.ndarray, null: Moments | None, known: KnownSums | None = None) -> np.ndarray:
        """(N,) mean of the two z-scores of ``x``; NaN without a null.

        Each cohort is shrunk towards the pooled null by `PSEUDO_PAIRS` imagined pairs, so that a small one cannot give extreme values.

        Args:
            x: (N,) values of the pairs on a scale on which mean and spread are meaningful.
            null: Mean and spread of ``x`` among pairs of different animals.
            known: What other pairs have shown of some of these crops; those pairs are not in the table, and none of these is a cohort of
                the same crop.
        """
        if null is None:
            return np.full(len(x), np.nan)
        sums = self.sums(x) if known is None else self.sums(x).joined(known, self)
        return (sums.z(x, self.query, self.other, null) + sums.z(x, self.gallery, self.own, null)) / 2

    def sums(self, x: np.ndarray) -> _Sums:
        """Number, sum and sum of squares of ``x`` (N,) in the cohort of each crop."""
        apart = self.own != self.other
        from_query, from_gallery = apart & (self.other != NOBODY), apart & (self.own != NOBODY) & self.calibrate
        crop = np.concatenate([self.query[from_query], self.gallery[from_gallery]])
        partner = np.concatenate([self.gallery[from_query], self.query[from_gallery]])
        met = np.concatenate([self.other[from_query], self.own[from_gallery]])
        value = np.concatenate([x[from_query], x[from_gallery]])
        _, once = np.unique(crop * _how_many(self.query, self.gallery) + partner, return_index=True)
        return _Sums.of(crop[once], met[once], value[once], self)


@dataclass(frozen=True)
class KnownSums:
    """What the cohorts of some crops come to, in a form that outlasts the table that they were computed from.

    Attributes:
        totals: Columns ``crop_id``, ``n``, ``first`` and ``second``: number, sum and sum of squares.
        parts: The same by animal: with ``individual_id`` too.
    """

    totals: pa.Table
    parts: pa.Table

    @classmethod
    def empty(cls) -> KnownSums:
        """Of no crop."""
        ids, powers = pa.array([], pa.string()), _powers(np.zeros((0, len(POWERS))))
        return cls(pa.table({"crop_id": ids, **powers}), pa.table({"crop_id": ids, "individual_id": ids, **powers}))

    @classmethod
    def of(cls, cohorts: Cohorts, x: np.ndarray) -> KnownSums:
        """Of all crops of a table, from (N,) values of its pairs."""
        sums = cohorts.sums(x)
        crop, animal = np.divmod(sums.keys, sums.n_names)
        totals = {"crop_id": cohorts.crops, **_powers(sums.totals[: len(cohorts.crops)])}
        owners = {
            "crop_id": cohorts.crops.take(pa.array(crop)),
            "individual_id": cohorts.animals.take(pa.array(animal)),
        }
        return cls(pa.table(totals), pa.table(owners | _powers(sums.parts)))


def _powers(values: np.ndarray) -> dict[str, pa.Array]:
    return {name: pa.array(values[:, k], pa.float64()) for k, name in enumerate(POWERS)}


@dataclass(frozen=True)
class _Sums:
    """Number, sum and sum of squares of each crop's cohort, in all (totals) and by animal (parts, one row per key)."""

    keys: np.ndarray
    parts: np.ndarray
    totals: np.ndarray
    n_names: int

    @classmethod
    def of(cls, crop: np.ndarray, name: np.ndarray, value: np.ndarray, among: Cohorts) -> _Sums:
        """From cohort pairs: crop, animal that it met, score."""
        n_crops, n_names = _how_many(among.query, among.gallery), _how_many(among.own, among.other)
        keys, which = np.unique(crop * n_names + name, return_inverse=True)
        powers = (np.ones(len(value)), value, value**2)
        parts = np.stack([np.bincount(which, p, len(keys)) for p in powers], axis=1)
        return cls(keys, parts, np.stack([np.bincount(crop, p, n_crops) for p in powers], axis=1), n_names)

    def joined(self, known: KnownSums, among: Cohorts) -> _Sums:
        """With the sums of other crops of the table, and of animals in it.

        Raises:
            BrokenCountError: A crop has sums in both.
        """
        crop, values = _found(known.totals, "crop_id", among.crops)
        if self.totals[crop, 0].any():
            raise BrokenCountError(
                "a crop has a cohort here and among the calibration pairs; run the same command again"
            )
        totals = self.totals.astype(np.float64)  # a copy; without any pair NumPy counts in integers
        totals[crop] += values
        of_crop, of_animal = (
            np.asarray(pc.fill_null(pc.index_in(known.parts[name].combine_chunks(), ids), NOBODY))
            for name, ids in (("crop_id", among.crops), ("individual_id", among.animals))
        )
        here = (of_crop != NOBODY) & (of_animal != NOBODY)
        keys = np.concatenate([self.keys, of_crop[here].astype(np.int64) * self.n_names + of_animal[here]])
        parts = np.concatenate([self.parts, _matrix(known.parts)[here]])
        order = np.argsort(keys)
        return _Sums(keys[order], parts[order], totals, self.n_names)

    def z(self, x: np.ndarray, crop: np.ndarray, without: np.ndarray, null: Moments) -> np.ndarray:
        """(N,) ``x`` in standard deviations above each crop's cohort, without one animal."""
        n, first, second = (self.totals[crop] - self._part(crop, without)).T
        mean, variance = shrunk(n, first, second, null, PSEUDO_PAIRS)
        return np.asarray((x - mean) / np.sqrt(np.maximum(variance, 1e-12)))

    def _part(self, crop: np.ndarray, name: np.ndarray) -> np.ndarray:
        if not len(self.keys):
            return np.zeros((len(crop), 3))
        wanted = crop * self.n_names + name
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        met = (self.keys[at] == wanted) & (name != NOBODY)
        return np.where(met[:, None], self.parts[at], 0.0)


def _how_many(query: np.ndarray, gallery: np.ndarray) -> int:
    return 1 + int(max(query.max(initial=0), gallery.max(initial=0)))


def _found(table: pa.Table, key: str, ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(M,) numbers of those ids that the table has, and (M, 3) their sums."""
    at = np.asarray(pc.fill_null(pc.index_in(table[key].combine_chunks(), ids), NOBODY))
    return at[at != NOBODY], _matrix(table)[at != NOBODY]


def _matrix(table: pa.Table) -> np.ndarray:
    """(N, 3) number, sum and sum of squares."""
    return np.stack([table[name].to_numpy() for name in POWERS], axis=1)


def _codes(query: pa.Array, gallery: pa.Array) -> tuple[np.ndarray, np.ndarray, pa.Array]:
    """Numbers of the names on both sides, `NOBODY` where there is none, and the names in alphabetical order."""
    names = pa.concat_arrays([query.cast(pa.string()), gallery.cast(pa.string())]).dictionary_encode()
    order = pc.array_sort_indices(names.dictionary)
    place = np.empty(len(order) + 1, np.int64)
    place[order.to_numpy()], place[-1] = np.arange(len(order)), NOBODY
    codes = place[pc.fill_null(names.indices, NOBODY).to_numpy().astype(np.int64)]
    return codes[: len(query)], codes[len(query) :], names.dictionary.take(order)
