"""The log of a workspace: every attempt is in it with how it ended, whatever ended it."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from resight.errors import SettingsError
from resight.store import attempts
from resight.store.attempts import RUNNING, Outcome, append_line, attempt, note_killed, read_attempts
from resight.store.workspace import Workspace

IN_A_PROCESS = """
import sys
from pathlib import Path
from resight.store.attempts import attempt
from resight.store.workspace import Workspace
with attempt(Workspace(Path(sys.argv[1])), "nightly", night="2026-06-04"):
    print("begun", flush=True)
    sys.stdin.read()
"""


def marks(workspace: Workspace) -> list[Path]:
    return list(workspace.log.glob(f"{RUNNING}*"))


def last(workspace: Workspace) -> dict[str, Any]:
    return read_attempts(workspace)[-1]


def test_what_went_well_says_so_with_its_counts(workspace: Workspace) -> None:
    with attempt(workspace, "nightly", night="2026-06-04") as tried:
        assert last(workspace)["outcome"] == Outcome.UNDER_WAY
        tried.result(
            {"run_id": "r1", "counts": {"ingest": {"in": 3, "out": {"ok": 3}}}, "status": "accepted", "reason": ""}
        )
    row = last(workspace)
    assert (row["command"], row["night"], row["run_id"]) == ("nightly", "2026-06-04", "r1")
    assert (row["outcome"], row["exit_code"], row["sentence"]) == ("done", 0, "")
    assert row["counts"]["ingest"]["in"] == 3 and row["began_at"] < row["ended_at"]
    assert not marks(workspace)


def test_an_error_is_its_sentence_and_how_far_it_came(workspace: Workspace) -> None:
    seconds: dict[str, float] = {}

    def fail_after_ingest() -> None:
        with attempt(workspace, "rebuild") as tried:
            tried.follow(seconds=seconds)
            seconds["ingest"] = 1.5
            raise SettingsError("that setting\nis gone")

    with pytest.raises(SettingsError):
        fail_after_ingest()
    row = last(workspace)
    assert (row["outcome"], row["exit_code"], row["sentence"]) == ("failed", 1, "that setting is gone")
    assert row["seconds"] == {"ingest": 1.5}


def test_errors_that_nobody_was_meant_to_read_have_their_type(workspace: Workspace) -> None:
    with pytest.raises(KeyError), attempt(workspace, "nightly"):
        raise KeyError("x")
    assert last(workspace)["sentence"] == "KeyError: 'x'"


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(signal.SIGTERM), 143), (KeyboardInterrupt(), 130)])
def test_a_signal_is_no_failure(workspace: Workspace, stop: BaseException, code: int) -> None:
    with pytest.raises(KeyboardInterrupt), attempt(workspace, "nightly"):
        raise stop
    assert (last(workspace)["outcome"], last(workspace)["exit_code"]) == ("stopped", code)


def test_kept_aside_has_its_reason_and_code(workspace: Workspace) -> None:
    with attempt(workspace, "nightly") as tried:
        tried.result({"status": "kept_aside", "reason": "5 of 5 photos are gone"})
    assert (last(workspace)["outcome"], last(workspace)["exit_code"]) == ("kept_aside", 3)
    with attempt(workspace, "evaluate") as tried:
        tried.result({"status": "kept_aside", "reason": ""})  # as every measurement is
    assert last(workspace)["outcome"] == "done"


@pytest.mark.kill
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")
def test_a_killed_attempt_is_seen_as_such_and_written_down_by_the_next(workspace: Workspace) -> None:
    command = [sys.executable, "-c", IN_A_PROCESS, str(workspace.root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"begun\n"
    assert last(workspace)["outcome"] == Outcome.UNDER_WAY and last(workspace)["exit_code"] is None
    with attempt(workspace, "models promote"):
        pass
    assert read_attempts(workspace)[0]["outcome"] == Outcome.UNDER_WAY, "the next one lets it work"
    process.kill()
    process.communicate()
    before = sum(file.read_bytes().count(b"\n") for file in workspace.log.glob("*.jsonl"))
    row = read_attempts(workspace)[0]
    assert (row["outcome"], row["exit_code"], row["ended_at"]) == ("killed", 137, None)
    with attempt(workspace, "nightly"):
        pass
    after = [json.loads(text) for file in workspace.log.glob("*.jsonl") for text in file.read_text().splitlines()]
    assert len(after) == before + 3 and not marks(workspace)
    assert read_attempts(workspace)[0] == row | {"noticed_at": read_attempts(workspace)[0]["noticed_at"]}


def test_a_line_that_a_loss_of_power_has_cut_costs_only_itself(workspace: Workspace) -> None:
    with attempt(workspace, "nightly"):
        pass
    (file,) = workspace.log.glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    with attempt(workspace, "accuracy"):
        pass
    first, second = read_attempts(workspace)
    assert (first["outcome"], second["outcome"]) == ("killed", "done")


def test_a_log_that_cannot_be_written_at_the_end_takes_nothing_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(workspace.log))

    with attempt(workspace, "nightly"):
        monkeypatch.setattr("resight.store.attempts.append_line", full)
    assert "could not be written into the log" in caplog.text and "is full" in caplog.text
    monkeypatch.undo()
    assert last(workspace)["outcome"] == "killed"


def test_a_workspace_without_a_log_has_no_attempts(workspace: Workspace) -> None:
    assert read_attempts(workspace) == []


def test_what_ends_while_the_log_is_read_was_not_killed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, look = attempt(workspace, "nightly"), attempts._is_running
    under_way.__enter__()

    def looked_too_late(mark: Path) -> bool:
        under_way.__exit__(None, None, None)
        return look(mark)

    monkeypatch.setattr(attempts, "_is_running", looked_too_late)
    row = last(workspace)
    assert (row["outcome"], row["exit_code"]) == (Outcome.DONE, 0) and row["ended_at"] >= row["began_at"]


def test_a_lock_that_cannot_be_asked_for_is_no_death(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnADiskThatCanOnlyBeRead:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __enter__(self) -> None:
            raise OSError(30, "Read-only file system")

        def __exit__(self, *_: object) -> None: ...

    with attempt(workspace, "nightly"), monkeypatch.context() as patched:
        patched.setattr(attempts, "FileLock", OnADiskThatCanOnlyBeRead)
        assert last(workspace)["outcome"] == Outcome.UNDER_WAY


def test_an_attempt_that_is_about_to_begin_keeps_its_lock(workspace: Workspace) -> None:
    workspace.log.mkdir()
    mark = workspace.log / f"{RUNNING}20260604T000000Z-nightly-abcdef"
    mark.touch()
    note_killed(workspace)
    assert mark.exists() and read_attempts(workspace) == [] and not list(workspace.log.glob("*.jsonl"))
    os.utime(mark, (0, 0))
    note_killed(workspace)
    assert not mark.exists(), "it never began"


def test_a_line_that_does_not_fit_on_the_disk_is_an_error(workspace: Workspace) -> None:
    append_line(workspace, {"event": "told"})
    (file,) = workspace.log.glob("*.jsonl")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            append_line(workspace, {"event": "told", "text": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
