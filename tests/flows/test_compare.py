"""`resight compare` and `resight train embedding` as people and scripts call them."""

import csv
import json
import shutil
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resight.cli.app import app
from resight.compare import methods
from resight.compare.base import MethodScores, Trial
from resight.compare.kinds.pipeline import PipelineMethod
from resight.compare.outcomes import method_outcomes
from resight.rank.params import RankParams
from resight.store.runs import read_run
from resight.store.workspace import Workspace

SMALL = [
    "--set",
    "extract.max_keypoints=300",
    "--set",
    "crop.head_side_px=320",
    "--set",
    "dask.mode=inline",
    "--set",
    "evaluate.few_queries=0",
]
METHODS = "sift-nearest-magsac,sift-lnbnn,embedding-trained,loftr,ssim"


def call(*arguments: str | Path) -> Any:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


@pytest.fixture
def named(survey: Path, tmp_path: Path) -> Path:
    """The survey with the truth as labels."""
    folder = tmp_path / "all named"
    shutil.copytree(survey, folder)
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = {r["file"]: r["individual_id"] for r in csv.DictReader(file)}
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [r | {"individual_id": truth.get(r["file"], r["individual_id"])} for r in csv.DictReader(file)]
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_train_then_compare_then_compare_again(named: Path, field_workspace: Workspace) -> None:
    root = field_workspace.root
    trained = call("train", "embedding", named, "-w", root, "--steps", "2", "--json", *SMALL)
    assert trained["computed"] and trained["steps"] == 2 and Path(trained["path"]).exists()
    command = ["compare", named, "-w", root, "--methods", METHODS, "--steps", "2", *SMALL]
    first = call(*command, "--json")
    rows = {r["method"]: r for r in first["rows"]}
    assert ",".join(rows) == METHODS
    assert {n: r["status"] for n, r in rows.items() if r["status"] != "ok"} == {"loftr": "missing_weights"}
    assert rows["sift-nearest-magsac"]["top1_photo"] > 0.5, "rendered heads are easy"
    assert f"2 steps in {trained['seconds']:.0f} s" in rows["embedding-trained"]["note"], "trained once"
    assert all(r["seconds_per_query"] > 0 for r in rows.values() if r["status"] == "ok")
    assert first["computed"] == [n for n in rows if n != "loftr"]
    table = read_run(field_workspace, first["run_id"], "comparison")
    assert sorted(table["method"].to_pylist()) == sorted(rows)
    assert "<svg" in Path(first["report"]).read_text(encoding="utf-8")
    assert not field_workspace.current.exists(), "comparing changes nothing that is current"
    again = call(*command, "--json")
    assert again["computed"] == [] and again["rows"] == first["rows"] and again["run_id"] == first["run_id"]
    shown = call(*command)
    assert "sift-nearest-magsac" in shown and "loftr_outdoor.ckpt" in shown and "nothing, all rows" in shown


def test_evaluate_and_compare_share_what_was_matched(named: Path, field_workspace: Workspace) -> None:
    root = field_workspace.root
    evaluated = call("evaluate", named, "-w", root, "--json", *SMALL, "--set", "score.name=inliers")
    match = field_workspace.store / "match"
    before = sorted(p for p in match.rglob("*") if p.is_file())
    compared = call("compare", named, "-w", root, "--methods", "sift-lightglue-turtle-2", "--json", *SMALL)
    assert sorted(p for p in match.rglob("*") if p.is_file()) == before
    (row,) = compared["rows"]
    for metric in ("top1_photo", "top5_photo", "top1_encounter", "map_photo"):
        assert row[metric] == evaluated["metrics"][metric], metric


