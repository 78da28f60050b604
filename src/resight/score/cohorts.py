"""Scores held against what the same two crops score with other animals (S-norm, as in speaker recognition).

Auckenthaler et al., Digital Signal Processing 10 (2000): a score is z-scored by the impostor cohort of either side, and the
two are averaged. Some crops, sharp ones with many keypoints, match everybody; their own cohort takes that out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from resight.score.null import Moments

PSEUDO_PAIRS = 5.0
NOBODY = -1


def cohort_scores(
    scored: pa.Table, x: np.ndarray, labels: Mapping[str, str | None], null: Moments | None
) -> np.ndarray:
    """(N,) mean of the two z-scores of ``x``; NaN without a null.

    The cohort of a query crop are its pairs with animals other than the candidate (and its own, where that is known); the
    cohort of a gallery crop are its calibration pairs with animals other than its own and the query's. Each cohort is
    drawn towards the pooled null by `PSEUDO_PAIRS` imagined pairs, so that a small one cannot give wild values.

    Args:
        scored: Scored rows of ``pairs``.
        x: (N,) their values on a scale on which a mean and a spread say something.
        labels: Individual by photo_id, as far as visible.
        null: Mean and spread of ``x`` among pairs of different animals.
    """
    if null is None:
        return np.full(len(x), np.nan)
    crops, n_crops = _codes(scored, "crop_id")
    names = [_names(scored, side, labels) for side in ("query", "gallery")]
    numbers = {name: k for k, name in enumerate(sorted({n for side in names for n in side} - {""}))}
    own, other = (np.array([numbers.get(n, NOBODY) for n in side], np.int64) for side in names)
    calibrate = np.array([p == "calibrate" for p in scored["purpose"].to_pylist()], bool)
    apart = own != other
    from_query, from_gallery = apart & (other != NOBODY), apart & (own != NOBODY) & calibrate
    crop = np.concatenate([crops[0][from_query], crops[1][from_gallery]])
    met = np.concatenate([other[from_query], own[from_gallery]])
    sums = _Sums.of(crop, met, np.concatenate([x[from_query], x[from_gallery]]), n_crops, max(len(numbers), 1))
    return (sums.z(x, crops[0], other, null) + sums.z(x, crops[1], own, null)) / 2


class _Sums:
    """Number, sum and sum of squares of the cohort of each crop, and the part of each animal in them."""

    def __init__(self, keys: np.ndarray, parts: np.ndarray, totals: np.ndarray, n_names: int) -> None:
        self.keys, self.parts, self.totals, self.n_names = keys, parts, totals, n_names

    @classmethod
    def of(cls, crop: np.ndarray, name: np.ndarray, value: np.ndarray, n_crops: int, n_names: int) -> _Sums:
        """From cohort pairs: crop, animal that it met, score."""
        keys, which = np.unique(crop * n_names + name, return_inverse=True)
        powers = (np.ones(len(value)), value, value**2)
        parts = np.stack([np.bincount(which, p, len(keys)) for p in powers], axis=1)
        return cls(keys, parts, np.stack([np.bincount(crop, p, n_crops) for p in powers], axis=1), n_names)

    def z(self, x: np.ndarray, crop: np.ndarray, without: np.ndarray, null: Moments) -> np.ndarray:
        """(N,) ``x`` in standard deviations above each crop's cohort, from which one animal is left out."""
        n, first, second = (self.totals[crop] - self._part(crop, without)).T
        n, first = n + PSEUDO_PAIRS, first + PSEUDO_PAIRS * null.mean
        second = second + PSEUDO_PAIRS * (null.mean**2 + null.spread**2)
        variance = second / n - (first / n) ** 2
        return np.asarray((x - first / n) / np.sqrt(np.maximum(variance, 1e-12)))

    def _part(self, crop: np.ndarray, name: np.ndarray) -> np.ndarray:
        if not len(self.keys):
            return np.zeros((len(crop), 3))
        wanted = crop * self.n_names + name
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        found = (self.keys[at] == wanted) & (name != NOBODY)
        return np.where(found[:, None], self.parts[at], 0.0)


def _codes(scored: pa.Table, column: str) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    """Number of the query's and of the gallery's crop in each row, and how many there are."""
    sides = [scored[f"{side}_{column}"].combine_chunks().cast(pa.string()) for side in ("query", "gallery")]
    encoded = pa.concat_arrays(sides).dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64)
    return (codes[: len(sides[0])], codes[len(sides[0]) :]), len(encoded.dictionary)


def _names(scored: pa.Table, side: str, labels: Mapping[str, str | None]) -> list[str]:
    """Animal of each row's photo; empty where nobody has said."""
    return [labels.get(photo) or "" for photo in scored[f"{side}_photo_id"].to_pylist()]
