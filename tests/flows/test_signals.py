"""Ctrl-C, SIGTERM and SIGKILL: a command ends within seconds, with one sentence and with nothing left behind."""

import os
from itertools import product
from pathlib import Path

import pytest
from stopping import OPENCV, SENTENCE, SIGNALS, SLEEP, TORCH, start

from resight.store.workspace import Workspace

pytestmark = pytest.mark.kill
ALL = bool(os.environ.get("RESIGHT_TORTURE"))
CODES = {"INT": 130, "TERM": 143, "KILL": -9}
WORKERS = ("--set", "dask.workers=2")
INLINE = ("--set", "dask.mode=inline")
LIMIT_S = 5.0

# mode, signal, to the whole group, work in blocks
MATRIX = [
    *product(("plain", "prefect"), ("INT", "TERM"), (False, True), ("workers", "opencv", "torch")),
    *product(("plain", "prefect"), ("KILL",), (False,), ("workers",)),
]
SHORT = {
    ("plain", "INT", True, "workers"),
    ("plain", "TERM", False, "opencv"),
    ("prefect", "INT", True, "workers"),
    ("prefect", "TERM", False, "workers"),
    ("prefect", "KILL", False, "workers"),
}
WORK = {"workers": SLEEP, "opencv": OPENCV, "torch": TORCH}


@pytest.mark.parametrize(("mode", "signal_name", "group", "work"), [c for c in MATRIX if ALL or c in SHORT])
def test_a_command_ends_at_a_signal(
    mode: str, signal_name: str, group: bool, work: str, field_workspace: Workspace, tmp_path: Path
) -> None:
    options = WORKERS if work == "workers" else INLINE
    plain = ("--plain",) if mode == "plain" else ()
    arguments = ["nightly", "--workspace", str(field_workspace.root), *plain, *options]
    command = start(tmp_path / "command", arguments, WORK[work])
    code, output, left = command.stop(SIGNALS[signal_name], group)
    print(f"{mode} {signal_name} group={group} {work}: {code} after {command.seconds:.1f} s, "
          f"last process after {command.seconds_to_last:.1f} s\n{output}")  # fmt: skip
    assert code == CODES[signal_name]
    assert not left
    assert "Traceback" not in output
    assert output.count(SENTENCE) == (signal_name != "KILL")
    assert command.seconds < LIMIT_S
    if mode == "prefect" and signal_name != "KILL" and work == "workers":
        assert command.state() in ("CRASHED", "CANCELLED")
    with field_workspace.lock():
        pass
