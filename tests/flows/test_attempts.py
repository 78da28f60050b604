"""What commands leave in the log, and what people see of it: `resight status` and the views."""

import json
import shutil
from datetime import date
from typing import Any

import pytest
from flow_helpers import FIRST_NIGHT, SMALL
from typer.testing import CliRunner

import resight
from resight.cli.app import app
from resight.errors import SettingsError, WorkspaceError
from resight.flows.nightly import run_nightly
from resight.flows.rebuild import run_rebuild
from resight.store.attempts import read_attempts
from resight.store.workspace import Workspace


def status(workspace: Workspace, *more: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["status", "--json", "-w", str(workspace.root), *more], catch_exceptions=False)
    return done.exit_code, json.loads(done.stdout)


def spoil(workspace: Workspace) -> None:
    with (workspace.root / "resight.toml").open("a", encoding="utf-8") as file:
        file.write("\n[novelt]\nalpha = 0.1\n")


def test_a_night_is_in_the_log_with_its_run_and_counts(
    night_workspace: Workspace, night_result: dict[str, Any]
) -> None:
    (row,) = read_attempts(night_workspace)
    assert (row["command"], row["night"], row["outcome"]) == ("nightly", FIRST_NIGHT, "done")
    for name in ("run_id", "counts", "work", "decisions"):
        assert row[name] == night_result[name]
    assert set(row["seconds"]) == set(night_result["seconds"])


def test_a_night_that_cannot_begin_is_in_the_log(night_workspace: Workspace) -> None:
    with night_workspace.lock(), pytest.raises(WorkspaceError, match="Another run"):
        run_nightly(night_workspace.root, "2026-06-05", SMALL, quiet=True)
    spoil(night_workspace)
    with pytest.raises(SettingsError):
        run_rebuild(night_workspace.root, "2026-06-05", quiet=True)
    rows = resight.read_attempts(night_workspace).to_pylist()
    assert [row["outcome"] for row in rows] == ["done", "failed", "failed"]
    assert "Another run is at work" in rows[1]["sentence"] and "novelty" in rows[2]["sentence"]


def test_a_night_that_fails_says_how_far_it_came(night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise WorkspaceError("no page today")

    monkeypatch.setattr("resight.flows.steps.write_report", broken)
    with pytest.raises(WorkspaceError):
        run_nightly(night_workspace.root, "2026-06-05", SMALL | {"report": {"candidates": 4}}, quiet=True)
    row = read_attempts(night_workspace)[-1]
    assert row["sentence"] == "no page today" and row["counts"]["ingest"]["in"] == 10 and "match" in row["seconds"]


def test_run_history_shows_what_failed(night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    with night_workspace.lock(), pytest.raises(WorkspaceError):
        run_nightly(night_workspace.root, "2026-06-05", SMALL, quiet=True)
    monkeypatch.chdir(night_workspace.root)
    sql = (night_workspace.root / "catalog.sql").read_text(encoding="utf-8")

    def rows(query: str) -> list[tuple[Any, ...]]:
        connection = duckdb.connect()
        connection.execute(sql)
        return list(connection.execute(query).fetchall())

    history = rows("select night, status, newest_of_night, sentence from run_history order by started_at")
    assert history[0] == (date.fromisoformat(FIRST_NIGHT), "accepted", True, None)
    assert history[1][:3] == (date(2026, 6, 5), "failed", False) and "Another run" in history[1][3]
    run_nightly(night_workspace.root, "2026-06-06", SMALL, quiet=True)
    (quiet,) = rows("select night, status, run_id from run_history where status = 'nothing_new'")
    assert quiet == (date(2026, 6, 6), "nothing_new", None)
    assert rows("select outcome, counts->'ingest'->>'in' from attempts order by began_at")[0] == ("done", "10")
    shutil.rmtree(night_workspace.log)
    assert len(rows("select * from run_history")) == 1, "a workspace from before the log"
    assert rows("select * from attempts") == []


def test_status_tells_how_it_stands(night_workspace: Workspace, night_result: dict[str, Any]) -> None:
    code, result = status(night_workspace)
    assert code == 0 and not result["missing"]
    assert result["published"]["night"] == FIRST_NIGHT and result["published"]["run_id"] == night_result["run_id"]
    decisions = night_result["decisions"]
    assert result["to_look_at"] == {name: decisions[name] for name in ("likely", "likely_new", "unsure")}
    assert result["model"]["accepted"] == night_result["model"]["fingerprint"] and result["disk"]["free_gb"] > 0
    assert result["failed_since"] == [] and result["accuracy"] is None
    text = CliRunner().invoke(app, ["status", "-w", str(night_workspace.root)]).stdout
    assert FIRST_NIGHT in text and "not measured yet" in text


def test_status_says_when_a_night_is_missing_and_why(night_workspace: Workspace) -> None:
    assert status(night_workspace, "--missing-after", "24")[0] == 0
    with night_workspace.lock(), pytest.raises(WorkspaceError):
        run_nightly(night_workspace.root, "2026-06-05", SMALL, quiet=True)
    code, result = status(night_workspace, "--missing-after", "0")
    assert code == 4 and result["missing"]
    assert "Another run" in result["failed_since"][0]["sentence"]
    shutil.rmtree(night_workspace.log)
    code, result = status(night_workspace, "--missing-after", "24")
    assert code == 0 and result["published"]["night"] == FIRST_NIGHT, "what the run itself says, without a log"


def test_status_before_the_first_night(field_workspace: Workspace) -> None:
    code, result = status(field_workspace, "--missing-after", "24")
    assert code == 4 and result["published"] is None and result["model"]["accepted"] is None
