"""What takes the space is said, and only what nothing refers to goes."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flow_helpers import FIRST_NIGHT, SMALL
from typer.testing import CliRunner

from resight.cli.app import app
from resight.flows.nightly import run_nightly
from resight.reading import open_run
from resight.run.models import current_model
from resight.run.prune import prune
from resight.run.usage import RecordedWeights, places_of, usage
from resight.run.verify import verify
from resight.settings import load_settings, settings_from
from resight.store.attempts import read_attempts
from resight.store.tables import conform, read_table, write_table
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

LONG_AGO = datetime.now(UTC) - timedelta(days=1000)
FIRST_ONES = {"retention": {"runs_days": 30, "runs_kept": 1, "stores_days": 30}}


def pruned(workspace: Workspace, remove: bool = False) -> dict[str, Any]:
    settings = load_settings(workspace.root, {**SMALL, **FIRST_ONES})
    return prune(workspace, settings, remove=remove)


def names(result: dict[str, Any]) -> set[str]:
    return {row["path"] for row in result["items"]}


def old_run(workspace: Workspace, name: str, **changed: Any) -> Path:
    """A copy of the current run that ended long ago."""
    folder = workspace.runs / name
    shutil.copytree(workspace.runs / open_run(workspace).run_id, folder)
    (row,) = read_table(folder / "runs.parquet", "runs").to_pylist()
    (folder / "runs.parquet").unlink()
    del row["run_id"]
    write_table(folder, "runs", conform("runs", [row | {"ended_at": LONG_AGO} | changed], name))
    return folder


def old_results(workspace: Workspace, stage: str = "match") -> Path:
    """Results under a name that nobody uses, of long ago."""
    folder = workspace.store / stage / "0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "part.parquet").write_bytes(bytes(1000))
    for path in (folder / "part.parquet", folder):
        os.utime(path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    return folder


def test_what_takes_the_space_is_said_to_the_byte(night_workspace: Workspace) -> None:
    unused = old_results(night_workspace)
    result = usage(night_workspace, load_settings(night_workspace.root, SMALL))
    places = [night_workspace.store, night_workspace.runs, night_workspace.models, night_workspace.generations]
    files = [f for place in places for f in place.rglob("*") if f.is_file() and not f.name.startswith(".")]
    assert result["files"] == len(files)
    assert result["bytes"] == sum(f.stat().st_size for f in files) == sum(result["by_stage"].values())
    accepted = current_model(night_workspace)
    assert accepted is not None and result["accepted"] == accepted.fingerprint
    users = {row["path"]: row["used_by"] for row in result["items"] if row["where"] == "store"}
    assert users.pop(night_workspace.relative(unused)) == []
    for path, used_by in users.items():
        assert path.startswith("store/ingest/") or f"model {accepted.fingerprint}" in used_by, path
    assert 0 < result["by_model"][accepted.fingerprint] < result["bytes"]


def test_nothing_that_current_refers_to_goes_however_old_it_is(night_workspace: Workspace) -> None:
    for path in night_workspace.store.rglob("*"):
        os.utime(path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    before = sorted(night_workspace.root.rglob("*"))
    result = pruned(night_workspace, remove=True)
    assert (result["items"], result["bytes"], result["notes"]) == ([], 0, [])
    assert sorted(night_workspace.root.rglob("*")) == before
    again = run_nightly(night_workspace.root, FIRST_NIGHT, SMALL, quiet=True)
    assert not any(again["work"].values())


def test_old_runs_and_results_go_when_asked_and_not_before(night_workspace: Workspace) -> None:
    run, results = old_run(night_workspace, "2023-01-01-nightly-aaaaaaaa"), old_results(night_workspace)
    ingest, fresh = old_results(night_workspace, "ingest"), old_results(night_workspace, "shortlist")
    os.utime(fresh / "part.parquet")
    wanted = {night_workspace.relative(path) for path in (run, results)}
    dry = pruned(night_workspace)
    assert names(dry) == wanted and not dry["removed"]
    assert run.exists() and results.exists()
    done = pruned(night_workspace, remove=True)
    assert names(done) == wanted and (done["files"], done["bytes"]) == (dry["files"], dry["bytes"])
    assert not run.exists() and not results.exists()
    assert ingest.exists(), "first nights cannot be computed again"
    assert fresh.exists()
    assert names(pruned(night_workspace)) == set()
    assert not any(run_nightly(night_workspace.root, FIRST_NIGHT, SMALL, quiet=True)["work"].values())


def test_what_a_kept_run_shares_with_one_that_goes_is_not_freed(night_workspace: Workspace) -> None:
    run, kept = old_run(night_workspace, "2023-01-01-nightly-aaaaaaaa"), open_run(night_workspace).folder
    for part in [*run.glob("*.parquet/*")]:
        part.unlink()
        os.link(kept / part.relative_to(run), part)
    settings = load_settings(night_workspace.root, SMALL)
    before, done = usage(night_workspace, settings)["bytes"], pruned(night_workspace, remove=True)
    assert names(done) == {night_workspace.relative(run)}
    assert done["bytes"] == before - usage(night_workspace, settings)["bytes"] == done["items"][0]["bytes"]
    assert open_run(night_workspace).table("pairs").num_rows and verify(night_workspace)["ok"]


@pytest.mark.parametrize("how", ["decision", "young", "newest"])
def test_a_run_stays(night_workspace: Workspace, how: str) -> None:
    changed = {"young": {"ended_at": datetime.now(UTC)}, "newest": {"flow": "accuracy"}}.get(how, {})
    run = old_run(night_workspace, "2023-01-01-nightly-aaaaaaaa", **changed)
    if how == "decision":
        (night_workspace.root / "decisions").mkdir()
        line = json.dumps({"kind": "confirm", "encounter_id": "e", "run_id": run.name}) + "\n"
        (night_workspace.root / "decisions" / "2023-01-02-x.jsonl").write_text(line, encoding="utf-8")
    assert names(pruned(night_workspace, remove=True)) == set()
    assert run.exists()


def test_results_of_a_kept_run_stay_with_the_model_that_made_them(night_workspace: Workspace) -> None:
    (row,) = read_table(night_workspace.current / "runs.parquet", "runs").to_pylist()
    settings = json.loads(row["settings"])
    settings["crop"]["head_side_px"] = 200
    old_run(night_workspace, "2023-01-01-rebuild-aaaaaaaa", flow="rebuild", settings=json.dumps(settings))
    result = usage(night_workspace, load_settings(night_workspace.root, SMALL))
    assert result["notes"] == []
    place = places_of(
        settings_from(settings, "here", stored=True), RecordedWeights(json.loads(row["weights"]), WeightStore())
    )
    name = next(name for stage, name in place if stage == "segment")
    folder = old_results(night_workspace, "segment").rename(night_workspace.store / "segment" / name)
    assert names(pruned(night_workspace)) == set()
    shutil.rmtree(night_workspace.runs / "2023-01-01-rebuild-aaaaaaaa")
    assert names(pruned(night_workspace)) == {night_workspace.relative(folder)}


def test_no_result_goes_while_it_cannot_be_told_what_a_run_uses(night_workspace: Workspace) -> None:
    old_run(night_workspace, "2023-01-01-rebuild-aaaaaaaa", flow="rebuild", settings='{"match": {"kind": "gone"}}')
    old_results(night_workspace)
    result = pruned(night_workspace, remove=True)
    assert names(result) == set()
    assert "2023-01-01-rebuild-aaaaaaaa" in result["notes"][0] and result["notes"][-1] == "So no results are removed."


def test_no_result_goes_while_a_run_cannot_say_what_it_uses(night_workspace: Workspace) -> None:
    run, results = old_run(night_workspace, "2023-01-01-rebuild-aaaaaaaa", flow="rebuild"), old_results(night_workspace)
    (run / "runs.parquet").write_bytes(b"damaged")
    result = pruned(night_workspace, remove=True)
    assert names(result) == set() and run.exists() and results.exists()
    assert run.name in result["notes"][0] and result["notes"][-1] == "So no results are removed."


def test_a_run_stays_that_a_generation_with_a_damaged_manifest_shows(night_workspace: Workspace) -> None:
    run = old_run(night_workspace, "2023-01-01-nightly-aaaaaaaa")
    now = night_workspace.current.resolve()
    before = night_workspace.generations / "0"
    shutil.copytree(now, before)
    (before / "photos.parquet").unlink()
    write_table(before, "photos", conform("photos", read_table(now / "photos.parquet", "photos"), run.name))
    (before / "generation.json").unlink()
    (before / "generation.json").write_bytes(b"damaged")
    assert names(pruned(night_workspace, remove=True)) == set() and run.exists()
    assert (before / "generation.json").read_bytes() == b"damaged", "whoever only looks repairs nothing"


def test_the_run_that_settings_compare_with_stays(night_workspace: Workspace) -> None:
    run = old_run(night_workspace, "2023-01-01-nightly-aaaaaaaa")
    settings = {**SMALL, **FIRST_ONES, "evaluate": {"against": "2023-01-01-nightly"}}
    assert names(prune(night_workspace, load_settings(night_workspace.root, settings), remove=False)) == set()
    assert names(pruned(night_workspace)) == {night_workspace.relative(run)}


def test_a_kill_leaves_a_whole_workspace_and_the_next_call_removes_the_rest(
    night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, results = old_run(night_workspace, "2023-01-01-nightly-aaaaaaaa"), old_results(night_workspace)

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("resight.run.prune.remove_tree", killed)
        with pytest.raises(KeyboardInterrupt):
            pruned(night_workspace, remove=True)
    assert results.exists() != run.exists(), "one has left its place whole, the other is where it was"
    assert run_nightly(night_workspace.root, FIRST_NIGHT, SMALL, quiet=True)["run_id"]
    pruned(night_workspace, remove=True)
    assert not results.exists() and not run.exists()
    assert not [p for p in night_workspace.root.rglob("*") if ".pruned-" in p.name]


def test_the_commands_say_it(night_workspace: Workspace) -> None:
    results = old_results(night_workspace)
    place = str(night_workspace.root)
    call = ["--workspace", place, "--set", "retention.stores_days=30"]
    shown = CliRunner().invoke(app, ["du", "--workspace", place])
    assert shown.exit_code == 0 and "match" in shown.output
    dry = CliRunner().invoke(app, ["prune", *call])
    assert dry.exit_code == 0 and "1.0 kB in 1 files would be removed" in dry.output and results.exists()
    done = CliRunner().invoke(app, ["prune", "--remove", "--json", *call])
    assert json.loads(done.output)["bytes"] == 1000 and not results.exists()
    (logged,) = [row for row in read_attempts(night_workspace) if row["command"] == "prune --remove"]
    assert (logged["outcome"], logged["removed"]) == ("done", [night_workspace.relative(results)])
