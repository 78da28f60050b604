"""Early exit and point pruning of one pair (Lindenberger et al. 2023, section 3.3), as the original decides them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from resight.match.engine.batch import PairBatch
from resight.match.engine.network import Network


@dataclass(frozen=True)
class AdaptiveMatch:
    """Mutual matches of a pair that may have stopped early.

    Attributes:
        index_a, index_b: (M,) int32.
        confidence: (M,) float32 in (0, 1].
        stop: Layers that were run.
        prune_a, prune_b: (N,) int64, layers that each keypoint went through, as the original counts them.
    """

    index_a: np.ndarray
    index_b: np.ndarray
    confidence: np.ndarray
    stop: int
    prune_a: np.ndarray
    prune_b: np.ndarray


def run_adaptive(network: Network, batch: PairBatch, depth: float, width: float, min_keypoints: int) -> AdaptiveMatch:
    """Run one pair until it is settled; thresholds as in `LightGlueEngine.match_adaptive`."""
    total, last = batch.a.rows + batch.b.rows, network.arch.n_layers - 1
    alive = [torch.arange(side.rows, device=batch.x.device) for side in (batch.a, batch.b)]
    if 0 in (batch.a.rows, batch.b.rows):
        full = [np.full(len(rows), last + 1, np.int64) for rows in alive]
        return _result(alive, torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0, full)
    passed = [torch.ones_like(rows) if width > 0 else torch.full_like(rows, last + 1) for rows in alive]
    layer = 0
    for layer in range(last + 1):
        batch = network.run(batch, layer, layer + 1)
        if layer == last:
            break
        tokens = _token_confidence(network, batch, layer) if depth > 0 else None
        threshold = network.weights.thresholds[layer]
        if tokens is not None and _is_settled(tokens, threshold, total, depth):
            break
        if width > 0:
            keeps = _keeps(network, batch, layer, tokens, threshold, width, min_keypoints)
            batch = batch.select(*keeps)
            for side, (keep, n_rows) in enumerate(zip(keeps, (len(alive[0]), len(alive[1])), strict=True)):
                alive[side] = alive[side][keep]
                if n_rows > min_keypoints:
                    passed[side][alive[side]] += 1
    scores = network.assign(batch, layer)
    return _result(alive, scores.confidence[0], scores.partner[0], layer + 1, [p.cpu().numpy() for p in passed])


def _token_confidence(network: Network, batch: PairBatch, layer: int) -> tuple[Tensor, Tensor]:
    token = network.weights.tokens[layer]
    if token is None:
        raise ValueError(f"layer {layer} has no token confidence")
    return batch.split(token(batch.x)[:, 0].sigmoid())


def _is_settled(tokens: tuple[Tensor, Tensor], threshold: float, total: int, depth: float) -> bool:
    unsettled = (torch.cat(tokens) < threshold).float().sum()
    return bool(1.0 - unsettled / total > depth)


def _keeps(
    network: Network,
    batch: PairBatch,
    layer: int,
    tokens: tuple[Tensor, Tensor] | None,
    threshold: float,
    width: float,
    min_keypoints: int,
) -> tuple[Tensor, Tensor]:
    """Keypoints of a and of b that go on: matchable ones, and those that are not settled yet."""
    head = network.weights.heads[layer]
    if head is None:
        raise ValueError(f"layer {layer} has no assignment head")
    keeps = []
    for side, matchable in enumerate(batch.split(head.proj(batch.x)[:, -1].sigmoid())):
        keep = matchable > 1 - width
        if tokens is not None:
            keep |= tokens[side] <= threshold
        keeps.append((keep if len(keep) > min_keypoints else torch.ones_like(keep)).nonzero()[:, 0])
    return keeps[0], keeps[1]


def _result(
    alive: list[Tensor], confidence: Tensor, partner: Tensor, stop: int, passed: list[np.ndarray]
) -> AdaptiveMatch:
    rows = (partner >= 0).nonzero()[:, 0]
    index_a, index_b = alive[0][rows], alive[1][partner[rows]]
    indices = [t.cpu().numpy().astype(np.int32) for t in (index_a, index_b)]
    return AdaptiveMatch(indices[0], indices[1], confidence[rows].float().cpu().numpy(), stop, passed[0], passed[1])
