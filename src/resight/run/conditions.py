"""Under which conditions the stages of a run compute."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from resight.environment import Environment
from resight.errors import WorkspaceError
from resight.run.models import weights_of
from resight.run.names import StageNames, stage_names
from resight.runner.handshake import Needs
from resight.runner.runner import Runner
from resight.settings import Settings
from resight.store.attempts import Outcome, read_attempts
from resight.store.durable import clear_left_over
from resight.store.workspace import Workspace

log = logging.getLogger("resight")
LOOK_S = 2.0


@dataclass(frozen=True)
class Conditions:
    """Where stages work and what they are set to.

    Attributes:
        env: Workspace, weights, workers.
        settings: All sections; `setups` gives each stage its own.
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


class Way:
    """A long job that makes way: whoever waits for the workspace goes first, and the job goes on afterwards.

    One for the whole job: once it has had the workspace, it waits without end to get it back, after everybody who waits.
    """

    def __init__(self) -> None:
        self.had_it = False
        self._looked = float("-inf")

    def is_wanted(self, workspace: Workspace) -> bool:
        """Whether somebody waits; looked up every other second."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return False
        self._looked = now
        return workspace.is_wanted()


@contextmanager
def open_conditions(
    workspace: Workspace,
    settings: Settings,
    *,
    weight_names: Sequence[str] = (),
    quiet: bool = False,
    way: Way | None = None,
) -> Iterator[Conditions]:
    """A workspace that nobody else works in meanwhile, with workers; released whatever happens.

    Args:
        workspace: Where results lie and go; every worker must see it.
        settings: All sections.
        weight_names: Weights that every worker must have.
        quiet: Show no progress.
        way: It is part of a job that makes way for others.

    Raises:
        WorkspaceError: Another run is at work in the workspace.
    """
    weights = weights_of(workspace, settings)
    needs = Needs(workspace.store, weights, tuple(weight_names))
    is_wanted = partial(way.is_wanted, workspace) if way else _nobody
    with (
        _alone(workspace, settings.wait_minutes, way),
        Runner(settings.dask, settings.device, quiet, needs, is_wanted) as runner,
    ):
        clear_left_over((workspace.store, workspace.models, workspace.current))
        yield Conditions(Environment(workspace, weights, runner, settings.device), settings)


def _nobody() -> bool:
    return False


@contextmanager
def _alone(workspace: Workspace, wait_minutes: float, way: Way | None) -> Iterator[None]:
    """The workspace's lock; where somebody else has it, it is said who, and for how long it is waited.

    Raises:
        WorkspaceError: Another run is still at work.
    """
    with ExitStack() as held:
        try:
            held.enter_context(workspace.lock())
        except WorkspaceError:
            if way and way.had_it:
                log.warning("%s is at work in %s; this goes on afterwards.", _others(workspace), workspace.root)
                held.enter_context(workspace.lock_after_others())
            elif not wait_minutes:
                raise
            else:
                who = _others(workspace)
                log.warning("%s is at work in %s; waiting up to %g minutes.", who, workspace.root, wait_minutes)
                held.enter_context(workspace.lock(60 * wait_minutes))
        if way:
            way.had_it = True
        yield


def _others(workspace: Workspace) -> str:
    """Who is at work there, beside this process, as the log says."""
    own = (platform.node(), os.getpid())
    running = [row for row in read_attempts(workspace) if row["outcome"] == Outcome.UNDER_WAY]
    others = [row for row in running if (row["host"], row["pid"]) != own]
    said = [f"{row['command']} (since {row['began_at'][:16].replace('T', ' ')} UTC on {row['host']})" for row in others]
    return ", ".join(said) or "Another run"
