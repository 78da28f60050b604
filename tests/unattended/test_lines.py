"""What commands said is kept, a JSON object a line, and read by `resight log`."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from typer.testing import CliRunner

from resight.cli.app import app
from resight.errors import WorkspaceError
from resight.run.telling import attempted
from resight.store.lines import read_lines
from resight.store.workspace import Workspace

log = logging.getLogger("resight")


def say(workspace: Workspace, night: str, *texts: str) -> str:
    with attempted(workspace, "nightly", night=night) as tried:
        for text in texts:
            log.warning("%s", text)
    return tried.name


def fail(workspace: Workspace) -> None:
    with attempted(workspace, "nightly", night="2026-06-05"):
        log.warning("Something is about to happen.")
        raise ZeroDivisionError("by hand")


def call(workspace: Workspace, *arguments: str) -> str:
    return CliRunner().invoke(app, ["log", "-w", str(workspace.root), *arguments], catch_exceptions=False).stdout


def test_each_attempt_has_its_own_lines_also_one_that_failed(workspace: Workspace) -> None:
    first = say(workspace, "2026-06-04", "Photo ä [1] was\nodd.")
    with pytest.raises(ZeroDivisionError):
        fail(workspace)
    log.warning("Said by nobody's attempt.")
    (line,) = read_lines(workspace, {first})
    assert (line["level"], line["text"]) == ("warning", "Photo ä [1] was\nodd.") and line["time"].endswith("+00:00")
    files = [file.relative_to(workspace.log).parts[0] for file in workspace.log.rglob("*.jsonl")]
    assert (
        sorted(set(files)) == sorted({"lines", *(f for f in files if f.endswith(".jsonl"))})
        and files.count("lines") == 1
    )

    (last,) = json.loads(call(workspace, "--json"))["attempts"]
    assert last["outcome"] == "failed" and [one["text"] for one in last["lines"]] == ["Something is about to happen."]
    assert "by hand" in call(workspace) and "Photo" not in call(workspace)
    assert "Photo ä [1] was" in call(workspace, "2026-06-04") and "Photo" in call(workspace, first[:16])
    with pytest.raises(WorkspaceError, match="Nothing is known of 2026-06-09"):
        call(workspace, "2026-06-09")


def test_a_disk_that_takes_no_lines_is_said_once_and_stops_nothing(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.log.mkdir()
    (workspace.log / "lines").write_text("in the way")
    name = say(workspace, "2026-06-04", "one", "two")
    assert caplog.text.count("Not all that was said could be kept") == 1
    assert "Traceback" not in capsys.readouterr().err and not list(read_lines(workspace, {name}))


@pytest.mark.skipif(sys.platform == "win32", reason="names of files")
def test_a_line_that_was_cut_takes_no_other_with_it(workspace: Workspace) -> None:
    name = say(workspace, "2026-06-04", "one", "two")
    (file,) = (workspace.log / "lines").glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-9] + b"\n")
    assert [line["text"] for line in read_lines(workspace, {name})] == ["one"]


def test_half_a_line_of_a_killed_command_does_not_swallow_the_next_one(workspace: Workspace) -> None:
    say(workspace, "2026-06-04", "one", "two")
    (file,) = (workspace.log / "lines").glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-9])
    name = say(workspace, "2026-06-05", "three", "four")
    assert [line["text"] for line in read_lines(workspace, {name})] == ["three", "four"]
