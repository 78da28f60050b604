"""`resight train segmenter`, from the command line to the file."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from resight.cli.app import app
from resight.demo.survey import render_survey
from resight.segment.learned.weights import from_tensors
from resight.train.segmenter import recipe as module
from resight.train.segmenter.learner import Plan
from resight.weights.loading import load_tensors

SMALL = module.Recipe(n_rendered=2, n_far=0, n_deck=0, n_scenes=0, plan=Plan(64, 2, 9))


@pytest.fixture(scope="module")
def outlined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outlined")
    render_survey(folder, seed=5, n_individuals=2, n_new=0, gallery_encounters=1, query_encounters=0, size_px=(420, 320))  # fmt: skip
    return folder


def call(*arguments):
    result = CliRunner().invoke(app, ["train", *map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_a_segmenter_from_the_command_line(outlined, tmp_path, monkeypatch):
    monkeypatch.setattr("resight.flows.training.Recipe", lambda **given: replace(SMALL, **given))
    file = tmp_path / "heads.safetensors"
    first = call("segmenter", outlined, "--out", file, "--steps", 2, "--seed", 3)
    assert first["weights"] == str(file) and first["steps"] == 2 and first["recipe"]["seed"] == 3
    assert first["photos"] == {outlined.name: 4, "rendered": 2} and first["started_from"] is None
    assert json.loads(file.with_suffix(".json").read_text()) | {"weights": str(file)} == first
    assert from_tensors(load_tensors(file)).maps.weight.isfinite().all()
    assert sorted(f.suffix for f in tmp_path.iterdir()) == [".json", ".safetensors"], "the checkpoint is gone"
    further = call("segmenter", outlined, "--out", tmp_path / "more.safetensors", "--steps", 1, "--from", file)
    assert further["started_from"]["recipe"]["steps"] == 2
