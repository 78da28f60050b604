"""The whole way on real photos with real weights."""

from pathlib import Path

import pyarrow.compute as pc
import pytest

from resight.flows.evaluation import run_evaluate
from resight.store.runs import read_run
from resight.store.workspace import Workspace

XFEAT_LIGHTERGLUE = {
    "extract": {"kind": "xfeat"},
    "match": {"kind": "lightglue", "weights": "xfeat_lighterglue_3layer"},
    "dask": {"mode": "inline"},
}


@pytest.mark.parametrize("segmenter", ["annotations", "whole"])
def test_green_turtles_years_apart(
    segmenter: str, shared_data: Path, shared_weights: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESIGHT_WEIGHTS", str(shared_weights))
    result = run_evaluate(
        shared_data / "bonaire", workspace.root, XFEAT_LIGHTERGLUE | {"segment": {"kind": segmenter}}, quiet=True
    )
    assert result["counts"]["photos"]["out"] == {"gallery": 10, "identified": 6}
    assert result["metrics"]["top1_photo"] >= 4 / 6
    ranked = read_run(workspace, result["run_id"], "identifications")
    photos = ranked.filter(pc.equal(ranked["level"], "photo")).to_pylist()
    right = [r for r in photos if r["rank"] == 1 and r["individual_id"] == r["true_individual_id"]]
    if segmenter == "annotations":
        seconds = {r["query_id"]: r["score"] for r in photos if r["rank"] == 2}
        assert sum(r["score"] >= 1.5 * seconds[r["query_id"]] for r in right) >= 4
    pairs = read_run(workspace, result["run_id"], "pairs")
    sides = {c["crop_id"]: c["viewpoint"] for c in read_run(workspace, result["run_id"], "crops").to_pylist()}
    scored = pairs.filter(pc.equal(pairs["status"], "scored")).to_pylist()
    assert all(sides[p["query_crop_id"]] == sides[p["gallery_crop_id"]] for p in scored), (
        "left is never compared with right"
    )
