"""What benchmarks that measure animals share: a mean that the intervals over animals can weigh, and their ends as text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def weighted_mean(values: np.ndarray) -> Callable[[np.ndarray], float | None]:
    """The mean of ``values`` as a function of the weight that each has; None where none has any."""
    return lambda weight: float(values @ weight / weight.sum()) if weight.sum() else None


def interval_text(ends: tuple[float | None, float | None]) -> str:
    """Both ends of an interval in per cent."""
    return " to ".join("?" if end is None else f"{100 * end:.1f}" for end in ends)
