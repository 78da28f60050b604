"""Batches, loss and loop."""

import csv
import dataclasses
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from resight.errors import WeightsError
from resight.train.loop import has_bf16, train
from resight.train.matcher.bank import read_bank
from resight.train.matcher.curves import write_curves
from resight.train.matcher.draw import Mix, Sampler
from resight.train.matcher.learner import MatcherLearner, Plan, measure
from resight.train.matcher.loss import IGNORED, UNMATCHED, Targets, counts, found_matches, layer_loss
from resight.train.matcher.network import Assignment, Shape, start

ONLY_HEADS = Mix(1.0, 0, 0, 0, 0.5, 0)
PLAN = Plan(steps=6, batch=3, keypoints=(24, 32), warm_up=2, look_every=3, look_pairs=3)


def sampler(bank, **shares):
    return Sampler(bank, None, Mix(**{f.name: 0.0 for f in dataclasses.fields(Mix)} | shares))


def test_loss_of_a_case_worked_out_by_hand():
    log_p = torch.log(torch.tensor([[[0.5, 0.1], [0.2, 0.25], [0.1, 0.1]]]))
    z_a, z_b = torch.tensor([[0.0, 0.0, math.log(3)]]), torch.tensor([[0.0, 0.0]])
    truth = Targets(torch.tensor([[0, 1, UNMATCHED]]), torch.tensor([[0, 1]]))
    expected = 0.5 * (math.log(2) + math.log(4)) / 2 + 0.25 * math.log(4)  # sigmoid(-log 3) = 1/4
    assert layer_loss(Assignment(log_p, z_a, z_b), truth).item() == pytest.approx(expected, rel=1e-5)
    ignored = Targets(torch.full((1, 3), IGNORED), torch.full((1, 2), IGNORED))
    assert layer_loss(Assignment(log_p, z_a, z_b), ignored).item() == 0
    said = counts(Assignment(log_p, z_a, z_b), truth, above=0.1)
    assert said == {"right": 2.0, "told": 2.0, "true": 2.0}
    assert found_matches(Assignment(log_p, z_a, z_b))[0].tolist() == [[0, 1, -1]]


def test_counts_leave_out_what_nobody_knows_and_weak_matches():
    log_p = torch.log(torch.tensor([[[0.5, 0.01], [0.01, 0.3]]]))
    said = Assignment(log_p, torch.zeros(1, 2), torch.zeros(1, 2))
    ignored = Targets(torch.tensor([[0, IGNORED]]), torch.tensor([[0, UNMATCHED]]))
    assert counts(said, ignored) == {"right": 1.0, "told": 1.0, "true": 1.0}
    assert counts(said, ignored, above=0.6)["told"] == 0


def test_a_batch_follows_from_seed_and_step(bank):
    one, two, other = (Sampler(bank, None, ONLY_HEADS).batch(4, step, 5, (24, 32)) for step in (9, 9, 10))
    assert torch.equal(one.a.descriptors, two.a.descriptors) and torch.equal(one.truth.partner_b, two.truth.partner_b)
    assert one.a.descriptors.shape != other.a.descriptors.shape or not torch.equal(one.a.descriptors, other.a.descriptors)  # fmt: skip


def test_pairs_are_what_they_are_said_to_be(bank):
    same, impostors = sampler(bank, head=1.0), sampler(bank, other_head=1.0)
    assert (same.batch(0, 0, 6, (64,)).truth.partner_a >= 0).any(1).all()
    truth = impostors.batch(0, 0, 6, (64,)).truth
    assert set(truth.partner_a.unique().tolist()) <= {UNMATCHED, IGNORED} and (truth.partner_a == UNMATCHED).any()
    rng = np.random.default_rng(0)
    for _ in range(40):
        a, b = impostors._impostors("head", rng)
        assert bank.tags["animal"][a] != bank.tags["animal"][b]
    assert Sampler(bank, None, Mix()).shares[0] == ["head", "other_head"]  # what is not there is not drawn
    with pytest.raises(ValueError, match="no pairs"):
        _ = sampler(bank, rendered=1.0).shares


