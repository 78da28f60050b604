"""How good are the answers? Splits that do not leak, metrics with intervals, and rows for the ``accuracy`` table."""

from resight.evaluate.evaluate import Measured, accuracy_rows, summary
from resight.evaluate.protocol import Split, same_day_share, split

__all__ = ["Measured", "Split", "accuracy_rows", "same_day_share", "split", "summary"]
