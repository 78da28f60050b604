"""All evidence in one number."""

from __future__ import annotations

from resight.score.base import FUSED, Score

SCORES = (
    Score(
        FUSED,
        lambda d: d.fused,
        "regularised logistic regression (prior-free log likelihood ratio)",
        "all evidence in one number: how much more likely the pair is under the same animal, as a logarithm",
        "a fitted fusion (see `score.fusion`)",
        signed=True,
        is_ratio=True,
    ),
)
