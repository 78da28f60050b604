"""The command, from photos to weights that the pipeline takes."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from resight.cli.app import app
from resight.demo.survey import render_survey
from resight.errors import NothingToMeasure, SettingsError, WeightsError
from resight.flows import training
from resight.match.kinds.lightglue import LightGlueParams
from resight.match.lightglue import build_lightglue
from resight.train.matcher import recipe as module
from resight.train.matcher.learner import Plan
from resight.train.matcher.material import digest_of, gather
from resight.train.matcher.network import Shape
from resight.train.matcher.recipe import Recipe, recipe_for
from resight.weights.store import WeightStore


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survey")
    return render_survey(folder, seed=5, n_individuals=2, n_new=0, gallery_encounters=1, query_encounters=0, size_px=(420, 320))  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    """Two views of everything, one rendered animal, no time lost."""

    def recipe(origin, **given):
        made = recipe_for(origin, **given)
        plan = made.plan.__class__(made.plan.steps, 2, (32,), warm_up=1, look_every=2, look_pairs=2)
        return Recipe(given["seed"], made.shape, 3, 2, 1, 2, 64, mix=made.mix, plan=plan)

    # Where the flow looks it up: a patch of the module that defines it reaches only a flow that nobody has imported yet.
    monkeypatch.setattr(training, "recipe_for", recipe)
    monkeypatch.setattr(module, "APART_SHARE", 0.0)
    return recipe


def call(*arguments):
    return CliRunner().invoke(app, ["train", "matcher", "--json", "--set", "dask.mode=inline", *map(str, arguments)])


def test_from_nothing_to_weights_that_match_and_on_from_there(survey, workspace, small):
    place = ("--workspace", workspace.root, "--photos", survey.folder)
    first = call(*place, "--from", "nothing", "--steps", 2)
    assert first.exit_code == 0, first.output + str(first.exception)
    said = json.loads(first.stdout.splitlines()[-1])
    made = json.loads(Path(said["recipe"]).read_text())
    assert made["from"] == "nothing" and made["steps_done"] == 2 and made["licence"] == "Apache-2.0"
    assert len(made["data_sha256"]) == 64 and made["photos"]["heads"] == 4 and made["photos"]["whole_photos"] == 4
    assert said["weights"].startswith(str(workspace.models / "weights")) and "match.weights" in said["next"]
    params = LightGlueParams(weights=said["weights"])
    assert params.accepts("sift") and not params.accepts("xfeat")
    matcher = build_lightglue(
        LightGlueParams(weights=said["weights"], halving=((1, 0.5),)), WeightStore(), "sift", "cpu"
    )
    assert all(matcher.engine.arch.trained_heads)

    again = call(*place, "--from", "nothing", "--steps", 2)
    assert again.exit_code == 1 and "--resume" in str(again.exception)
    more = call(*place, "--from", said["weights"], "--steps", 2, "--out", workspace.root / "second")
    assert more.exit_code == 0, more.output + str(more.exception)
    assert json.loads(more.stdout.splitlines()[-1])["weights"].endswith("second/lightglue-sift-v1.safetensors")


def test_a_stopped_training_is_gone_on_with_and_gives_what_an_undisturbed_one_gives(
    survey, workspace, small, monkeypatch
):
    from resight.environment import Environment
    from resight.runner.runner import Runner
    from resight.settings import load_settings

    settings = load_settings(None, {"dask.mode": "inline"})
    with Runner(settings.dask, "cpu", quiet=True) as runner:
        arguments = (Environment(workspace, WeightStore(), runner), settings, [str(survey.folder)], "2026-01-01")
        pictures = gather(*arguments)
        left = gather(*arguments, leave_out=[pictures[0].individual_id])
        with pytest.raises(NothingToMeasure, match="no usable photo"):
            gather(*arguments, leave_out={p.individual_id for p in pictures})
        listed = gather(*arguments, only={pictures[0].individual_id})
    assert {p.individual_id for p in listed} == {pictures[0].individual_id}
    assert {p.individual_id for p in left} == {p.individual_id for p in pictures} - {pictures[0].individual_id}
    assert digest_of(left) != digest_of(pictures)
    recipe = small("nothing", steps=4, batch=2, seed=3, keypoints=32)
    files = []

    def train(name, **options):
        return module.train_matcher(pictures, workspace.root / name, recipe, WeightStore(), "nothing", **options)

    files.append(train("whole"))
    with monkeypatch.context() as context:
        context.setattr(module, "write_curves", lambda folder, curve: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train("part")
    files.append(train("part", resume=True))
    assert [file.name for file in files] == ["lightglue-sift-v1.safetensors"] * 2
    assert files[0].read_bytes() == files[1].read_bytes()
    assert json.loads(files[1].with_suffix(".json").read_text())["steps_done"] == 4
    assert (workspace.root / "part" / "curve.svg").read_text().count("<polyline") >= 1
    with pytest.raises(SettingsError, match="no training"):
        module.train_matcher(pictures, workspace.root / "third", recipe, WeightStore(), "nothing", resume=True)


def test_links_of_the_current_model_are_what_it_matches(bank):
    from resight.train.matcher.network import Shape, start

    match = module.by_network(bank, start(Shape(1), 0), "cpu")
    index_a, index_b = match(0, 1)
    similarity = bank.descriptors[0].astype(np.float32) @ bank.descriptors[1].astype(np.float32).T
    assert len(index_a) > 5 and (similarity[index_a].argmax(1) == index_b).all()


def test_weights_of_something_else_are_refused(workspace, survey, small):
    result = call("--workspace", workspace.root, "--photos", survey.folder, "--from", "no-such-name", "--steps", 1)
    assert result.exit_code == 1 and isinstance(result.exception, WeightsError)


def test_views_are_named_by_the_settings_that_decide_them_and_by_no_class():
    recipe = Recipe()
    assert module._views_name(recipe) == module._views_name(
        replace(recipe, plan=Plan(steps=5), shape=Shape(n_layers=2))
    )
    assert module._views_name(recipe) != module._views_name(replace(recipe, head_views=11))
    renamed = type("AnotherName", (Recipe,), {})
    assert repr(renamed()) != repr(recipe) and module._views_name(renamed()) == module._views_name(recipe)
