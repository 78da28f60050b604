"""Where a stage works."""

from dataclasses import dataclass

from resight.runner.runner import Runner
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore


@dataclass(frozen=True)
class Environment:
    """What every stage needs beside its own settings and its inputs.

    Attributes:
        workspace: Where results lie and go.
        weights: Where weights files are looked for.
        runner: Runs blocks of work on workers or in this process.
        device: ``cpu``, ``cuda`` or ``mps``: where networks run.
    """

    workspace: Workspace
    weights: WeightStore
    runner: Runner
    device: str = "cpu"
