"""One vector per crop: cosines by hand, each crop embedded once, timm's networks by name."""

import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from resight.compare import vectors
from resight.compare.base import Family
from resight.compare.compare import compare_methods
from resight.compare.kinds.timm import load_timm, timm_method
from resight.compare.kinds.trained import EmbeddingMethod, TrainedMethod
from resight.embed.picture import squashed
from resight.errors import WeightsError
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.samples import training_rows
from resight.train.embedding.train import train_embedding

TINY = EmbeddingRecipe(
    side_px=32, first_px=32, view_px=32, kept_px=40, width=0.1, dim=8, steps=2, crops_per_step=4, init=""
)


class Colours(vectors.Embedder):
    """Mean colour of the picture."""

    name, side_px = "colours", 32

    def __init__(self):
        self.asked = 0

    def vectors(self, rgb):
        self.asked += len(rgb)
        mean = rgb.reshape(len(rgb), -1, 3).mean(1).astype(np.float32)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def test_cosines_by_hand(trial):
    planned = trial.planned(trial.usable)
    known = {"a": [1.0, 0.0], "a2": [0.0, 1.0], "b": [0.0, 1.0], "p": [0.6, 0.8], "q": [0.0, -1.0], "r": [0.0, 1.0]}
    found = vectors.cosines(planned, {k: np.array(v) for k, v in known.items()})
    assert found["p", "a"] == pytest.approx(0.8) and found["p", "b"] == pytest.approx(0.9)
    assert found["q", "b"] == 0.0 and found["r", "a2"] == 1.0
    assert ("p", "a2") not in found, "left is not compared with right"


def test_every_crop_is_embedded_once(trial):
    network = Colours()
    first = vectors.embed(trial, network)
    assert set(first) == {"a", "a2", "b", "p", "q", "r"} and network.asked == 6
    again = vectors.embed(trial, network)
    assert network.asked == 6 and all((first[c] == again[c]).all() for c in first)


def test_the_trained_embedding_has_a_row_that_says_how(trial):
    method = TrainedMethod("net", "Net", Family.GLOBAL, True, TINY)
    (row,) = compare_methods(trial, [method]).rows
    assert row["status"] == "ok", row["reason"]
    assert row["note"].startswith("trained from scratch, no pretrained weights: 3 crops of 2 animals, 2 steps")
    assert "embedding.safetensors" in row["weights"] and row["seconds_extract"] > 0
    assert compare_methods(trial, [method]).computed == ()


def test_an_embedding_from_a_file_sees_right_sides_in_the_mirror(trial):
    made = train_embedding(
        trial.env.workspace, training_rows(trial.photos, trial.crops, trial.cohort), TINY, trial.env.weights
    )
    method = EmbeddingMethod("file", "File", Family.GLOBAL, True, made.path)
    (row,) = compare_methods(trial, [method]).rows
    assert row["status"] == "ok" and made.sha256 in row["weights"], row["reason"]
    network = method.embedder(trial)
    rgb, mask = trial.read("r")
    assert (network.picture(rgb, mask, "right") == network.picture(rgb, mask, "left")[:, ::-1]).all()
    by_hand = network.vectors(squashed(rgb, "right", 32)[None])[0]
    assert vectors.embed(trial, network)["r"] == pytest.approx(by_hand, abs=1e-6)
    (missing,) = compare_methods(
        trial, [EmbeddingMethod("none", "None", Family.GLOBAL, True, "nowhere.safetensors")]
    ).rows
    assert missing["status"] == "missing_weights" and "nowhere.safetensors" in missing["reason"]


def test_a_whole_training_is_used_even_where_a_short_one_would_do(trial):
    long = TrainedMethod("net", "Net", Family.GLOBAL, True, TINY.model_copy(update={"steps": 21}), shorten=True)
    assert long.recipe_for(trial).steps == 20
    train_embedding(trial.env.workspace, long._rows(trial), long.recipe, trial.env.weights, quiet=True)
    assert long.recipe_for(trial).steps == 21


@pytest.fixture
def fake_timm(monkeypatch):
    """A package with one network of one layer; the real one is an extra."""

    class Net(torch.nn.Module):
        pretrained_cfg = {  # noqa: RUF012
            "classifier": "head", "hf_hub_id": "timm/tiny", "input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3,
        }  # fmt: skip

        def __init__(self, num_classes):
            super().__init__()
            self.body = torch.nn.Linear(3, 4)
            self.head = torch.nn.Linear(4, num_classes) if num_classes else torch.nn.Identity()

        def forward(self, x):
            return self.head(self.body(x.mean((2, 3))))

    def create_model(name, pretrained, num_classes=7):
        assert not pretrained, "nothing is ever fetched"
        if name != "tiny":
            raise RuntimeError(f"Unknown model ({name})")
        return Net(num_classes)

    cache = {}
    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create_model))
    hub = types.SimpleNamespace(try_to_load_from_cache=lambda repo, file: cache.get((repo, file)))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return types.SimpleNamespace(cache=cache, net=Net(7))


def test_timm_from_a_file_and_from_the_cache(trial, fake_timm, tmp_path):
    file = tmp_path / "tiny.safetensors"
    save_file(fake_timm.net.state_dict(), file)
    by_path = timm_method(f"timm:tiny={file}")
    (row,) = compare_methods(trial, [by_path]).rows
    assert row["status"] == "ok" and row["method"] == "timm:tiny", row["reason"]
    (missing,) = compare_methods(trial, [timm_method("timm:tiny")]).rows
    assert missing["status"] == "missing_weights"
    assert "hf download timm/tiny" in missing["reason"] and "timm:tiny=FILE" in missing["reason"]
    fake_timm.cache["timm/tiny", "model.safetensors"] = str(file)
    (cached,) = compare_methods(trial, [timm_method("timm:tiny")]).rows
    assert cached == row


def test_timm_drops_the_classifier_and_nothing_else(fake_timm):
    state = fake_timm.net.state_dict()
    net = load_timm("tiny", state)
    assert torch.equal(net.body.weight, state["body.weight"]) and net(torch.rand(1, 3, 8, 8)).shape == (1, 4)
    with pytest.raises(WeightsError, match=r"lacks body\.bias"):
        load_timm("tiny", {k: v for k, v in state.items() if k != "body.bias"})


def test_timm_unknown_absent_or_broken(trial, fake_timm, monkeypatch):
    (unknown,) = compare_methods(trial, [timm_method("timm:huge")]).rows
    assert unknown["status"] == "failed" and "Unknown model (huge)" in unknown["reason"]
    monkeypatch.setitem(sys.modules, "timm", None)
    (absent,) = compare_methods(trial, [timm_method("timm:tiny")]).rows
    assert absent["status"] == "failed" and "pip install 'resight[timm]'" in absent["reason"]
