"""Distances of a pair's confidences to those of pairs of different animals with the same kind of view."""

from __future__ import annotations

from resight.score import distances
from resight.score.base import Score

NULL = "pairs of different known animals with the same kind of view to learn from (score.null_pairs above 0)"

SCORES = (
    Score(
        "wasserstein",
        distances.one_sided_wasserstein,
        "Wasserstein-1 distance, upper side only",
        "confidence mass above what pairs of different animals show",
        NULL,
        of_pair=True,
    ),
    Score(
        "wasserstein_1",
        distances.wasserstein_1,
        "Wasserstein-1 distance (Kantorovich)",
        "unsigned distance to the null: a pair far below it counts as far too",
        NULL,
        of_pair=True,
        ranks=False,
    ),
    Score(
        "wasserstein_signed",
        distances.signed_wasserstein,
        "Wasserstein-1 distance where one curve dominates",
        "mean confidence less that of the null",
        NULL,
        of_pair=True,
        signed=True,
    ),
    Score(
        "wasserstein_2",
        distances.signed_wasserstein_2,
        "Wasserstein-2 distance in quantile form",
        "distance of the quantiles to those of the null, signed by the mean",
        NULL,
        of_pair=True,
        signed=True,
    ),
    Score(
        "energy",
        distances.signed_energy,
        "energy distance (Szekely and Rizzo 2013)",
        "distance to the null, signed by the mean",
        NULL,
        of_pair=True,
        signed=True,
    ),
    Score(
        "ks",
        distances.one_sided_ks,
        "one-sided Kolmogorov-Smirnov statistic",
        "largest excess over the null's cumulative curve",
        NULL,
        of_pair=True,
    ),
)
