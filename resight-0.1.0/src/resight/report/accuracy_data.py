"""What an accuracy page is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from resight.evaluate.history import Earlier

Row = Mapping[str, Any]


@dataclass(frozen=True)
class AccuracyData:
    """The tables of one measured run, its past, and the way to its pictures.

    Attributes:
        run: Row of ``runs``; JSON columns as text or parsed. ``notes`` (sentences for people) may be added.
        accuracy, outcomes, curves, photos, crops, differences, changes: The catalog's tables of the run.
        earlier: Earlier measurements, oldest first, without this run.
        read_crop: RGB (H, W, 3) or RGBA (H, W, 4) uint8 of a crop; raises `WorkspaceError` where it is gone.
        painted: Crops of the background control, to be shown as examples.
    """

    run: Row
    accuracy: Sequence[Row]
    outcomes: Sequence[Row]
    curves: Sequence[Row]
    photos: pa.Table
    crops: pa.Table
    read_crop: Callable[[str], np.ndarray]
    differences: Sequence[Row] = ()
    changes: Sequence[Row] = ()
    earlier: Sequence[Earlier] = ()
    painted: Sequence[str] = ()
    score_name: str = "score"
    alpha: float = 0.05
    worst: int = 12
    overall: Mapping[str, Row] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "overall", {r["metric"]: r for r in self.accuracy if r["stratum"] == "all"})

    @property
    def leak(self) -> float:
        """Share of queries with a gallery photo of their animal and day."""
        return self.value("same_day_share") or 0.0

    @property
    def against(self) -> str | None:
        """The run that this one is compared with."""
        return next((r["against_run_id"] for r in self.differences), None)

    def value(self, metric: str) -> float | None:
        """Of stratum ``all``; None where it is missing."""
        row = self.overall.get(metric)
        return row["value"] if row else None

    def difference(self, metric: str) -> Row | None:
        """Against the other run."""
        return next((r for r in self.differences if r["metric"] == metric and r["difference"] is not None), None)
