"""The null distribution: match confidences of pairs of different animals."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.score.distribution import GRADES, cdf_at_edges, inlier_score, optional, read_histograms, scored_only
from resight.store.columns import mapped

MIN_CLASS_PAIRS = 50
MIN_COUNT_PAIRS = 20
CALIBRATE = "calibrate"


@dataclass(frozen=True)
class NullDistribution:
    """All confidences of impostor pairs pooled, including the zeros of both crops' unmatched keypoints.

    Attributes:
        n_pairs: Pairs behind it.
        n_values: Confidences, zeros included.
        counts: Positive confidences in equal bins over (0, 1].
    """

    n_pairs: int
    n_values: int
    counts: tuple[int, ...]

    def cdf(self) -> np.ndarray:
        """(B + 1,) cumulative distribution at the bin edges; the first is the share of zeros, the last is 1."""
        return cdf_at_edges(np.array(self.counts), np.array(self.n_values))


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of a score among pairs of different animals."""

    mean: float
    spread: float


# What impostors elsewhere score, so that a gallery of two animals has a scale too. It counts as 150 pairs: a few dozen rarely hold one of
# the photos that match many strangers, and a scale learned from them alone makes such a photo look like the animal (DECISIONS.md).
SHIPPED_INLIERS, SHIPPED_PAIRS = Moments(1.2, 3.0), 150
# The same where matches are graded (`match.affine.affine_agreement`), in folders of 36 loggerheads that did not train the bundled matcher.
SHIPPED_AGREEMENT = Moments(0.6, 1.3)


@dataclass(frozen=True)
class CountNull:
    """``log(S + 1)`` of impostor pairs for given keypoint counts, where S is the sum of confidences.

    ``E = intercept + slope * log(n0 n1) + bend * log(n0 / n1)^2``: symmetric in the two crops, by least squares.

    Attributes:
        residual_spread: Standard deviation around that.
        mean, spread: Mean and standard deviation without regard to the counts.
    """

    intercept: float
    slope: float
    bend: float
    residual_spread: float
    mean: float
    spread: float

    @property
    def moments(self) -> Moments:
        """Without regard to the counts."""
        return Moments(self.mean, self.spread)

    def residual(self, log_sum: np.ndarray, n0: np.ndarray, n1: np.ndarray) -> np.ndarray:
        """(N,) standard deviations above impostors with as many keypoints."""
        expected = count_terms(n0, n1) @ (self.intercept, self.slope, self.bend)
        return (log_sum - expected) / self.residual_spread


@dataclass(frozen=True)
class Null:
    """The pooled null, and one for each class of viewpoints with at least `MIN_CLASS_PAIRS` pairs.

    ``counts`` is None where there are fewer than `MIN_COUNT_PAIRS` pairs, or all score the same. ``inliers`` stays at
    the shipped value as long as there are no pairs.
    """

    pooled: NullDistribution | None = None
    by_class: Mapping[str, NullDistribution] = field(default_factory=dict)
    counts: CountNull | None = None
    inliers: Moments = SHIPPED_INLIERS

    def table(self, classes: pa.Array) -> tuple[np.ndarray | None, np.ndarray]:
        """Cumulative distributions (C, B + 1), and for each of ``classes`` (texts) the row to use; -1 where there is none."""
        if self.pooled is None:
            return None, np.full(len(classes), -1)
        names = sorted(self.by_class)
        row = {name: k + 1 for k, name in enumerate(names)}
        cdf = np.stack([self.pooled.cdf(), *(self.by_class[name].cdf() for name in names)])
        return cdf, np.asarray(pc.fill_null(mapped(classes, row, pa.int64()), 0))


def learn_null(
    pairs: pa.Table, labels: Mapping[str, str | None], most: int, viewpoints: Mapping[str, str] | None = None
) -> Null:
    """Null from the calibration pairs of two different known animals, never from the pairs being judged.

    Args:
        pairs: The ``pairs`` table.
        labels: Individual by photo_id; missing or None for unlabelled photos.
        most: Most pairs to use; if there are more, a digest of their ids decides which, so that their order does not matter.
        viewpoints: Viewpoint by crop_id.

    Returns:
        A `Null` without distributions where there is no such pair.
    """
    return null_of(impostor_pairs(pairs, labels, most), viewpoints, shipped_inliers(is_graded(pairs)))


def is_graded(pairs: pa.Table) -> bool:
    """Whether matches of these pairs are graded."""
    return not np.isnan(optional(pairs, "agreement")).all()


def shipped_inliers(graded: bool) -> Moments:
    """What impostors elsewhere score by the matches that agree, where these are graded or where they are counted."""
    return SHIPPED_AGREEMENT if graded else SHIPPED_INLIERS


def impostor_pairs(pairs: pa.Table, labels: Mapping[str, str | None], most: int) -> pa.Table:
    """The rows that `learn_null` learns from; histograms are not looked at."""
    calibrate = scored_only(pairs.filter(pc.equal(pairs["purpose"], CALIBRATE)))
    same = same_individual(calibrate, labels)
    return _thin(calibrate, np.flatnonzero(pc.fill_null(pc.invert(same), False)), most)


