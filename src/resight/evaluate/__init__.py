"""How good are the answers? Splits that do not leak, outcomes of every query, metrics with intervals, and two runs compared."""

from resight.evaluate.accuracy import Context, accuracy_rows, summary
from resight.evaluate.compare import Comparison, compare
from resight.evaluate.curves import curve_rows
from resight.evaluate.outcomes import PhotoFacts, Trial, outcome_rows
from resight.evaluate.protocol import Split, refuse_leak, same_day_share, split

__all__ = [
    "Comparison",
    "Context",
    "PhotoFacts",
    "Split",
    "Trial",
    "accuracy_rows",
    "compare",
    "curve_rows",
    "outcome_rows",
    "refuse_leak",
    "same_day_share",
    "split",
    "summary",
]