def test_only_the_listed_animals_ask_and_the_gallery_stays(named: Path, field_workspace: Workspace) -> None:
    root = field_workspace.root
    command = ["compare", named, "-w", root, "--methods", "ssim", *SMALL]
    (everybody,) = call(*command, "--json")["rows"]
    who = read_run(field_workspace, call(*command, "--json")["run_id"], "photos")["individual_id"].to_pylist()
    listed = root.parent / "who asks.csv"
    listed.write_text(f"individual_id,part\n{min(filter(None, who))},validation\n")
    asked = call(*command, "--asking", listed, "--json")
    (row,) = asked["rows"]
    assert asked["computed"] == ["ssim"] and row["fingerprint"] != everybody["fingerprint"], "others ask: another row"
    assert 0 < row["n_photos"] < everybody["n_photos"]
    for size in ("n_gallery_photos", "n_gallery_individuals", "pairs_per_query"):
        assert row[size] == everybody[size], size
    said = f"Only photos of 1 animal of {listed} ask; all animals are in the gallery."
    assert said in asked["notes"] and said in Path(asked["report"]).read_text(encoding="utf-8")
    assert said in call(*command, "--asking", listed).replace("\n", " ")
    first_year = call(*command, "--protocol", "first-year", "--json")
    assert [r["protocol"] for r in first_year["rows"]] == ["first-year"]


def test_a_list_that_lets_nobody_ask_is_refused_as_by_evaluate(named: Path, field_workspace: Workspace) -> None:
    from resight.errors import NothingToMeasure, SettingsError

    listed = field_workspace.root.parent / "strangers.csv"
    for command in ("evaluate", "compare"):
        arguments = [command, named, "-w", field_workspace.root, "--asking", listed, *SMALL]
        listed.write_text("individual_id\nNobody\n")
        with pytest.raises(NothingToMeasure, match=r"No animal of .*strangers\.csv was met again"):
            call(*arguments)
        listed.unlink()
        with pytest.raises(SettingsError, match=r"strangers\.csv"):
            call(*arguments)


def test_an_unknown_method_is_refused_before_any_work(named: Path, field_workspace: Workspace) -> None:
    from resight.errors import ResightError

    with pytest.raises(ResightError, match="did you mean 'ssim'"):
        call("compare", named, "-w", field_workspace.root, "--methods", "sssim", "--json")
    assert not field_workspace.store.exists()


@pytest.mark.parametrize("protocol", ["time-aware", "leave-one-encounter-out"])
@pytest.mark.parametrize(("name", "score"), [("resight", "snorm_inliers"), ("resight-fused", "fused")])
def test_the_pipelines_row_is_what_evaluate_measures(
    named: Path, field_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, score: str, protocol: str
) -> None:
    seen: list[tuple[Trial, MethodScores]] = []
    run = PipelineMethod.run
    monkeypatch.setattr(PipelineMethod, "run", lambda self, trial: seen.append((trial, run(self, trial))) or seen[0][1])
    few = ["--set", "extract.max_keypoints=60", "--set", "crop.head_side_px=320", "--set", "dask.mode=inline"]
    few += ["--set", "score.null_pairs=300"]  # what is set beside the score's name counts too
    how = ["-w", field_workspace.root, "--protocol", protocol, "--json", *few]
    evaluated = call("evaluate", named, *how, "--set", f"score.name={score}")
    match = field_workspace.store / "match"
    before = sorted(p for p in match.rglob("*") if p.is_file())
    (row,) = call("compare", named, *how, "--methods", name)["rows"]
    assert row["status"] == "ok" and row["seconds_match"] > 0 and "learn from" in row["note"], row
    assert sorted(p for p in match.rglob("*") if p.is_file()) == before, "the same pairs, those of the gallery too"
    for metric in ("top1_photo", "top3_photo", "top5_photo", "map_photo"):
        assert row[metric] == evaluated["metrics"][metric], metric

    ((trial, scored),) = seen
    assert PipelineMethod.settings(methods.chosen([name])[0], trial).score.null_pairs == 300
    tables = {kind: read_run(field_workspace, evaluated["run_id"], kind).to_pylist() for kind in ("scores", "outcomes")}
    pair = itemgetter("query_crop_id", "gallery_crop_id")
    there = {pair(r): r["score"] for r in tables["scores"] if r["purpose"] == "identify"}
    assert {pair(r): r["score"] for r in scored.scores.to_pylist()} == pytest.approx(there) and len(there) > 10
    answers = method_outcomes(scored, trial.cohort, trial.photos, RankParams()).photos
    first = {r["query_id"]: r["individual_id"] for r in answers}
    closed = [r for r in tables["outcomes"] if (r["trial"], r["level"], r["known"]) == ("closed", "photo", True)]
    assert first == {r["query_id"]: r["individual_id"] for r in closed} and len(set(first.values())) > 1
