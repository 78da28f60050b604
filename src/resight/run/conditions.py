"""Under which conditions the stages of a run compute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from resight.environment import Environment
from resight.run.names import StageNames, stage_names
from resight.settings import Settings


@dataclass(frozen=True)
class Conditions:
    """Where stages work and what they are set to.

    Attributes:
        env: Workspace, weights, workers.
        settings: All sections; each stage is told its own by `setups`.
    """

    env: Environment
    settings: Settings

    @cached_property
    def names(self) -> StageNames:
        """Names of what the stages compute here."""
        return stage_names(self.settings, self.env.weights)

    def with_sections(self, **sections: Any) -> Conditions:
        """The same but for these sections of the settings."""
        return replace(self, settings=self.settings.model_copy(update=sections))
