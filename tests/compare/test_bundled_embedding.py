"""The embedding that comes with the package."""

import json

import cv2
import numpy as np
import pytest
import torch

from resight.compare.base import Family
from resight.compare.compare import compare_methods
from resight.compare.kinds.trained import EmbeddingMethod
from resight.compare.methods import chosen
from resight.embed.picture import squashed
from resight.embed.weights import BUNDLED as NAME
from resight.embed.weights import load_net
from resight.evaluate.animals import Part, deal
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.pixels import to_tensor
from resight.weights.registry import WEIGHTS
from resight.weights.store import BUNDLED, WeightStore

STORE = WeightStore(allow_download=False)


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("RESIGHT_WEIGHTS", raising=False)


def test_it_is_found_without_a_download_and_small_and_whole():
    file = STORE.find(NAME)
    assert file.path.parent == BUNDLED and file.sha256 == WEIGHTS[NAME].files[0].sha256
    assert file.path.stat().st_size < 12e6 and file.path.suffix == ".safetensors"
    assert {t.dtype for t in STORE.state_dict(NAME).values()} == {torch.float16}
    net, side_px = load_net(file.path)
    with torch.inference_mode():
        vectors = net(torch.rand(2, 3, side_px, side_px))
    assert vectors.shape == (2, 256) and vectors.norm(dim=1).numpy() == pytest.approx(1.0, abs=1e-5)


def test_it_says_who_trained_who_chose_and_who_is_untouched():
    record = json.loads((BUNDLED / f"{NAME}.json").read_text(encoding="utf-8"))
    animals = record["animals"]
    everybody = [name for names in animals.values() for name in names]
    assert len(everybody) == len(set(everybody)) == 274 and len(animals["untouched"]) == 12
    assert deal(everybody, animals["untouched"]) == {n: Part(p) for p, names in animals.items() for n in names}
    assert len(record["data_sha256"]) == 64 and record["steps_done"] > 0 and record["seconds"] > 0
    card = (BUNDLED / "README.md").read_text(encoding="utf-8")
    assert NAME in card and "ask the authors" in card


def test_it_has_a_row_and_trainings_begin_with_it(trial):
    (method,) = chosen(["embedding"])
    assert isinstance(method, EmbeddingMethod) and method.family == Family.GLOBAL
    (row,) = compare_methods(trial, [method]).rows
    assert row["status"] == "ok" and STORE.find(NAME).sha256 in row["weights"], row["reason"]
    assert row["top1_photo"] is not None and row["seconds_extract"] > 0
    assert EmbeddingRecipe().init == NAME


def test_a_head_is_nearest_to_itself_in_other_light(shared_data):
    files = sorted((shared_data / "heads" / "photos").glob("*/*.webp"))[::700]
    net, side_px = load_net(STORE.find(NAME).path)
    heads = np.stack([squashed(cv2.imread(str(file))[..., ::-1], "left", side_px) for file in files])
    dim = np.clip(heads * 0.75 + 10, 0, 255).astype(np.uint8)[:, 3:, :-3]
    dim = np.stack([squashed(picture, "left", side_px) for picture in dim])
    with torch.inference_mode():
        one, other = (net(to_tensor(rgb, "cpu")) for rgb in (heads, dim))
    assert len(files) >= 6 and (one @ other.T).argmax(1).tolist() == list(range(len(files)))
