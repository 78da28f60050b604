"""Scores compared with what the same two crops score with other animals (S-norm, as in speaker recognition).

Auckenthaler et al., Digital Signal Processing 10 (2000): a score is z-scored by the impostor cohort of each side, and the two
are averaged. Some crops, sharp ones with many keypoints, match every animal; their own cohort corrects for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.score.null import CALIBRATE, Moments, labels_of, shrunk

PSEUDO_PAIRS = 5.0
NOBODY = -1


@dataclass(frozen=True)
class Cohorts:
    """Which pairs each crop is compared with.

    The cohort of a query crop consists of its pairs with animals other than the candidate (and its own, if labelled); that of a
    gallery crop consists of its calibration pairs with animals other than its own and the query's.

    Attributes:
        query, gallery: (N,) number of each pair's crops.
        own, other: (N,) number of the query's and of the gallery photo's animal, `NOBODY` if unlabelled.
        calibrate: (N,) bool, both photos are of known animals.
    """

    query: np.ndarray
    gallery: np.ndarray
    own: np.ndarray
    other: np.ndarray
    calibrate: np.ndarray

    @classmethod
    def of(cls, scored: pa.Table, labels: Mapping[str, str | None]) -> Cohorts:
        """From scored rows of ``pairs`` and the individual by photo_id, as far as visible."""
        crops = _codes(*(scored[f"{side}_crop_id"].combine_chunks() for side in ("query", "gallery")))
        animals = _codes(*(labels_of(scored[f"{side}_photo_id"], labels) for side in ("query", "gallery")))
        return cls(*crops, *animals, np.asarray(pc.equal(scored["purpose"], CALIBRATE)))

    def scores(self, x: np.ndarray, null: Moments | None) -> np.ndarray:
        """(N,) mean of the two z-scores of ``x``; NaN without a null.

        Each cohort is shrunk towards the pooled null by `PSEUDO_PAIRS` imagined pairs, so that a small one cannot give extreme values.

        Args:
            x: (N,) values of the pairs on a scale on which mean and spread are meaningful.
            null: Mean and spread of ``x`` among pairs of different animals.
        """
        if null is None:
            return np.full(len(x), np.nan)
        apart = self.own != self.other
        from_query, from_gallery = apart & (self.other != NOBODY), apart & (self.own != NOBODY) & self.calibrate
        crop = np.concatenate([self.query[from_query], self.gallery[from_gallery]])
        met = np.concatenate([self.other[from_query], self.own[from_gallery]])
        sums = _Sums.of(crop, met, np.concatenate([x[from_query], x[from_gallery]]), self)
        return (sums.z(x, self.query, self.other, null) + sums.z(x, self.gallery, self.own, null)) / 2


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


def _codes(query: pa.Array, gallery: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the names on both sides, `NOBODY` where there is none."""
    names = pa.concat_arrays([query.cast(pa.string()), gallery.cast(pa.string())]).dictionary_encode()
    codes = pc.fill_null(names.indices, NOBODY).to_numpy().astype(np.int64)
    return codes[: len(query)], codes[len(query) :]
