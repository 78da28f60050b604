"""The distribution of match confidences of many pairs at once, and the mathematics on it.

The full vector of a crop holds one confidence per keypoint: those of the mutual matches, and exactly 0 for all others.
Both crops of a pair share the positive part, each match once, so one histogram and two keypoint counts are enough.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import BrokenCountError
from resight.status import PairStatus

_INTEGERS = ("n_keypoints_query", "n_keypoints_gallery", "n_matches", "n_above_01", "n_above_05")
_CONFIDENCES = ("confidence_sum", "confidence_sum_squares", "confidence_sum_above_half", "confidence_max")
VOTES = ("lnbnn", "lnbnn_verified")
HISTOGRAM = "confidence_histogram"
_FLOATS = (*_CONFIDENCES, "log_likelihood_ratio")
GRADES = ("n_inliers", "agreement")
NUMBERS = (*_INTEGERS, *_FLOATS, *GRADES, *VOTES, "cosine")  # all that is read of a pair beside its histogram


@dataclass(frozen=True)
class Distributions:
    """N scored pairs as arrays of length N; see the ``pairs`` table for the meaning of each.

    Attributes:
        bins: (N, B) int32, see `histogram`; None where they were not read.
        n_inliers: (N,) float64, NaN where geometry was not tried.
        agreement: (N,) float64, see `match.affine.affine_agreement`; NaN where matches are not graded.
        null_cdf: (C, B + 1) float64, cumulative null distributions at the edges 0, 1/B, ..., 1.
        null_row: (N,) int64, row of ``null_cdf`` that a pair is compared with, -1 for none.
        residual, cohort_score: (N,) see `score.null.CountNull.residual` and `score.cohorts`; NaN without a null.
        cohort_inliers: (N,) see `score.cohorts`; NaN where geometry was not tried for all pairs.
        lnbnn, lnbnn_verified: (N,) votes, NaN without voting.
        cosine: (N,) of the two vectors, NaN without vectors.
        fused: (N,) log likelihood ratio of the fusion, NaN without one.
    """

    n_keypoints_query: np.ndarray
    n_keypoints_gallery: np.ndarray
    n_matches: np.ndarray
    n_above_01: np.ndarray
    n_above_05: np.ndarray
    n_inliers: np.ndarray
    agreement: np.ndarray
    confidence_sum: np.ndarray
    confidence_sum_squares: np.ndarray
    confidence_sum_above_half: np.ndarray
    confidence_max: np.ndarray
    log_likelihood_ratio: np.ndarray
    bins: np.ndarray | None
    null_cdf: np.ndarray
    null_row: np.ndarray
    residual: np.ndarray
    cohort_score: np.ndarray
    cohort_inliers: np.ndarray
    lnbnn: np.ndarray
    lnbnn_verified: np.ndarray
    cosine: np.ndarray
    fused: np.ndarray

    @property
    def histogram(self) -> np.ndarray:
        """(N, B) int32, mutual matches by confidence in B equal bins over (0, 1].

        Raises:
            BrokenCountError: They were not read.
        """
        if self.bins is None:
            raise BrokenCountError(
                "a score asks for the confidence histograms of pairs that were read without them; it must not say "
                "reads_histogram = False"
            )
        return self.bins

    def rows(self, rows: np.ndarray) -> Distributions:
        """Some of the pairs, by (M,) numbers of rows."""
        whole = {f.name for f in fields(self) if getattr(self, f.name) is None} | {"null_cdf"}
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in whole})


def mean_confidence(confidence_sum: np.ndarray, n_query: np.ndarray, n_gallery: np.ndarray) -> np.ndarray:
    """(N,) sum of confidences over the geometric mean of the two keypoint counts."""
    return np.asarray(confidence_sum / np.sqrt(n_query.astype(np.float64) * n_gallery))


def inlier_score(
    n_inliers: np.ndarray,
    agreement: np.ndarray,
    confidence_sum: np.ndarray,
    n_query: np.ndarray,
    n_gallery: np.ndarray,
) -> np.ndarray:
    """(N,) matches that agree with one geometry, or how well they do where they are graded, plus the mean confidence.

    NaN where geometry was not tried.
    """
    agreeing = np.where(np.isnan(agreement), n_inliers, agreement)
    return np.asarray(agreeing + mean_confidence(confidence_sum, n_query, n_gallery))


def scored_only(pairs: pa.Table) -> pa.Table:
    """The rows that were matched; no other row has a score, not even a bad one."""
    matched = pc.equal(pairs["status"], PairStatus.SCORED.value)
    return pairs if pc.all(matched, min_count=0).as_py() and not matched.null_count else pairs.filter(matched)


def read_distributions(
    scored: pa.Table,
    null_cdf: np.ndarray | None = None,
    null_row: np.ndarray | None = None,
    voted: Collection[str] = (),
) -> Distributions:
    """Arrays of a ``pairs`` table that holds only scored rows; without the column of histograms these are not there.

    ``voted`` names columns of votes that pairs beside these have: a pair without votes then has 0 of them.

    Raises:
        BrokenCountError: A scored pair lacks a value, has no keypoints, or its histogram does not hold its matches.
    """
    numbers = {name: _column(scored, name, np.int64) for name in _INTEGERS}
    numbers |= {name: _column(scored, name, np.float64) for name in _FLOATS}
    numbers |= {name: optional(scored, name) for name in GRADES}
    for name in VOTES:  # a pair without votes among pairs with votes has 0 of them
        votes = optional(scored, name)
        numbers[name] = votes if np.isnan(votes).all() and name not in voted else np.nan_to_num(votes)
    cosine = optional(
        scored, "cosine"
    )  # a pair that lacks one among pairs that have one is as alike as they are on average
    numbers["cosine"] = cosine if np.isnan(cosine).all() else np.nan_to_num(cosine, nan=float(np.nanmean(cosine)))
    unknown = np.full(scored.num_rows, np.nan)
    numbers |= {"residual": unknown, "cohort_score": unknown, "cohort_inliers": unknown, "fused": unknown}
    histogram = read_histograms(scored) if HISTOGRAM in scored.column_names else None
    _check(scored, numbers, histogram)
    row = np.full(scored.num_rows, -1) if null_row is None else null_row
    cdf = np.zeros((0, 1 if histogram is None else histogram.shape[1] + 1)) if null_cdf is None else null_cdf
    return Distributions(bins=histogram, null_cdf=cdf, null_row=row, **numbers)


def read_histograms(scored: pa.Table) -> np.ndarray:
    """(N, B) int32 from the column ``confidence_histogram``, without a copy: at 64 bins they are half of all that a pair needs.

    Raises:
        BrokenCountError: A histogram is missing or they differ in length.
    """
    column = scored[HISTOGRAM].combine_chunks()
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if column.null_count or len(lengths) > 1:
        raise BrokenCountError(
            f"the confidence histograms of the scored pairs have {lengths} bins; "
            "rerun the matching with one value of score.bins"
        )
    bins = lengths[0] if lengths else 1
    return pc.list_flatten(column).to_numpy(zero_copy_only=False).reshape(-1, bins)


def optional(scored: pa.Table, name: str) -> np.ndarray:
    """(N,) float64, NaN where a value or the whole column is missing."""
    if name not in scored.column_names:
        return np.full(scored.num_rows, np.nan)
    return scored[name].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)


def _column(scored: pa.Table, name: str, dtype: type) -> np.ndarray:
    column = scored[name]
    if column.null_count:
        raise BrokenCountError(f"{column.null_count} scored pairs have no {name}; rerun the matching of these pairs")
    return column.to_numpy().astype(dtype)


def _check(scored: pa.Table, numbers: dict[str, np.ndarray], histogram: np.ndarray | None) -> None:
    ungraded = int(np.isnan(numbers["agreement"]).sum())
    if 0 < ungraded < scored.num_rows:
        raise BrokenCountError(
            f"{ungraded} of {scored.num_rows} scored pairs have no agreement, so that their scores are of another kind; rerun the matching of "
            "these pairs"
        )
    keypoints = np.minimum(numbers["n_keypoints_query"], numbers["n_keypoints_gallery"])
    wrong = (keypoints < 1) | (numbers["n_matches"] > keypoints)
    if histogram is not None:
        wrong |= histogram.sum(axis=1) != numbers["n_matches"]
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        ids = f"{scored['query_crop_id'][first]} and {scored['gallery_crop_id'][first]}"
        raise BrokenCountError(
            f"{int(wrong.sum())} scored pairs have no keypoints, more matches than keypoints, or a histogram that does "
            f"not hold their matches (first: {ids}); rerun the matching of these pairs"
        )


def seed_auc(d: Distributions) -> np.ndarray:
    """(N,) area under the cumulative curve of a crop's full vector of confidences, averaged over both crops; 1 without matches.

    With n keypoints, ``1 - mean - (mean - (min + max) / 2) / (n - 1)``, which equals the trapezoid rule over the
    sorted confidences against ``linspace(0, 1, n)``. A single keypoint has no such curve; it gets the exact area
    ``1 - mean``, so that no match stays the worst. The smallest confidence is 0 unless every keypoint is matched;
    then it is taken from the middle of the lowest filled bin (error of the area at most ``1 / (4 B (n - 1))``).
    """
    return (_one_auc(d, d.n_keypoints_query) + _one_auc(d, d.n_keypoints_gallery)) / 2


def _one_auc(d: Distributions, n_keypoints: np.ndarray) -> np.ndarray:
    n = n_keypoints.astype(np.float64)
    mean = d.confidence_sum / n
    middle = (_smallest(d, n) + d.confidence_max) / 2
    correction = np.divide(mean - middle, n - 1, out=np.zeros_like(mean), where=n > 1)
    return 1 - mean - correction


def _smallest(d: Distributions, n: np.ndarray) -> np.ndarray:
    """(N,) smallest confidence of the full vector of a crop with n keypoints."""
    bins = d.histogram.shape[1]
    lowest = ((d.histogram > 0).argmax(axis=1) + 0.5) / bins
    return np.where(d.n_matches < n, 0.0, np.minimum(lowest, d.confidence_sum / n))


def pooled_mean(d: Distributions) -> np.ndarray:
    """(N,) ``2 S / (n0 + n1)``: mean over the full vectors of both crops; also W1 to a point mass at 0."""
    return 2 * d.confidence_sum / (d.n_keypoints_query + d.n_keypoints_gallery)


def sum_above(d: Distributions, threshold: float) -> np.ndarray:
    """(N,) ``sum of s > threshold``, from the exact sum and the histogram.

    Values up to the threshold count with the middle of their bin, and those of the bin that it cuts with the share that lies
    below it: an error of at most half a bin per small confidence.
    """
    bins = d.histogram.shape[1]
    edges = np.arange(bins + 1) / bins
    part = ((threshold - edges[:-1]) * bins).clip(0, 1)
    middle = (edges[:-1] + np.minimum(edges[1:], np.maximum(threshold, edges[:-1]))) / 2
    return np.maximum(d.confidence_sum - d.histogram @ (part * middle), 0.0)


def cdf_at_edges(histogram: np.ndarray, n_values: np.ndarray) -> np.ndarray:
    """(N, B + 1) share of the values that are <= 0, 1/B, ..., 1; the ``n_values - sum`` others are zeros."""
    positive = histogram.sum(axis=-1, keepdims=True)
    below = np.concatenate([np.zeros_like(positive), histogram.cumsum(axis=-1)], axis=-1)
    total = np.asarray(n_values)[..., None]
    return (total - positive + below) / total


def positive_area(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Integral of ``max(0, g)`` over [0, 1] for straight lines g from ``left`` to ``right``, elementwise."""
    a, b = np.maximum(left, 0), np.maximum(right, 0)
    crossing = left * right < 0
    run = np.abs(left) + np.abs(right)
    triangle = np.divide(np.maximum(a, b) ** 2, 2 * run, out=np.zeros_like(run), where=crossing)
    return np.where(crossing, triangle, (a + b) / 2)
