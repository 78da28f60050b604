"""A run that is killed in the middle leaves nothing broken, and the next one finishes with the same tables."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from flow_helpers import SMALL, alike, comparable_tables
from golden import differences

from resight.flows.nightly import run_nightly
from resight.store.workspace import Workspace

# Small blocks and slow work, so that the kill comes in the middle of a stage.
SLOW = textwrap.dedent(
    """
    import sys, time
    from resight.flows.nightly import run_nightly
    import resight.{module} as module
    original = module.{function}
    def slow(*arguments, **named):
        time.sleep(0.25)
        return original(*arguments, **named)
    module.{function} = slow
    run_nightly(sys.argv[1], "2026-06-04", {overrides!r}, quiet=True)
    """
)
IN_PIECES = SMALL | {"pairs": {"max_block_pairs": 3}}


@pytest.mark.kill
@pytest.mark.parametrize(
    ("stage", "module", "function"),
    [("extract", "extract.block", "read_crop"), ("match", "match.blocks", "summarise")],
)
def test_killed_in_the_middle_of(
    stage: str, module: str, function: str, field_workspace: Workspace, finished_night: Path
) -> None:
    code = SLOW.format(module=module, function=function, overrides=IN_PIECES)
    process = subprocess.Popen([sys.executable, "-c", code, str(field_workspace.root)], start_new_session=True)
    try:
        _wait_for(lambda: _half_done(field_workspace, stage), process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (field_workspace.current / "runs.parquet").exists(), "it was killed too late to tell anything"
    result = run_nightly(field_workspace.root, "2026-06-04", SMALL, quiet=True)
    assert result["work"]["photos_decoded"] == 0, "what was done before the kill is not done again"
    one, two = comparable_tables(field_workspace), comparable_tables(Workspace(finished_night / "workspace"))
    for name, table in one.items():
        assert alike(table, two[name]), f"{name}: {differences(table, two[name])}"


def _half_done(workspace: Workspace, stage: str) -> bool:
    if stage == "extract":
        return any((workspace.store / "extract").rglob("*.zarr"))
    return len(list((workspace.store / "match").rglob("[!.]*.parquet"))) >= 2


def _wait_for(condition, process: subprocess.Popen, seconds: float = 90.0) -> None:  # type: ignore[no-untyped-def, type-arg]
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end, "the stage did not begin in time"
        time.sleep(0.05)
