"""What table ``pairs`` keeps of a pair, reduced on the device: one small row per pair instead of its matches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LLR_CEILING = 1 - 1e-6
FIELDS = (
    "n_matches",
    "confidence_sum",
    "confidence_sum_squares",
    "confidence_sum_above_half",
    "confidence_max",
    "n_above_01",
    "n_above_05",
    "log_likelihood_ratio",
)


@dataclass(frozen=True)
class TileSummary:
    """Columns of table ``pairs``, one row per pair, in the order of the pairs.

    Attributes:
        confidence_histogram: (P, bins) int32, mutual matches in equal bins (k/bins, (k + 1)/bins].
        n_matches, n_above_01, n_above_05: (P,) int32.
        confidence_sum, confidence_sum_squares, confidence_sum_above_half, confidence_max, log_likelihood_ratio: (P,) float64.
    """

    confidence_histogram: np.ndarray
    n_matches: np.ndarray
    confidence_sum: np.ndarray
    confidence_sum_squares: np.ndarray
    confidence_sum_above_half: np.ndarray
    confidence_max: np.ndarray
    n_above_01: np.ndarray
    n_above_05: np.ndarray
    log_likelihood_ratio: np.ndarray

    @classmethod
    def from_rows(cls, rows: Tensor) -> TileSummary:
        """From (P, fields + bins) float64 rows of `summarise`: the one transfer of a tile."""
        values = rows.cpu().numpy()
        columns = {
            name: values[:, i].astype(np.int32) if name.startswith("n_") else values[:, i].copy()
            for i, name in enumerate(FIELDS)
        }
        return cls(confidence_histogram=values[:, len(FIELDS) :].astype(np.int32), **columns)


def summarise(confidence: Tensor, bins: int) -> Tensor:
    """(B, N) confidences, 0 where there is no match, to (B, fields + bins) float64 rows.

    A confidence that is 0 in float32 is no match in any precision.
    """
    c = torch.where(confidence.float() > 0, confidence, 0.0).double()
    half = torch.where(c > 0.5, c, 0.0)
    log_ratio = -torch.log1p(-c.clamp(max=LLR_CEILING)).sum(-1)
    peak = c.amax(-1) if c.shape[1] else c.new_zeros(c.shape[0])
    fields = [
        (c > 0).sum(-1),
        c.sum(-1),
        c.square().sum(-1),
        half.sum(-1),
        peak,
        (c > 0.1).sum(-1),
        (c > 0.5).sum(-1),
        log_ratio,
    ]
    # Bin 0 takes the zeros and is dropped.
    place = (c * bins).ceil_().long().clamp_(max=bins)
    histogram = c.new_zeros(c.shape[0], bins + 1).scatter_add_(1, place, torch.ones_like(c))
    return torch.cat([torch.stack([f.double() for f in fields], 1), histogram[:, 1:]], 1)
