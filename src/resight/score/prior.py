"""The fusion's shipped prior: how evidence adds up, as learned from labelled folders.

``prior.json`` is written by ``resight train fusion``, and says what it was learned from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from resight.score.fusion import Line, Prior

PRIOR_FILE = "prior.json"
NOTHING = "no labelled folder with these features; all count the same"
UNLEARNED_STRENGTH = 10.0  # that all count the same is a guess, which a few encounters of the workspace outweigh


def prior_for(features: Sequence[str], matcher: str = "") -> Prior:
    """The shipped prior for exactly these features.

    Args:
        features: Names in `score.features.FEATURES`.
        matcher: What this kind of matcher has taught comes first: beside the matches of a network, votes of single descriptors say nothing new,
            beside nearest neighbours they do. For kinds that taught nothing, what all kinds have taught together; without that, all features
            get the same coefficient.
    """
    return prior_from(shipped(), features, matcher)


def prior_from(content: dict[str, Any], features: Sequence[str], matcher: str = "") -> Prior:
    """As `prior_for`, from the content of another file."""
    names, of_features = tuple(features), [p for p in content["priors"] if tuple(p["features"]) == tuple(features)]
    for kind in (matcher, ""):
        for prior in (p for p in of_features if p["matcher"] == kind):
            line = Line(prior["intercept"], tuple(prior["coefficients"]))
            return Prior(names, line, content["strength"], prior["source"])
    return Prior(names, Line(0.0, (1.0 / max(len(names), 1),) * len(names)), UNLEARNED_STRENGTH, NOTHING)


@lru_cache(maxsize=1)
def shipped() -> dict[str, Any]:
    """The file's content."""
    content: dict[str, Any] = json.loads(files("resight.score").joinpath(PRIOR_FILE).read_text(encoding="utf-8"))
    return content
