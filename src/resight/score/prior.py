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
LEAST_CARRIED = 0.5  # on Zakynthos, lines that keep more than half have a lower log loss than equal coefficients, others a higher one
UNLEARNED_STRENGTH = 10.0  # that all count the same is a guess, which a few encounters of the workspace outweigh


def prior_for(features: Sequence[str], matcher: str = "") -> Prior:
    """The shipped prior for these features.

    Args:
        features: Names in `score.features.FEATURES`.
        matcher: What this kind of matcher has taught comes first: beside the matches of a network, votes of single descriptors say nothing new,
            beside nearest neighbours they do. For kinds that taught nothing, what all kinds have taught together. Where no folder had just
            these features, the line of the fewest features that hold them, without the others, if these carry less than half of it: a gallery
            with few strangers, say, has no scale of sums yet. Without any such line, all features get the same coefficient.
    """
    return prior_from(shipped(), features, matcher)


def prior_from(content: dict[str, Any], features: Sequence[str], matcher: str = "") -> Prior:
    """As `prior_for`, from the content of another file."""
    names = tuple(features)
    for kind in (matcher, ""):
        holding = [p for p in content["priors"] if p["matcher"] == kind and {*names} <= {*p["features"]}]
        fewest = min(holding, key=lambda p: len(p["features"]), default=None)
        if fewest is not None and _carried(fewest, names) > LEAST_CARRIED:
            return _of(fewest, names, content["strength"])
    return Prior(names, Line(0.0, (1.0 / max(len(names), 1),) * len(names)), UNLEARNED_STRENGTH, NOTHING)


def _carried(prior: dict[str, Any], names: tuple[str, ...]) -> float:
    """Share of the line that these features carry; features are standardised, so that coefficients compare."""
    by_name = dict(zip(prior["features"], prior["coefficients"], strict=True))
    whole = sum(map(abs, by_name.values()))
    return sum(abs(by_name[name]) for name in names) / whole if whole else 1.0


def _of(prior: dict[str, Any], names: tuple[str, ...], strength: float) -> Prior:
    coefficients = dict(zip(prior["features"], prior["coefficients"], strict=True))
    missing = [name for name in prior["features"] if name not in names]
    source = prior["source"] + (f", without {', '.join(missing)}" if missing else "")
    return Prior(names, Line(prior["intercept"], tuple(coefficients[name] for name in names)), strength, source)


@lru_cache(maxsize=1)
def shipped() -> dict[str, Any]:
    """The file's content."""
    content: dict[str, Any] = json.loads(files("resight.score").joinpath(PRIOR_FILE).read_text(encoding="utf-8"))
    return content