def null_of(
    impostors: pa.Table, viewpoints: Mapping[str, str] | None = None, elsewhere: Moments = SHIPPED_INLIERS
) -> Null:
    """The null of pairs of different animals, see `learn_null`; ``elsewhere`` from `shipped_inliers`."""
    if not impostors.num_rows:
        return Null(inliers=elsewhere)
    classes = np.array(viewpoint_classes(impostors, viewpoints).to_pylist())  # of `most` pairs
    histogram = read_histograms(impostors)
    values = _keypoints(impostors, "query") + _keypoints(impostors, "gallery")
    names, sizes = np.unique(classes, return_counts=True)
    large = [str(name) for name, size in zip(names, sizes, strict=True) if name and size >= MIN_CLASS_PAIRS]
    by_class = {name: _pool(histogram[classes == name], values[classes == name]) for name in large}
    return Null(_pool(histogram, values), by_class, _count_null(impostors), _inlier_null(impostors, elsewhere))


def same_individual(pairs: pa.Table, labels: Mapping[str, str | None]) -> pa.Array:
    """(N,) bool: what the labels say; null where one of the two photos is unlabelled."""
    query, gallery = (labels_of(pairs[f"{side}_photo_id"], labels) for side in ("query", "gallery"))
    return pc.equal(query, gallery)


def viewpoint_classes(pairs: pa.Table, viewpoints: Mapping[str, str] | None) -> pa.Array:
    """Class of each pair: its two viewpoints in alphabetical order, e.g. ``left-top``; '' if unknown."""
    if viewpoints is None:
        return pa.repeat(pa.scalar(""), pairs.num_rows)
    named = {crop_id: view or None for crop_id, view in viewpoints.items()}
    a, b = (mapped(pairs[f"{side}_crop_id"], named, pa.string()) for side in ("query", "gallery"))
    swapped = pc.fill_null(pc.greater(a, b), False)
    joined = pc.binary_join_element_wise(pc.if_else(swapped, b, a), pc.if_else(swapped, a, b), "-")
    return pc.fill_null(joined, "")


def labels_of(photo_ids: pa.ChunkedArray, labels: Mapping[str, str | None]) -> pa.Array:
    """Individual of each photo; missing for unlabelled photos."""
    return mapped(photo_ids, labels, pa.string())


def count_terms(n0: np.ndarray, n1: np.ndarray) -> np.ndarray:
    """(N, 3) regressors of `CountNull`."""
    a, b = np.log(np.asarray(n0, np.float64)), np.log(np.asarray(n1, np.float64))
    return np.stack([np.ones_like(a), a + b, (a - b) ** 2], axis=-1)


def _count_null(impostors: pa.Table) -> CountNull | None:
    if impostors.num_rows < MIN_COUNT_PAIRS:
        return None
    log_sum = np.log1p(impostors["confidence_sum"].to_numpy().astype(np.float64))
    terms = count_terms(_keypoints(impostors, "query"), _keypoints(impostors, "gallery"))
    fitted, *_ = np.linalg.lstsq(terms, log_sum, rcond=1e-9)  # equal counts everywhere: the shortest solution
    around = float(np.std(log_sum - terms @ fitted))
    if around < 1e-9:
        return None
    intercept, slope, bend = (float(v) for v in fitted)
    return CountNull(intercept, slope, bend, around, float(log_sum.mean()), float(log_sum.std()))


def _inlier_null(impostors: pa.Table, elsewhere: Moments) -> Moments:
    """Of the score ``inliers``, together with `SHIPPED_PAIRS` pairs of elsewhere."""
    sums = impostors["confidence_sum"].to_numpy().astype(np.float64)
    query, gallery = (_keypoints(impostors, side) for side in ("query", "gallery"))
    n_inliers, agreement = (optional(impostors, name) for name in GRADES)
    x = inlier_score(n_inliers, agreement, sums, query, gallery)
    x = x[~np.isnan(x)]
    mean, variance = shrunk(len(x), x.sum(), np.square(x).sum(), elsewhere, SHIPPED_PAIRS)
    return Moments(float(mean), float(np.sqrt(variance)))


def shrunk(n: Any, first: Any, second: Any, towards: Moments, pairs: float) -> tuple[Any, Any]:
    """Mean and variance of ``n`` values with that sum and sum of squares, together with ``pairs`` imagined pairs
    of ``towards``; numbers, or arrays of one shape."""
    n, first = n + pairs, first + pairs * towards.mean
    second = second + pairs * (towards.mean**2 + towards.spread**2)
    return first / n, second / n - (first / n) ** 2


def _keypoints(pairs: pa.Table, side: str) -> np.ndarray:
    return pairs[f"n_keypoints_{side}"].to_numpy().astype(np.int64)


def _pool(histogram: np.ndarray, values: np.ndarray) -> NullDistribution:
    counts = 2 * histogram.sum(axis=0)  # each match is a confidence of both crops
    return NullDistribution(len(histogram), int(values.sum()), tuple(int(c) for c in counts))


def _thin(pairs: pa.Table, rows: np.ndarray, most: int) -> pa.Table:
    """At most so many of these rows."""
    if len(rows) > most:
        # Times 3, so that (a, b) and (b, a) have different digests.
        digests = (_digests(pairs["query_crop_id"]) * np.uint64(3)) ^ _digests(pairs["gallery_crop_id"])
        rows = rows[np.argsort(digests[rows], kind="stable")[:most]]
    return pairs.take(pa.array(rows))


def _digests(ids: pa.ChunkedArray) -> np.ndarray:
    encoded = ids.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    digests = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") for name in names]
    return np.array(digests, np.uint64)[encoded.indices.to_numpy()]
