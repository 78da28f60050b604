"""Measuring, from the command line to the page and the tables."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from flow_helpers import SMALL
from typer.testing import CliRunner

from resight.cli.app import app
from resight.demo.survey import render_survey
from resight.errors import LeakError
from resight.flows.evaluation import run_evaluate
from resight.store.runs import read_run
from resight.store.workspace import Workspace

QUICK = SMALL | {
    "extract": {"kind": "sift", "max_keypoints": 500},
    "crop": {"head_side_px": 400},
    "evaluate": {"draws": 30, "few_queries": 9},
}
TABLES = ("outcomes", "accuracy", "accuracy_curves")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four animals met three times each, with all their names."""
    folder = tmp_path_factory.mktemp("labelled") / "survey"
    render_survey(folder, n_individuals=4, n_new=0, gallery_encounters=2, photos_per_encounter=1, size_px=(720, 540))
    truth = {r["file"]: r["individual_id"] for r in rows_of(folder / "truth.csv")}
    write(folder, [r | {"individual_id": truth.get(r["file"], r["individual_id"])} for r in rows_of(folder / "metadata.csv")])  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, labelled: Path) -> tuple[Workspace, dict[str, Any]]:
    """A workspace with one run in it; runs never change, so that all tests can share it."""
    workspace = Workspace(tmp_path_factory.mktemp("measured"))
    return workspace, evaluate(labelled, workspace)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def write(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def evaluate(folder: Path, workspace: Workspace, **asked: Any) -> dict[str, Any]:
    extract = {"extract": QUICK["extract"] | asked.pop("extract", {})}
    return run_evaluate(folder, workspace.root, QUICK | extract | {"evaluate": QUICK["evaluate"] | asked}, quiet=True)


def overall(result: dict[str, Any]) -> dict[str, Any]:
    return {r["metric"]: r for r in result["accuracy"] if r["stratum"] == "all"}


def test_a_run_has_outcomes_metrics_curves_and_a_page(place: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, result = place
    assert result["protocol"] == "leave-one-encounter-out", "eight later encounters are fewer than few_queries"
    outcomes = read_run(workspace, result["run_id"], "outcomes").to_pylist()
    encounters = [r for r in outcomes if (r["trial"], r["level"]) == ("closed", "encounter")]
    assert len(encounters) == 12 and all(r["known"] for r in encounters)
    assert all(max(r["probabilities"]) == r["probability"] for r in encounters), "the most probable candidate is named"
    right = sum(r["correct"] for r in encounters) / 12
    assert overall(result)["top1_encounter"]["value"] == pytest.approx(right)
    unknown = [r for r in outcomes if r["trial"] in ("without_own", "open") and not r["known"]]
    assert len(unknown) == 24 and not any(r["correct"] for r in unknown), (
        "each once without itself, once without its group"
    )
    assert all((Path(result["folder"]) / f"{name}.parquet").exists() for name in TABLES)
    assert "How good?" in Path(result["accuracy_page"]).read_text(encoding="utf-8")
    assert sum(result["counts"]["photos"]["out"].values()) == 12 == result["counts"]["photos"]["out"]["identified"]


def test_no_turn_sees_the_label_or_the_scores_of_who_asks(place: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, result = place
    outcomes = read_run(workspace, result["run_id"], "outcomes").to_pylist()
    photos = {r["photo_id"]: r for r in read_run(workspace, result["run_id"], "photos").to_pylist()}
    crops = {r["crop_id"]: photos[r["photo_id"]] for r in read_run(workspace, result["run_id"], "crops").to_pylist()}
    for r in outcomes:
        if r["found_crop_id"]:
            found = crops[r["found_crop_id"]]
            assert found["encounter_id"] != r["encounter_id"]
            assert r["known"] or found["individual_id"] != r["true_individual_id"], "left out means left out"


def test_time_aware_and_open_rounds(labelled: Path, place: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, _ = place
    result = evaluate(labelled, workspace, protocol="time-aware", open_share=0.5)
    assert result["protocol"] == "time-aware" and result["against"] is None, "another protocol is another question"
    outcomes = read_run(workspace, result["run_id"], "outcomes")
    opened = outcomes.filter(pc.equal(outcomes["trial"], "open")).to_pylist()
    assert {r["round"] for r in opened} == {0, 1} and {r["n_gallery_individuals"] for r in opened} == {2}
    n = len({r["query_id"] for r in opened})
    assert sum(not r["known"] for r in opened) == n == sum(r["known"] for r in opened), "left out once, there once"
    assert overall(result)["open_novelty_auroc"]["n"] == 2 * n
    closed, alone = (
        {r["query_id"]: r for r in outcomes.to_pylist() if (r["trial"], r["level"]) == (t, "encounter")}
        for t in ("closed", "without_own")
    )
    with_own_pairs = [q for q in alone if closed[q]["score_right"] is not None]
    assert len(with_own_pairs) == 4
    assert all(alone[q]["score_wrong"] != closed[q]["score_wrong"] for q in with_own_pairs), (
        "pairs with its own animal do not count in a stranger's cohort"
    )


def test_another_model_is_compared_with_the_run_before(labelled: Path, place: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, first = place
    second = evaluate(labelled, workspace, extract={"max_keypoints": 60})
    assert second["against"] == first["run_id"]
    rows = {r["metric"]: r for r in second["differences"]}
    assert rows["top1_photo"]["difference"] == pytest.approx(overall(second)["top1_photo"]["value"] - overall(first)["top1_photo"]["value"])  # fmt: skip
    changes = read_run(workspace, second["run_id"], "changes").to_pylist()
    counted = [sum(c["outcome"] == kind and c["level"] == "photo" for c in changes) for kind in ("gained", "lost")]
    assert counted == [rows["top1_photo"]["n_gained"], rows["top1_photo"]["n_lost"]]
    page = Path(second["accuracy_page"]).read_text(encoding="utf-8")
    assert "Over the runs so far" in page and first["run_id"] in page


def test_the_command_line_measures_draws_again_and_says_everything(labelled: Path, place: tuple[Workspace, dict[str, Any]]) -> None:  # fmt: skip
    workspace, first = place
    options = ["--set", "extract.kind=sift", "--set", "extract.max_keypoints=500", "--set", "crop.head_side_px=400", "--set", "dask.mode=inline",
               "--set", "evaluate.draws=30", "--set", "evaluate.few_queries=9", "-w", str(workspace.root), "--json"]  # fmt: skip
    call = CliRunner().invoke(app, ["evaluate", str(labelled), "--against", first["run_id"], *options], catch_exceptions=False)  # fmt: skip
    assert call.exit_code == 0, call.output
    result = json.loads(call.stdout)
    assert result["against"] == first["run_id"] and result["changes"] == [], "the same model finds the same"
    assert {"baks_baus_gm", "cluster_ari", "abundance_error", "candidate_set_coverage", "brier_mixed", "shortlist_recall_photo"} <= {r["metric"] for r in result["accuracy"]}  # fmt: skip
    again = CliRunner().invoke(app, ["report", result["run_id"], "-w", str(workspace.root), "--json"], catch_exceptions=False)  # fmt: skip
    drawn = Path(json.loads(again.stdout)["accuracy_page"]).read_text(encoding="utf-8")
    assert "<h1>Accuracy" in drawn and "No identification has changed." in drawn
    shown = CliRunner().invoke(app, ["evaluate", str(labelled), "--against", "none", *options[:-1]], catch_exceptions=False)  # fmt: skip
    assert "leave-one-encounter-out" in shown.stdout and "geometric mean" in shown.stdout


def test_the_control_sees_no_animal(labelled: Path, place: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, first = place
    result = evaluate(labelled, workspace, background_control=True)
    assert result["counts"]["background"] == {"in": 12, "out": {"painted_over": 12}}
    rows = overall(result)
    assert rows["background_top1_photo"]["n"] == 12
    assert rows["background_animal_top1_photo"]["value"] == rows["top1_photo"]["value"] == overall(first)["top1_photo"]["value"]  # fmt: skip
    assert rows["background_top1_photo"]["value"] < rows["top1_photo"]["value"], (
        "rendered water says little about a turtle"
    )
    assert "Habitat alone" in Path(result["accuracy_page"]).read_text(encoding="utf-8")


def test_a_leak_stops_the_run_or_costs_the_headline(labelled: Path, tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "random split"
    shutil.copytree(labelled, folder)
    rows = sorted(rows_of(folder / "metadata.csv"), key=lambda r: (r["individual_id"], r["taken_at"]))
    same_day = {r["individual_id"]: r["taken_at"] for r in rows}  # every animal: two encounters, now of one day
    split = [r | {"role": "query" if k % 3 == 1 else "gallery", "taken_at": same_day[r["individual_id"]], "encounter_id": f"e{k}"} for k, r in enumerate(rows)]  # fmt: skip
    write(folder, split)
    with pytest.raises(LeakError, match=r"100\.0% of the query photos"):
        evaluate(folder, workspace)
    result = evaluate(folder, workspace, tolerate_leak=True)
    assert result["metrics"]["leak"] == 1.0 and result["metrics"]["top1_photo"] is None
    page = Path(result["accuracy_page"]).read_text(encoding="utf-8")
    assert "No headline: the split leaks" in page and "100.0 % of the query photos" in page
