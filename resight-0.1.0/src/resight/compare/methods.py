"""Which rows the comparison has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from resight.compare.base import Method
from resight.compare.kinds.timm import PREFIX, timm_method
from resight.compare.kinds.trained import TrainedMethod
from resight.plugins.registry import COMPARE_METHODS
from resight.train.embedding.params import EmbeddingRecipe


def chosen(names: Sequence[str], quick: bool = False, recipe: EmbeddingRecipe | None = None) -> list[Method]:
    """The methods of those names in the order given, all where none are; each once.

    Args:
        names: Of the registry, or ``timm:MODEL`` or ``timm:MODEL=FILE``.
        quick: Train the embedding for about a minute only, where it was not trained before.
        recipe: How the embedding is trained.

    Raises:
        SettingsError: A name is unknown; names the nearest.
    """
    methods = [_method(name) for name in dict.fromkeys(names)] if names else list(COMPARE_METHODS.values())
    return [_prepared(method, quick, recipe) for method in methods]


def _method(name: str) -> Method:
    return timm_method(name) if name.startswith(PREFIX) and name not in COMPARE_METHODS else COMPARE_METHODS[name]


def _prepared(method: Method, quick: bool, recipe: EmbeddingRecipe | None) -> Method:
    if not isinstance(method, TrainedMethod):
        return method
    return replace(method, recipe=recipe or method.recipe, shorten=quick)
