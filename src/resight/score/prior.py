"""The fusion's shipped prior: what labelled folders have taught about how evidence adds up.

``prior.json`` is written by ``resight train fusion``, which says in it what it was learned from.
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


def prior_for(features: Sequence[str]) -> Prior:
    """The shipped prior for exactly these features; where there is none, one by which they all count the same."""
    return prior_from(shipped(), features)


def prior_from(content: dict[str, Any], features: Sequence[str]) -> Prior:
    """As `prior_for`, from the content of another file."""
    for one in content["priors"]:
        if tuple(one["features"]) == tuple(features):
            line = Line(one["intercept"], tuple(one["coefficients"]))
            return Prior(tuple(features), line, content["strength"], one["source"])
    return Prior(
        tuple(features), Line(0.0, (1.0 / max(len(features), 1),) * len(features)), content["strength"], NOTHING
    )


@lru_cache(maxsize=1)
def shipped() -> dict[str, Any]:
    """The file's content."""
    content: dict[str, Any] = json.loads(files("resight.score").joinpath(PRIOR_FILE).read_text(encoding="utf-8"))
    return content
