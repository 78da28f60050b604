"""The embedding: loss by hand, batches that keep left and right apart, a training that learns and can be taken up again."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from resight.errors import NothingToMeasure, WeightsError
from resight.train.embedding import learner
from resight.train.embedding.learner import EmbeddingLearner
from resight.train.embedding.loss import circle_loss
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.samples import (
    OUTSIDE,
    TrainingCrop,
    augmented,
    canvas,
    draw_batch,
    relations,
    training_rows,
)
from resight.train.embedding.train import is_trained, load_net, train_embedding
from resight.train.loop import train
from resight.weights.store import WeightStore

TINY = EmbeddingRecipe(
    side_px=32, widths=(8, 12), depths=(1, 1), dim=8, steps=12, classes_per_batch=4, crops_per_class=2
)
STORE = WeightStore(allow_download=False)


def loss(similarity, positive, negative):
    return circle_loss(torch.tensor(similarity), torch.tensor(positive), torch.tensor(negative), margin=0.25, gamma=2.0)


def test_circle_loss_by_hand():
    # a_p = a_n = .75; exponents -2 * .75 * (.5 - .75) = .375 and 2 * .75 * (.5 - .25) = .375
    one = loss([[0.5, 0.5]], [[True, False]], [[False, True]])
    assert float(one) == pytest.approx(math.log(1 + math.exp(0.75)))
    # positives .9 (a .35) and .5 (a .75), negatives .1 (a .35) and -.5 (a 0)
    many = loss([[0.9, 0.5, 0.1, -0.5]], [[True, True, False, False]], [[False, False, True, True]])
    expected = (math.exp(-0.105) + math.exp(0.375)) * (math.exp(-0.105) + 1)
    assert float(many) == pytest.approx(math.log(1 + expected))


def test_circle_loss_passes_over_what_is_neither_and_anchors_without_either():
    one = loss([[0.5, 0.5]], [[True, False]], [[False, True]])
    with_neither = loss([[0.5, 0.5, 0.99]], [[True, False, False]], [[False, True, False]])
    no_anchor = loss([[0.5, 0.5], [0.9, 0.9]], [[True, False], [True, True]], [[False, True], [False, False]])
    assert float(with_neither) == float(no_anchor) == float(one)
    assert float(loss([[0.5]], [[True]], [[False]])) == 0.0


def test_the_weights_of_the_circle_carry_no_gradient():
    s = torch.tensor([[0.5, 0.5]], requires_grad=True)
    circle_loss(s, torch.tensor([[True, False]]), torch.tensor([[False, True]]), 0.25, 2.0).backward()
    share = math.exp(0.75) / (1 + math.exp(0.75))  # of softplus; times gamma * a = 1.5
    assert s.grad.tolist()[0] == pytest.approx([-1.5 * share, 1.5 * share])


def test_left_and_right_are_neither_alike_nor_different():
    names, views = np.array(["Ada", "Ada", "Ada", "Ben"]), ["left", "right", "top", "left"]
    positive, negative = relations(names, np.zeros(4, bool), views)
    assert positive.tolist() == [
        [False, False, True, False], [False, False, True, False], [True, True, False, False], [False] * 4,
    ]  # fmt: skip
    assert negative.tolist() == [[False] * 3 + [True]] * 3 + [[True] * 3 + [False]]
    in_the_mirror, still = relations(names, np.array([False, False, True, False]), views)
    assert not in_the_mirror.any() and (still == negative).all(), "nobody is like or unlike their own mirror image"


def animals(side=32):
    """Two animals with both sides; the left ones dark in the left half."""
    samples = []
    for k, (animal, colour) in enumerate({"Ada": (220, 40, 40), "Ben": (40, 40, 220), "Cleo": (40, 200, 60)}.items()):
        for i in range(4):
            rgb = np.full((side, side, 3), colour, np.uint8)
            rgb[i * 3 : i * 3 + 6, k * 6 : k * 6 + 10] = 230
            samples.append(TrainingCrop(f"{animal}{i}", animal, ["left", "right"][i % 2], rgb))
    return samples


def test_a_batch_has_its_classes_and_mirrored_animals_are_others():
    batch = draw_batch(animals(), 6, 4, np.random.default_rng(0))
    assert batch.rgb.shape == (24, 32, 32, 3) and batch.rgb.dtype == np.uint8
    assert not (batch.positive & batch.negative).any() and not batch.positive.diagonal().any()
    # six classes are all there are: Ada, Ben and Cleo, and each in the mirror. A class of four has two left, two right ones
    assert batch.negative.sum() == 24 * 16 and batch.positive.sum() == 24


def test_few_crops_are_drawn_again_rather_than_fewer():
    two = [s for s in animals() if s.crop_id.endswith("0")]
    assert draw_batch(two, 4, 3, np.random.default_rng(0)).rgb.shape[0] == 12


def test_mirroring_turns_the_picture_round():
    half = np.zeros((32, 32, 3), np.uint8)
    half[:, :16] = 255
    light = [[augmented(half, m, np.random.default_rng(k))[8:24].mean((0, 2)) for k in range(8)] for m in (False, True)]
    left, right = np.array(light)[..., :12].mean(-1), np.array(light)[..., 20:].mean(-1)
    assert (left[0] > right[0]).all() and (left[1] < right[1]).all()


def test_canvas_keeps_the_shape_and_greys_what_is_outside():
    rgb, mask = np.full((20, 40, 3), 250, np.uint8), np.ones((20, 40), bool)
    mask[:, 20:] = False
    square = canvas(rgb, mask, 32)
    assert square.shape == (32, 32, 3)
    assert (square[:8] == OUTSIDE).all() and (square[24:] == OUTSIDE).all(), "16 rows high, in the middle"
    assert (square[10:22, :14] == 250).all() and (square[10:22, 18:] == OUTSIDE).all()


def trained(recipe, *arguments, **options):
    return train(EmbeddingLearner(animals(), recipe), *arguments, quiet=True, **options)


def test_a_few_steps_lower_the_loss(monkeypatch):
    batch = draw_batch(animals(), 4, 3, np.random.default_rng(4))
    monkeypatch.setattr(learner, "draw_batch", lambda *_: batch)
    losses = trained(TINY.model_copy(update={"steps": 15, "learning_rate": 5e-3})).losses["loss"]
    assert losses[-1] < 0.5 * losses[0] and losses[0] > 1


def test_a_training_that_was_killed_goes_on_and_ends_the_same(tmp_path):
    class Killed(Exception):
        pass

    def kill(training):
        if training.step == 7:
            raise Killed

    whole = trained(TINY)
    with pytest.raises(Killed):
        trained(TINY, tmp_path / "state", save_every_s=0, after_step=kill)
    steps = []
    resumed = trained(TINY, tmp_path / "state", after_step=lambda training: steps.append(training.step))
    assert steps == [8, 9, 10, 11, 12]
    assert resumed.losses == whole.losses
    for one, other in zip(resumed.result.state_dict().values(), whole.result.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert trained(TINY).losses == whole.losses
    assert trained(TINY.model_copy(update={"seed": 1})).losses != whole.losses


def test_it_is_trained_once_and_only_on_the_gallery(trial):
    rows = training_rows(trial.photos, trial.crops, trial.cohort)
    assert [r["crop_id"] for r in rows] == ["a", "a2", "b"], "no query"
    in_turns = replace(trial.cohort, queries=frozenset({"a", "p"}))
    assert [r["crop_id"] for r in training_rows(trial.photos, trial.crops, in_turns)] == ["a2", "b"], (
        "nor one that also asks"
    )
    assert not is_trained(trial.env.workspace, rows, TINY, STORE)
    made = train_embedding(trial.env.workspace, rows, TINY, STORE, quiet=True)
    assert (made.n_crops, made.n_individuals, made.steps, made.started_from, made.computed) == (
        3,
        2,
        12,
        "scratch",
        True,
    )
    assert is_trained(trial.env.workspace, rows, TINY, STORE)
    found = train_embedding(trial.env.workspace, rows, TINY, STORE, quiet=True)
    assert found == replace(made, computed=False)
    renamed = [r | {"individual_id": "Cleo"} if r["crop_id"] == "b" else r for r in rows]
    assert train_embedding(trial.env.workspace, renamed, TINY, STORE, quiet=True).computed, (
        "other labels, other training"
    )


def test_the_file_gives_the_network_back(trial, tmp_path):
    from pathlib import Path

    from safetensors.torch import save_file

    rows = training_rows(trial.photos, trial.crops, trial.cohort)
    made = train_embedding(trial.env.workspace, rows, TINY, STORE, quiet=True)
    net, side = load_net(Path(made.path))
    assert side == 32 and not net.training
    vectors = net(torch.rand(3, 3, 32, 32))
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-6)
    further = TINY.model_copy(update={"init": made.path, "steps": 1})
    assert train_embedding(trial.env.workspace, rows, further, STORE, quiet=True).started_from == made.sha256
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="does not describe its network"):
        load_net(tmp_path / "other.safetensors")
    (tmp_path / "half.safetensors").write_bytes(b"123")
    with pytest.raises(WeightsError, match="no whole safetensors"):
        load_net(tmp_path / "half.safetensors")


def test_one_animal_is_nothing_to_tell_apart(trial):
    rows = [r for r in training_rows(trial.photos, trial.crops, trial.cohort) if r["individual_id"] == "Ada"]
    with pytest.raises(NothingToMeasure, match="1 animals"):
        train_embedding(trial.env.workspace, rows, TINY, STORE, quiet=True)
