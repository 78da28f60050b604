"""The score that ranks, from its name in the settings."""

from __future__ import annotations

from resight.errors import SettingsError
from resight.plugins.registry import SCORES
from resight.score.base import Score


def score_named(name: str) -> Score:
    """The score of that name.

    Raises:
        SettingsError: There is none, or it cannot rank; names the nearest.
    """
    score: Score = SCORES[name]
    if not score.ranks:
        raise SettingsError(
            f"score.name = '{name}' has no direction, so it cannot rank; choose another one, e.g. wasserstein."
        )
    return score
