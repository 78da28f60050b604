"""Ctrl-C, SIGTERM and SIGKILL: a command ends within seconds, with one sentence and with nothing left behind."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from stopping import OPENCV, SENTENCE, SIGNALS, SLEEP, TORCH, Command, runs, start, wait_for

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
    ("prefect", "KILL", False, "workers"),
}
WORK = {"workers": SLEEP, "opencv": OPENCV, "torch": TORCH}


@pytest.mark.parametrize(("mode", "signal_name", "group", "work"), [c for c in MATRIX if ALL or c in SHORT])
def test_a_command_ends_at_a_signal(
    mode: str,
    signal_name: str,
    group: bool,
    work: str,
    field_workspace: Workspace,
    tmp_path: Path,
    prefect_database: Path,
) -> None:
    options = WORKERS if work == "workers" else INLINE
    plain = ("--plain",) if mode == "plain" else ("--record",)
    arguments = ["nightly", "--workspace", str(field_workspace.root), *plain, *options]
    with start(tmp_path / "command", arguments, WORK[work], database=prefect_database) as command:
        command.wait_for_work()
        listening = command.listening()
        code, output, left = command.stop(SIGNALS[signal_name], group)
    assert listening.keys() <= {"127.0.0.1", "::1"}, listening
    assert listening or (mode, work) != ("prefect", "workers")
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


@contextmanager
def served_flow_run(workspace: Workspace, server: str, folder: Path) -> Iterator[tuple[Command, Any, UUID]]:
    """`resight serve` with a nightly flow run in the middle of its work: the command, a client of its server, and the run."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    arguments = ["serve", "--workspace", str(workspace.root), *WORKERS]
    with (
        start(folder, arguments, PREFECT_API_URL=server) as command,
        temporary_settings({PREFECT_API_URL: server}),
        get_client(sync_client=True) as client,
    ):
        wait_for(lambda: "nightly" in {d.name for d in client.read_deployments()}, command.process)
        deployment = next(d for d in client.read_deployments() if d.name == "nightly")
        run_id = client.create_flow_run_from_deployment(deployment.id).id
        command.wait_for_work()
        yield command, client, run_id


@pytest.mark.prefect
def test_cancelling_a_served_flow_run_ends_it_and_frees_the_workspace(
    field_workspace: Workspace, whole_server: str, tmp_path: Path
) -> None:
    from prefect.states import Cancelling

    with served_flow_run(field_workspace, whole_server, tmp_path / "command") as (command, client, run_id):
        family = command.family()[1:]
        begun = time.monotonic()
        client.set_flow_run_state(run_id, Cancelling())
        wait_for(lambda: client.read_flow_run(run_id).state_name == "Cancelled", command.process, 30)
        told = time.monotonic() - begun
        wait_for(lambda: not any(map(runs, family)), command.process, 30)
        print(f"cancelled after {told:.1f} s, last process after {time.monotonic() - begun:.1f} s")
        assert time.monotonic() - begun < 2 * LIMIT_S
        with field_workspace.lock():
            pass


@pytest.mark.prefect
@pytest.mark.parametrize("signal_name", [name for name in SIGNALS if ALL or name == "TERM"])
def test_a_served_flow_run_does_not_stay_running_when_serving_ends(
    field_workspace: Workspace, whole_server: str, tmp_path: Path, signal_name: str
) -> None:
    with served_flow_run(field_workspace, whole_server, tmp_path / "command") as (command, client, run_id):
        code, output, left = command.stop(SIGNALS[signal_name])
        state = client.read_flow_run(run_id).state_name
    print(f"serve {signal_name}: {code} after {command.seconds:.1f} s, last process after {command.seconds_to_last:.1f} s, "
          f"flow run {state}\n{output}")  # fmt: skip
    assert (code, left) == (CODES[signal_name], [])
    assert state == "Crashed"
    assert "Traceback" not in output
    assert output.count(SENTENCE) == (signal_name != "KILL")
    assert command.seconds < LIMIT_S
    with field_workspace.lock():
        pass
