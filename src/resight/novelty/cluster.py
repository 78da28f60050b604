"""Which encounters are of one animal? Groups from the probability that any two of them are."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np


def cluster(together: np.ndarray, apart: Collection[tuple[int, int]], least: float) -> list[list[int]]:
    """Join the two groups that are most probably one animal again and again, as long as that is probable enough.

    The probability of two groups is the mean over their pairs (average linkage), so one doubtful member does not keep two groups
    apart, and a chain of doubtful ones does not join them.

    Args:
        together: (N, N) symmetric, probability that two nodes are one animal.
        apart: Pairs of nodes whose groups are never joined.
        least: Probability from which two groups are joined.

    Returns:
        Groups, each sorted, by their first node.
    """
    mean = np.array(together, np.float64)
    np.fill_diagonal(mean, -np.inf)
    for a, b in apart:
        mean[a, b] = mean[b, a] = -np.inf
    groups: dict[int, list[int]] = {node: [node] for node in range(len(mean))}
    best = mean.max(axis=1, initial=-np.inf)  # of each row, so that a step does not look through all pairs
    while len(groups) > 1:
        a = int(best.argmax())
        b = int(mean[a].argmax())  # a is the first row with this value, so b comes after it
        if not mean[a, b] >= least:
            break
        n_a, n_b = len(groups[a]), len(groups[b])
        before = np.maximum(mean[a], mean[b])
        joined = (n_a * mean[a] + n_b * mean[b]) / (n_a + n_b)
        mean[a], mean[:, a] = joined, joined
        mean[a, a] = -np.inf
        mean[b], mean[:, b] = -np.inf, -np.inf
        lost = np.flatnonzero((before >= best) & (joined < best))  # their best partner was one of the two
        best = np.maximum(best, joined)
        again = np.union1d(lost, [a])
        best[again] = mean[again].max(axis=1)
        best[b] = -np.inf
        groups[a] = sorted(groups[a] + groups.pop(b))
    return sorted(groups.values())
