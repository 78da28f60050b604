"""The commands as people and scripts call them."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resight.cli.app import app
from resight.errors import ResightError
from resight.flows.evaluation import measure_workspace
from resight.flows.steps import own_settings
from resight.match.kinds.lightglue import BUNDLED
from resight.run.models import promote
from resight.run.run import Run
from resight.run.state import Judged
from resight.store.workspace import Workspace

SMALL = ["--set", "extract.max_keypoints=300", "--set", "crop.head_side_px=320", "--set", "dask.mode=inline"]
METRICS = {
    "top1_photo",
    "top3_photo",
    "top5_photo",
    "top1_encounter",
    "map_photo",
    "novelty_auroc",
    "n_queries",
    "seconds_per_query",
}


def call(*arguments: str | Path) -> Any:
    """Run a command and read the one JSON object that it prints."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_help_lists_every_command_under_its_topic() -> None:
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).stdout
    topics = ("Start", "Every night", "Decide", "Look", "Measure", "Models and weights", "Train")
    assert re.findall(r"─ ([A-Z][a-z ]+) ─", text) == ["Options", *topics]
    assert re.findall(r"^│ ([a-z]+) ", text, re.MULTILINE) == [
        *("init", "doctor", "demo"),
        *("nightly", "identify", "report", "serve", "status", "notify", "publish", "deploy"),
        *("decide", "rename", "decisions", "import", "review"),
        *("catalogue", "diff", "export", "log", "ingest", "segment", "du", "prune", "verify"),
        *("accuracy", "evaluate", "compare"),
        *("models", "rebuild", "weights"),
        "train",
    ]


@pytest.fixture
def labelled(survey: Path, tmp_path: Path) -> Path:
    """The survey with all names given, as somebody hands it in who wants to know how good the system is."""
    folder = tmp_path / "all named"
    shutil.copytree(survey, folder)
    names = {r["file"]: r["individual_id"] for r in rows_of(folder / "truth.csv")}
    rows = [r | {"individual_id": names.get(r["file"], r["individual_id"])} for r in rows_of(folder / "metadata.csv")]
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_evaluate_prints_one_object_with_metrics_and_statuses(labelled: Path, field_workspace: Workspace) -> None:
    result = call("evaluate", labelled, "-w", field_workspace.root, "--json", *SMALL)
    assert set(result["metrics"]) >= METRICS
    assert 0 <= result["metrics"]["top1_photo"] <= 1 and result["metrics"]["n_queries"] > 0
    n_photos = len(list(labelled.rglob("*.[jJ][pP][gG]")))
    assert sum(result["counts"]["photos"]["out"].values()) == n_photos == result["counts"]["ingest"]["in"]
    assert (Path(result["folder"]) / "accuracy.parquet").exists()
    assert not (field_workspace.current / "identifications.parquet").exists(), (
        "measuring changes nothing that is current"
    )
    again = call("evaluate", labelled, "-w", field_workspace.root, "--json", *SMALL)
    assert again["metrics"] == result["metrics"] and again["work"]["pairs_matched"] == 0


def test_accuracy_measures_the_accepted_model_on_the_workspaces_labels(night_workspace: Workspace) -> None:
    result = call("accuracy", "--plain", "--json", "-w", night_workspace.root, "--set", "dask.mode=inline")
    assert result["metrics"]["n_queries"] > 0
    assert result["work"]["photos_decoded"] == result["work"]["features_computed"] == 0
    for name in ("accuracy.parquet", "outcomes.parquet", "changes.parquet", "accuracy.html"):
        assert (night_workspace.current / name).exists(), name
    assert (night_workspace.current / "identifications.parquet").exists()


