"""Which encounters of unknown animals are of the same animal? Greedy agglomeration with pairs that may never be joined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

import numpy as np

Pair = tuple[str, str]
LARGEST = 500.0  # sums of larger exponentials may overflow float64


def cluster(
    nodes: Sequence[str],
    log_ratio: Mapping[Pair, float],
    cannot_link: Set[Pair],
    prior_single: float,
    least_probability: float,
) -> list[list[str]]:
    """Join the two most likely groups again and again, as long as their probability is high enough.

    The evidence that two groups are one animal is the mean likelihood ratio of all their compared pairs, in logarithms ``log mean
    exp``: a single clear match is enough although other pairs of the same animal fail, and a chance match among many is diluted.
    A priori a group belongs to no other group with probability ``prior_single``, and otherwise to each of the others with equal
    probability. Groups without a compared pair, or with a pair that cannot be one animal, are never joined.

    Args:
        nodes: Names in a meaningful order, first met first.
        log_ratio: By pair, in either order, the log likelihood ratio of same against different animal.
        cannot_link: Pairs in either order.
        prior_single: Above 0 and below 1.
        least_probability: Posterior from which two groups are joined.

    Returns:
        Groups, each in the order of ``nodes`` and sorted by its first one.
    """
    total, count, apart = _matrices(nodes, log_ratio, cannot_link)
    groups: list[list[int]] = [[k] for k in range(len(nodes))]
    least = math.log(least_probability / (1 - least_probability)) + math.log(prior_single / (1 - prior_single))
    while len(groups) > 1:
        a, b, ratio = _best_link(total, count, apart)
        if ratio - math.log(len(groups) - 1) < least:
            break
        groups[a] = sorted(groups[a] + groups.pop(b))
        total, count, apart = (_joined(matrix, a, b) for matrix in (total, count, apart))
    return [[nodes[k] for k in group] for group in sorted(groups)]


def _matrices(
    nodes: Sequence[str], log_ratio: Mapping[Pair, float], cannot_link: Set[Pair]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three (n, n): sum of likelihood ratios, number of compared pairs, number of pairs that cannot be one animal."""
    place = {name: k for k, name in enumerate(nodes)}
    total, count, apart = np.zeros((3, len(nodes), len(nodes)))
    for (a, b), value in log_ratio.items():
        if a in place and b in place and a != b:
            i, j = place[a], place[b]
            total[i, j] = total[j, i] = max(total[i, j], math.exp(min(value, LARGEST)))
            count[i, j] = count[j, i] = 1
    for a, b in cannot_link:
        if a in place and b in place:
            apart[place[a], place[b]] = apart[place[b], place[a]] = 1
    return total, count, apart


def _best_link(total: np.ndarray, count: np.ndarray, apart: np.ndarray) -> tuple[int, int, float]:
    """Groups a < b with the largest log mean ratio, and that ratio; minus infinity where none may be joined."""
    may = np.triu((count > 0) & (apart == 0), 1)
    mean = np.divide(total, count, out=np.zeros_like(total), where=may)
    a, b = np.unravel_index(int(mean.argmax()), mean.shape)
    return int(a), int(b), math.log(mean[a, b]) if mean[a, b] > 0 else -math.inf


def _joined(matrix: np.ndarray, a: int, b: int) -> np.ndarray:
    """The matrix with row and column b added to those of a, and removed."""
    matrix = matrix.copy()
    matrix[a] += matrix[b]
    matrix[:, a] += matrix[:, b]
    return np.delete(np.delete(matrix, b, 0), b, 1)
