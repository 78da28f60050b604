"""Successive halving (Jamieson and Talwalkar 2016) over the layers of the matcher.

LightGlue is trained with an assignment head at every layer, so a shortlist can be scored after a few layers, and only
the better part of it goes on through the other layers: nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from resight.match.engine.batch import Encoded, PairBatch, Stack, batch_of, batch_of_one
from resight.match.engine.network import Network


@dataclass(frozen=True)
class Halving:
    """How far each of G candidates went.

    Attributes:
        layers: (G,) int32, layers after which the candidate was last scored; 0 where it or the query has no keypoints.
        confidence_sum: (G,) float64, sum of confidences under that layer's head. Comparable among candidates of equal
            ``layers``; of those that went all the way, it is what full matching gives.
        confidences: Per candidate, (N,) float32 confidences after that layer, of the keypoints of photo a: the query's, or
            the candidate's where that is photo a.
    """

    layers: np.ndarray
    confidence_sum: np.ndarray
    confidences: tuple[np.ndarray, ...]

    @property
    def order(self) -> np.ndarray:
        """(G,) int64, candidates best first: those that went further, then those with the larger sum."""
        return np.lexsort((np.arange(len(self.layers)), -self.confidence_sum, -self.layers))


def run_halving(
    network: Network,
    query: Encoded,
    gallery: Sequence[Encoded],
    keep: Sequence[tuple[int, float]],
    batch_size: int,
    gallery_first: Sequence[bool] = (),
) -> Halving:
    """Rounds as in `LightGlueEngine.match_halving`; ``batch_size`` candidates go together."""
    rounds = [*_checked(keep, network.arch.n_layers), (network.arch.n_layers, 0.0)]
    matchable = [i for i, photo in enumerate(gallery) if len(photo) and len(query)]
    first = list(gallery_first) or [False] * len(gallery)
    sides = [[i for i in matchable if first[i] == side] for side in (False, True)]
    groups = [side[i : i + batch_size] for side in sides for i in range(0, len(side), batch_size)]
    batches = [_batch(query, [gallery[i] for i in group], first[group[0]]) for group in groups]
    layers, sums = np.zeros(len(gallery), np.int32), np.zeros(len(gallery))
    confidences = [np.zeros(len(query), np.float32)] * len(gallery)
    done = 0
    for reach, fraction in rounds:
        batches = [network.run(batch, done, reach) for batch in batches]
        done = reach
        for group, batch in zip(groups, batches, strict=True):
            confidence = network.assign(batch, reach - 1).confidence
            layers[group], sums[group] = reach, confidence.double().sum(-1).cpu().numpy()
            vectors = confidence.float().cpu().numpy()
            for candidate, vector, count in zip(group, vectors, batch.a.counts, strict=True):
                confidences[candidate] = vector[:count]
        if fraction:
            groups, batches = _best(groups, batches, sums, fraction)
    return Halving(layers, sums, tuple(confidences))


def _checked(keep: Sequence[tuple[int, float]], n_layers: int) -> Sequence[tuple[int, float]]:
    reaches = [reach for reach, _ in keep]
    if (
        reaches != sorted(set(reaches))
        or any(not 0 < reach < n_layers for reach in reaches)
        or any(not 0 < fraction <= 1 for _, fraction in keep)
    ):
        raise ValueError(
            f"rounds {list(keep)}: layers must rise and lie between 1 and {n_layers - 1}, fractions in (0, 1]"
        )
    return keep


def _batch(query: Encoded, photos: Sequence[Encoded], photos_first: bool) -> PairBatch:
    if len(photos) == 1:
        return batch_of_one(photos[0], query) if photos_first else batch_of_one(query, photos[0])
    index = torch.arange(len(photos), device=query.x.device)
    length = max(map(len, photos))
    query_side = Stack.of([query], len(query)).take([0] * len(photos), index * 0, len(query))
    gallery_side = Stack.of(photos, length).take(range(len(photos)), index, length)
    return batch_of(gallery_side, query_side) if photos_first else batch_of(query_side, gallery_side)


def _best(
    groups: list[list[int]], batches: list[PairBatch], sums: np.ndarray, fraction: float
) -> tuple[list[list[int]], list[PairBatch]]:
    """Keep the best fraction, at least one; ties go to the earlier candidate."""
    everyone = np.array([i for group in groups for i in group], np.int64)
    n = max(1, int(np.ceil(fraction * len(everyone))))
    kept = set(everyone[np.lexsort((everyone, -sums[everyone]))][:n].tolist())
    new_groups, new_batches = [], []
    for group, batch in zip(groups, batches, strict=True):
        rows = [row for row, candidate in enumerate(group) if candidate in kept]
        if rows:
            new_groups.append([group[row] for row in rows])
            new_batches.append(batch if len(rows) == len(group) else batch.pairs(rows))
    return new_groups, new_batches