def test_accuracy_refits_what_a_rebuild_of_the_same_night_only_measured(
    night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {"extract.max_keypoints": 300, "crop.head_side_px": 320, "dask.mode": "inline", "score.name": "fused"}
    settings, model = own_settings(night_workspace, changed)
    how: dict[str, Any] = {"night": None, "quiet": True}
    refitted: list[str] = []

    def refit(run: Run, judged: Judged) -> None:
        assert judged.scores.num_rows
        refitted.append(run.run_id)

    monkeypatch.setattr("resight.flows.evaluation.refit_fusion", refit)
    first = measure_workspace(night_workspace, settings, model, accept=False, **how)
    assert not refitted
    promote(night_workspace, model)
    second = measure_workspace(night_workspace, settings, model, accept=True, **how)
    assert second["run_id"] == first["run_id"] and refitted == [first["run_id"]]


def test_identify_answers_without_adding_the_photo(night_workspace: Workspace, survey: Path, tmp_path: Path) -> None:
    known = [r for r in rows_of(survey / "metadata.csv") if r["individual_id"]]
    stranger = tmp_path / "from a tourist.jpg"
    data = (survey / known[0]["file"]).read_bytes()
    stranger.write_bytes(data + b"\0")  # other content, same picture
    page = tmp_path / "page.html"
    result = call(
        "identify", stranger, "--json", "--report", page, "-w", night_workspace.root, "--set", "dask.mode=inline"
    )
    (query,) = result["queries"]
    assert query["candidates"][0]["individual_id"] == known[0]["individual_id"]
    assert {"decision", "p_new", "evidence"} <= set(query)
    assert "<html" in page.read_text(encoding="utf-8")
    assert len(list(night_workspace.runs.glob("[!.]*"))) == 1, "no run was written"


def test_nightly_prints_one_object(night_workspace: Workspace) -> None:
    result = call("nightly", "--plain", "--json", "--night", "2026-06-05", "-w", night_workspace.root, *SMALL)
    assert result["run_id"].startswith("2026-06-04-nightly") and (result["night"], result["work"]["pairs_matched"]) == (
        "2026-06-05",
        0,
    )


def test_report_draws_an_old_run_again(night_workspace: Workspace) -> None:
    page = Path(call("report", "--json", "-w", night_workspace.root)["report"])
    assert page.parent == night_workspace.root and "<html" in page.read_text(encoding="utf-8")


def test_export_writes_the_newest_run_for_other_programs(night_workspace: Workspace, tmp_path: Path) -> None:
    where = ("--out", tmp_path / "for R", "-w", night_workspace.root)
    result = call(
        "export", "capture-history", "--occasion", "month", "--by-side", "--with-unconfirmed", *where, "--json"
    )
    assert (tmp_path / "for R" / "mark.inp").read_text(encoding="utf-8").count(";") >= 3
    assert result["counts"]["confirmed"] == 6 and sum(result["counts"].values()) == 10
    text = CliRunner().invoke(app, ["export", "xlsx", "-w", str(night_workspace.root)]).stdout
    assert "6 confirmed" in text and "sightings.xlsx" in text
    with pytest.raises(ResightError, match="no date of a night"):
        call("export", "xlsx", "--since", "June", "-w", night_workspace.root)


def test_ingest_says_what_is_usable(survey: Path, workspace: Workspace, tmp_path: Path) -> None:
    shutil.copytree(survey, tmp_path / "card")
    (tmp_path / "card" / "empty.jpg").touch()
    result = call("ingest", tmp_path / "card", "--json", "-w", workspace.root, "--set", "dask.mode=inline")
    assert result["n_files"] == sum(result["counts"].values()) == result["n_photos"]
    assert [r["reason"] for r in result["rejected"]] == ["empty_file"]


def test_init_and_doctor_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = call("init", tmp_path / "new season", "--json")
    assert made["match"]["weights"] == BUNDLED and "no official LightGlue weights" in made["why"]
    examined = call("doctor", "--json", "-w", tmp_path / "new season")
    assert examined["ok"] and examined["findings"][0]["says"].endswith("resight.toml")
    assert call("models", "list", "--json", "-w", tmp_path / "new season") == {"models": []}
    names = {w["name"]: w for w in call("weights", "list", "--json", "-w", tmp_path / "new season")["weights"]}
    assert names["lightglue-sift"]["status"] == "missing"
    with pytest.raises(ResightError, match="there already"):
        call("init", tmp_path / "new season")


def test_doctor_fails_where_weights_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    call("init", tmp_path / "ws", "--json")
    (tmp_path / "ws" / "resight.toml").write_text('[extract]\nkind = "aliked"\n')
    result = CliRunner().invoke(app, ["doctor", "--json", "-w", str(tmp_path / "ws")])
    assert result.exit_code == 1
    findings = {f["what"]: f for f in json.loads(result.stdout)["findings"]}
    assert not findings["weights"]["ok"] and "aliked-n16" in findings["weights"]["says"]
    (tmp_path / "ws" / "resight.toml").unlink()
    result = CliRunner().invoke(app, ["doctor", "--json", "-w", str(tmp_path / "ws")])
    assert "not there, so all settings are the defaults" in json.loads(result.stdout)["findings"][0]["says"]


def test_without_a_settings_file_it_says_what_it_chose(
    labelled: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace.root / "no cache"))
    result = call("evaluate", labelled, "-w", workspace.root, "--json", *SMALL)
    describe = result["model"]["describe"]
    assert describe.startswith("sift + lightglue (") and BUNDLED in describe
    assert any("sift + lightglue" in note and "resight init" in note for note in result["notes"])
    other = call(
        "evaluate",
        labelled,
        "-w",
        workspace.root,
        "--json",
        *SMALL,
        "--set",
        "extract.kind=sift",
        "--set",
        "match.kind=nearest",
    )
    assert other["model"]["describe"].startswith("sift + nearest")
