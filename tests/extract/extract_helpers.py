"""The stage run on a few crops, by a runner that counts and can die."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from resight.environment import Environment
from resight.extract.block import ExtractBlock
from resight.extract.stage import ExtractResult, extract
from resight.run.names import stage_names
from resight.runner.params import DaskParams
from resight.runner.runner import Failure, Runner
from resight.settings import Settings
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

SETTINGS = Settings()
WEIGHTS = WeightStore(allow_download=False)
N_CROPS = 8


class Killed(BaseException):
    """Stands in for SIGKILL."""


class CountingRunner(Runner):
    """Runs blocks here, as if there were ``pretend`` workers; dies after ``dies_after`` blocks."""

    def __init__(self, pretend: int = 2, dies_after: int = 10**9, kills_worker: str = "") -> None:
        super().__init__(DaskParams(mode="inline"), quiet=True)
        self.pretend, self.dies_after, self.kills_worker = pretend, dies_after, kills_worker
        self.blocks: list[ExtractBlock] = []

    @property
    def n_workers(self) -> int:
        return self.pretend

    def run(self, label: str, function: Callable, blocks: Sequence[Any], **_: Any) -> tuple[list, list[Failure]]:
        results, failures = [], []
        for block in blocks:
            if len(self.blocks) >= self.dies_after:
                raise Killed
            self.blocks.append(block)
            if self.kills_worker in [crop_id for crop_id, _ in block.crops]:
                failures.append(Failure(block, "KilledWorker: exit code -9"))
            else:
                results.append((block, function(block)))
        return results, failures


def run(
    workspace: Workspace, crops: pa.Table, runner: Runner | None = None, settings: Settings = SETTINGS
) -> ExtractResult:
    env = Environment(workspace, WEIGHTS, runner or CountingRunner(), settings.device)
    return extract(env, settings.extract, stage_names(settings, WEIGHTS).extract, crops)


def by_crop(result: ExtractResult) -> dict[str, dict[str, Any]]:
    return {row["crop_id"]: row for row in result.features.to_pylist()}