def test_a_filled_bank_is_not_computed_again(bank, tmp_path, make_view):
    from resight.train.matcher.bank import fill

    fill(tmp_path, [("heads", 2, [make_view(1, 0), make_view(1, 1)])], 48)

    def explode():
        raise AssertionError("computed again")
        yield

    fill(tmp_path, [("heads", 2, explode())], 48)
    kept = read_bank(tmp_path)
    assert len(kept) == 2 and kept.descriptors.shape[1] == 48 and kept.tags["space"].tolist() == ["s1", "s1"]


class Killed(Exception):
    pass


def kill_at(step):
    def after_step(training):
        if training.step == step:
            raise Killed

    return after_step


@pytest.mark.parametrize("bf16", [False, True])
def test_a_killed_training_goes_on_bitwise_as_if_nothing_had_happened(bank, tmp_path, bf16):
    torch.set_num_threads(1)
    plan, pairs = dataclasses.replace(PLAN, bf16=bf16), Sampler(bank, None, ONLY_HEADS)
    learner = lambda seed, plan=plan: MatcherLearner(start(Shape(2), seed), pairs, pairs, plan, 1, "cpu")  # noqa: E731
    whole = train(learner(1), tmp_path / "whole")
    with pytest.raises(Killed):
        train(learner(1), tmp_path / "part", after_step=kill_at(4))  # kept after the look at step 3
    steps = []
    again = train(learner(1), tmp_path / "part", after_step=lambda training: steps.append(training.step))
    assert steps == [4, 5, 6] and again.step == whole.step == 6
    assert again.losses == whole.losses and len(again.curve) == 2
    assert [row | {"seconds": 0} for row in again.curve] == [row | {"seconds": 0} for row in whole.curve]
    one, two = load_file(tmp_path / "whole"), load_file(tmp_path / "part")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one if not key.startswith("rng"))
    with pytest.raises(WeightsError, match="another plan;"):
        train(learner(1, dataclasses.replace(plan, batch=4)), tmp_path / "part")


def test_it_learns(bank):
    torch.set_num_threads(1)
    plan = Plan(
        steps=40, batch=4, keypoints=(48,), learning_rate=2e-3, warm_up=5, look_every=40, look_pairs=8, keep=0.9
    )
    pairs = Sampler(bank, None, ONLY_HEADS)
    learner = MatcherLearner(start(Shape(2), 1), pairs, pairs, plan, 1, "cpu")
    before = measure(learner.net, pairs, plan, 1, "cpu")
    after = train(learner).curve[-1]
    assert after["apart_loss"] < 0.8 * before["apart_loss"]
    assert {"recall_1", "recall_2", "precision_2", "loss", "step", "seconds"} <= set(after)


def test_the_learning_rate_rises_then_falls(bank):
    plan = Plan(steps=1000, warm_up=100, learning_rate=1.0)
    learner = MatcherLearner(start(Shape(1), 1), Sampler(bank, None, ONLY_HEADS), None, plan, 1, "cpu")
    assert learner.learning_rate(0) == 0.01 and learner.learning_rate(99) == 1
    assert learner.learning_rate(1000) == pytest.approx(0.02)


def test_curves_are_drawn_and_written(tmp_path):
    row = {"loss": 2.0, "apart_loss": 2.5, "recall_1": 0.5, "precision_1": 0.8, "recall_2": 0.6, "precision_2": 0.9}
    curve = [{"step": 10.0 * k, "seconds": float(k)} | row for k in (1, 2)]
    write_curves(tmp_path, curve)
    rows = list(csv.DictReader((tmp_path / "curve.csv").open()))
    assert [float(r["step"]) for r in rows] == [10, 20] and float(rows[1]["recall_2"]) == 0.6
    svg = (tmp_path / "curve.svg").read_text()
    assert svg.count("<polyline") == 5 and "recall, layer 2" in svg


def test_bfloat16_only_where_the_processor_has_instructions_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for able in ({"avx2": True}, {"avx512_bf16": False, "amx_bf16": True}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert has_bf16("cpu") == any(able.get(name) for name in ("avx512_bf16", "amx_bf16")) and has_bf16("cuda:0")
