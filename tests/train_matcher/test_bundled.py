"""The weights that come with the package."""

import json

import numpy as np
import pytest
import torch

from resight.extract.base import Features
from resight.match.kinds.lightglue import LightGlueParams
from resight.match.lightglue import build_lightglue
from resight.train.matcher.weights import from_store
from resight.weights.registry import WEIGHTS
from resight.weights.store import BUNDLED, WeightStore

NAMES = ("lightglue-sift-turtle-2", "lightglue-sift-turtle")
NAME = NAMES[0]


@pytest.mark.parametrize("name", NAMES)
def test_they_are_found_without_a_download_and_small_and_whole(monkeypatch, tmp_path, name):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("RESIGHT_WEIGHTS", raising=False)
    store = WeightStore(allow_download=False)
    assert store.available(name)
    found = store.find(name)
    assert found.path.parent == BUNDLED and found.licence == "Apache-2.0"
    assert found.sha256 == WEIGHTS[name].files[0].sha256
    assert found.path.stat().st_size < 12e6
    assert {t.dtype for t in store.state_dict(name).values()} == {torch.float16}


@pytest.mark.parametrize(("name", "n_trained", "n_left_out"), [(NAMES[0], 162, 112), (NAMES[1], 6, 6)])
def test_they_say_what_they_were_made_of_and_who_was_left_out(name, n_trained, n_left_out):
    recipe = json.loads((BUNDLED / f"{name}.json").read_text(encoding="utf-8"))
    assert len(recipe["data_sha256"]) == 64 and recipe["steps_done"] > 0 and recipe["seconds"] > 0
    assert not set(recipe["left_out"]) & set(recipe["photos"]["individuals"])
    assert (len(recipe["photos"]["individuals"]), len(recipe["left_out"])) == (n_trained, n_left_out)
    assert (BUNDLED / "README.md").exists()


def test_none_of_the_animals_that_measure_trained_the_second():
    measure = {"t001", "t002", "t004", "t006", "t008", "t013", "t015", "t016", "t017", "t020", "t021", "t023"}
    recipe = json.loads((BUNDLED / f"{NAME}.json").read_text(encoding="utf-8"))
    assert measure <= set(recipe["left_out"])


def test_training_can_go_on_from_them():
    net = from_store(WeightStore(allow_download=False), NAME)
    assert net.shape.input_dim == 128 and sum(p.numel() for p in net.parameters()) < 6e6


def test_they_match_a_crop_with_itself_and_every_layer_may_be_asked():
    params = LightGlueParams(weights=NAME, halving=((1, 0.5),))
    assert params.accepts("sift") and not params.accepts("aliked")
    matcher = build_lightglue(params, WeightStore(allow_download=False), "sift", "cpu")
    rng = np.random.default_rng(0)
    descriptors = np.sqrt(rng.dirichlet(np.full(128, 0.3), 60)).astype(np.float16)
    xy, zeros = rng.uniform(0, 300, (60, 2)).astype(np.float32), np.zeros(60, np.float32)
    crop = Features(xy, descriptors, zeros + 3, zeros, zeros + 1, (313, 471))
    match = matcher.match(crop, crop)
    right = match.index_a == match.index_b
    assert right.sum() >= 30 and right.mean() > 0.9
