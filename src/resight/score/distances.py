"""Distances between a pair's distribution of confidences and the null: transport, energy and supremum.

All look at the pooled full vectors of both crops, so they are symmetric, and are NaN where there is no null.
Both cumulative curves are given at the edges of B equal bins and taken as straight between them; at 0 both jump by their
share of zeros. ``g = F_null - F_pair`` is positive where the pair has more high confidences than pairs of different animals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from resight.score.distribution import Distributions, cdf_at_edges, positive_area

# Pairs whose curves are worked on together: a megabyte each, so that all steps find them in the processor's cache.
ROWS_AT_ONCE = 2048
QUANTILES = 512
QUANTILE_ROWS = 256  # pairs whose quantiles are worked on together: a megabyte, as above


def one_sided_wasserstein(d: Distributions) -> np.ndarray:
    """(N,) ``W1+ = integral over [0, 1] of max(0, g)``: confidence mass above the null.

    (The plain Wasserstein distance has no sign: a pair far below the null would count as a good one.) Straight lines within
    a bin change the result by at most ``(share_pair + share_null) / (2 B)``, with the shares of keypoints that are matched.
    """
    return _over_gaps(d, lambda g: positive_area(g[:, :-1], g[:, 1:]).sum(axis=1) / (g.shape[1] - 1))


def wasserstein_1(d: Distributions) -> np.ndarray:
    """(N,) ``W1 = integral of |g|`` (Kantorovich's dual on the line); unsigned, so no score to rank by."""

    def area(g: np.ndarray) -> np.ndarray:
        both = positive_area(g[:, :-1], g[:, 1:]) + positive_area(-g[:, :-1], -g[:, 1:])
        return both.sum(axis=1) / (g.shape[1] - 1)

    return _over_gaps(d, area)


def signed_wasserstein(d: Distributions) -> np.ndarray:
    """(N,) ``integral of g``, which is the mean confidence of the pair minus that of the null."""
    return _over_gaps(d, lambda g: (g[:, :-1] + g[:, 1:]).sum(axis=1) / (2 * (g.shape[1] - 1)))


def signed_energy(d: Distributions) -> np.ndarray:
    """(N,) energy distance ``sqrt(2 integral g^2)`` (Szekely and Rizzo 2013) with the sign of ``integral of g``."""

    def distance(g: np.ndarray) -> np.ndarray:
        a, b = g[:, :-1], g[:, 1:]
        square = (a * a + a * b + b * b).sum(axis=1) / (3 * (g.shape[1] - 1))
        return np.sqrt(2 * square) * np.sign((a + b).sum(axis=1))

    return _over_gaps(d, distance)


def one_sided_ks(d: Distributions) -> np.ndarray:
    """(N,) one-sided Kolmogorov-Smirnov statistic ``max(0, sup g)``; the supremum lies on an edge."""
    return _over_gaps(d, lambda g: g.max(axis=1).clip(min=0))


def signed_wasserstein_2(d: Distributions) -> np.ndarray:
    """(N,) ``W2 = sqrt(integral over u of (Q_pair(u) - Q_null(u))^2)`` at 512 mid-quantiles, with the sign of the mean gap."""
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    below = 0.0 - _quantiles(d.null_cdf, levels)
    out = np.full(len(d.n_matches), np.nan)
    n_values = d.n_keypoints_query + d.n_keypoints_gallery
    with_null = np.flatnonzero(d.null_row >= 0)
    # Pairs with alike shares of zeros are worked on together: below the smallest of these no quantile has to be looked for.
    with_null = with_null[np.argsort(d.n_matches[with_null] / n_values[with_null], kind="stable")]
    for first in range(0, len(with_null), QUANTILE_ROWS):
        rows = with_null[first : first + QUANTILE_ROWS]
        cdf = cdf_at_edges(2 * d.histogram[rows], n_values[rows])
        zeros = int(np.searchsorted(levels, cdf[:, 0].min(), side="right"))
        gap = below[d.null_row[rows]]
        gap[:, zeros:] += _quantiles(cdf, levels[zeros:])
        out[rows] = np.sqrt(np.mean(gap * gap, axis=1)) * np.sign(gap.sum(axis=1))
    return out


def _quantiles(cdf: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(N, L) smallest x with ``F(x) >= level`` of curves (N, B + 1) given at the edges of equal bins; 0 up to the share of zeros.

    The edge that a level needs is the number of edges below it: each edge is below all levels from one on, so these are counted.
    """
    n, bins = len(cdf), cdf.shape[1] - 1
    from_level = np.searchsorted(levels, cdf.ravel(), side="right") + np.repeat(np.arange(n), bins + 1) * (
        len(levels) + 1
    )
    edges = np.bincount(from_level, minlength=n * (len(levels) + 1)).reshape(n, len(levels) + 1)
    at = edges.cumsum(axis=1)[:, :-1].clip(max=bins)
    quantiles = np.zeros(at.shape)
    row, level = np.nonzero(at)  # most keypoints have no match, so few levels lie above the share of zeros
    edge = at[row, level]
    below, above = cdf[row, edge - 1], cdf[row, edge]
    part = np.divide(levels[level] - below, above - below, out=np.zeros_like(below), where=above > below)
    quantiles[row, level] = (edge - 1 + part) / bins
    return quantiles


def _over_gaps(d: Distributions, reduce: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(N,) ``reduce`` of the (n, B + 1) gaps of those rows that have a null."""
    out = np.full(len(d.n_matches), np.nan)
    for first in range(0, len(out), ROWS_AT_ONCE):
        rows = np.arange(first, min(first + ROWS_AT_ONCE, len(out)))
        rows = rows[d.null_row[rows] >= 0]
        if rows.size:
            values = d.n_keypoints_query[rows] + d.n_keypoints_gallery[rows]
            out[rows] = reduce(d.null_cdf[d.null_row[rows]] - cdf_at_edges(2 * d.histogram[rows], values))
    return out
