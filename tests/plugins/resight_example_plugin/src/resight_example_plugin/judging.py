"""A score and a compare method."""

from __future__ import annotations

from resight.compare.base import Family
from resight.compare.local import LocalMethod
from resight.score.base import Score
from resight_example_plugin.kinds import BitsParams, StrictParams

HALF = Score("example_half", lambda d: d.confidence_sum / 2, "nobody", "half the sum of confidences")
METHOD = LocalMethod("example-bits-strict", "Bits", Family.LOCAL, True, BitsParams(), StrictParams(), "inliers")
