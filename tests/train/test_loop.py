"""The loop and its checkpoint, on a line through points."""

import json
import logging
import signal

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from resight.errors import WeightsError
from resight.train import loop
from resight.train.loop import Learner, rate, train, warm_cosine


class LineLearner(Learner):
    """y = 2 x - 1, seen through dropout; points come from a generator that the checkpoint keeps."""

    keep = 0.9
    look_every = 4

    def __init__(self, seed=0, steps=12):
        torch.manual_seed(seed)
        self.net = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1)).train()
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1.0)
        self.rng = np.random.default_rng(seed)
        self.device, self.steps, self.recipe = "cpu", steps, {"seed": seed, "steps": steps, "sizes": (1, 8)}

    def learning_rate(self, position):
        return 0.05 * rate((position + 0.5) / self.steps)

    def losses(self, step, position):
        x = torch.from_numpy(self.rng.normal(size=(16, 1)).astype(np.float32))
        away = self.net(x) - (2 * x - 1)
        return {"loss": away.square().mean(), "absolute": away.abs().mean()}

    def look(self, training):
        return {"weight": training.result[2].bias.item()}


def same(one, two):
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class Killed(Exception):
    pass


def kill(training):
    if training.step == 6:
        raise Killed


@pytest.mark.parametrize("save_every_s", [0.0, 1e9])
def test_a_killed_training_ends_with_the_numbers_of_an_undisturbed_one(tmp_path, save_every_s):
    whole = train(LineLearner())
    with pytest.raises(Killed):
        train(LineLearner(), tmp_path / "state", save_every_s=save_every_s, after_step=kill)
    torch.rand(5)  # somebody else draws in between
    steps = []
    resumed = train(LineLearner(), tmp_path / "state", after_step=lambda training: steps.append(training.step))
    assert steps[0] == (7 if save_every_s == 0 else 5), "kept after every step, or at the look after step 4"
    assert same(whole.learner.net, resumed.learner.net) and same(whole.mean, resumed.mean)
    assert not same(whole.learner.net, whole.mean) and whole.result is whole.mean
    assert whole.losses == resumed.losses and len(whole.losses["absolute"]) == 12
    assert [r | {"seconds": 0} for r in whole.curve] == [r | {"seconds": 0} for r in resumed.curve]
    assert [r["step"] for r in whole.curve] == [4, 8, 12]
    assert whole.curve[1]["loss"] == pytest.approx(np.mean(whole.losses["loss"][4:8]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_end_and_loses_none(tmp_path, number):
    def stop(training):
        if training.step == 3:
            signal.raise_signal(number)

    handler = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(LineLearner(), tmp_path / "state", after_step=stop)
    assert signal.getsignal(number) is handler
    steps = []
    resumed = train(LineLearner(), tmp_path / "state", after_step=lambda training: steps.append(training.step))
    assert steps[0] == 4 and same(resumed.mean, train(LineLearner()).mean)


def test_a_second_signal_does_not_wait_for_the_step():
    class Stuck(LineLearner):
        def losses(self, step, position):
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
            raise AssertionError("went on")

    with pytest.raises(KeyboardInterrupt):
        train(Stuck())


def test_a_checkpoint_of_another_training_is_refused_and_says_what_differs(tmp_path):
    train(LineLearner(), tmp_path / "state")
    before = (tmp_path / "state").read_bytes()
    with pytest.raises(WeightsError, match=r"another seed and steps; give the same options"):
        train(LineLearner(seed=1, steps=13), tmp_path / "state")
    assert (tmp_path / "state").read_bytes() == before
    assert not [file for file in tmp_path.iterdir() if file.name != "state"], "nothing half written"


@pytest.mark.parametrize("older", ["torch", "safetensors", "newer", "half"])
def test_checkpoints_of_other_versions_are_named_as_such(tmp_path, older):
    file = tmp_path / "state"
    if older == "torch":
        torch.save({"net": {"x": torch.zeros(1)}, "step": 3, "said": "{}"}, file)
    elif older == "safetensors":
        save_file({"net.x": torch.zeros(1)}, file, {"said": json.dumps({"step": 3})})
    elif older == "newer":
        save_file({"net.x": torch.zeros(1)}, file, {"resight.training": json.dumps({"format": 99})})
    else:
        file.write_bytes(b"12")
    with pytest.raises(WeightsError, match=r"another version of Resight.*delete it to train anew"):
        train(LineLearner(), file)


def test_the_checkpoint_is_safetensors_with_the_recipe_in_its_header(tmp_path):
    train(LineLearner(), tmp_path / "state")
    with safe_open(tmp_path / "state", "pt") as file:
        header = json.loads(file.metadata()["resight.training"])
        assert {"net.0.weight", "mean.0.weight", "losses.loss", "rng.torch"} <= set(file.keys())
    assert header["recipe"] == {"seed": 0, "steps": 12, "sizes": [1, 8]} and header["values"]["step"] == 12


def test_progress_says_rate_and_time_left(monkeypatch, caplog):
    assert loop.PROGRESS_EVERY_S <= 5
    monkeypatch.setattr(loop, "PROGRESS_EVERY_S", 0)
    with caplog.at_level(logging.INFO, "resight"):
        train(LineLearner())
    lines = [r.getMessage() for r in caplog.records]
    assert any(line.startswith("train: 5 of 12 steps, ") and line.endswith(" s left") for line in lines)
    assert any(line.startswith("step 8 of 12: loss ") and "weight" in line for line in lines)


def test_a_time_limit_squeezes_the_schedule():
    training = train(LineLearner(steps=10**9), limit_s=0.3)
    assert 0 < training.step < 10**6 and 0.3 <= training.seconds < 5
    assert training.curve[-1]["step"] == training.step, "the last step is looked at"
    assert training.learner.optimizer.param_groups[0]["lr"] < 0.05 * 0.2


def test_the_cosine_by_hand():
    assert warm_cosine(100, 100, 500, 0.02) == 1 and warm_cosine(500, 100, 500, 0.02) == pytest.approx(0.02)
    assert warm_cosine(300, 100, 500, 0.02) == pytest.approx(0.51), "half way between"
    assert rate(0) == 0.02 and rate(0.02) == 0.5 and rate(1) == pytest.approx(0.01)
