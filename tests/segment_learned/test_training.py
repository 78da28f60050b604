"""What the training sees, and that it learns and repeats itself."""

import math

import numpy as np
import pytest
import torch

from resight.segment.learned.network import MAP_STRIDE, VIEWS, HeadNet
from resight.segment.learned.weights import from_tensors, to_tensors
from resight.train.segmenter.augment import Views, _affine, _example, example
from resight.train.segmenter.folds import Folds, folds_by_individual
from resight.train.segmenter.loop import Batch, Plan, loss_terms, train_net
from resight.train.segmenter.samples import Sample, close_of, frame_of, rendered_samples, upright_from_outlines

ELLIPSE = np.array([(150 + 60 * math.cos(a), 100 + 30 * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 40)])


def sample(view="left", upright_rad=0.0, name="a", individual="x", source="zakynthos"):
    rgb = np.zeros((471, 313, 3), np.uint8)
    rgb[70:130, 90:210, 0] = 255
    head = np.array([(90.0, 70.0), (210.0, 70.0), (210.0, 130.0), (90.0, 130.0)])
    return Sample(
        name,
        individual,
        source,
        rgb,
        head,
        (80.0, 60.0, 200.0, 300.0),
        VIEWS.index(view),
        upright_rad,
        "good",
        (313, 471),
    )


@pytest.mark.parametrize(
    ("view", "body", "expected_deg"),
    [
        ("left", (160, 60, 300, 90), 0),  # body on the right, snout points left: upright as it is
        ("right", (-160, 60, 300, 90), 0),
        ("left", (-160, 60, 300, 90), 180),  # a left view whose snout points right stands on its head
        ("top", (160, 60, 300, 90), -90),  # seen from above, snout to the left: a quarter turn clockwise brings it up
    ],
)
def test_upright_is_read_off_the_outline_and_the_body(view, body, expected_deg):
    found = math.degrees(upright_from_outlines(ELLIPSE, body, view))
    assert abs((found - expected_deg + 180) % 360 - 180) < 3


def test_upright_is_not_known_for_round_heads_other_views_and_contradictions():
    circle = (ELLIPSE - (150, 100)) * (0.5, 1) + (150, 100)
    assert math.isnan(upright_from_outlines(circle, (160, 60, 300, 90), "left"))
    assert math.isnan(upright_from_outlines(ELLIPSE, (160, 60, 300, 90), "front"))
    assert math.isnan(upright_from_outlines(ELLIPSE, (160, 60, 150, 90), "left"))
    assert math.isnan(upright_from_outlines(ELLIPSE, (0, 110, 300, 300), "left"))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn_deg", [0, 90, 200])
def test_pixels_and_outline_move_together_and_mirroring_swaps_sides(mirrored, turn_deg):
    rng = np.random.default_rng(1)
    turn = math.radians(turn_deg)
    placed = _affine(np.array([150.0, 100.0]), 0.7, turn, mirrored, 160)
    made = _example(sample("left", 0.2), placed, 160, turn, rng)
    red = made.rgb[..., 0].astype(int) - made.rgb[..., 1]
    cells = red.reshape(160 // MAP_STRIDE, MAP_STRIDE, -1, MAP_STRIDE).mean((1, 3))
    assert np.corrcoef(cells.ravel(), made.head.ravel())[0, 1] > 0.9
    assert VIEWS[made.view] == ("right" if mirrored else "left")
    expected = (-0.2 if mirrored else 0.2) - turn
    assert math.cos(made.upright_rad - expected) == pytest.approx(1)


def test_places_on_the_head_run_from_neck_to_snout_and_from_throat_to_crown():
    placed = _affine(np.array([150.0, 100.0]), 1.0, 0.0, False, 160)
    made = _example(sample("left", 0.0), placed, 160, 0.0, np.random.default_rng(0))
    snoutward, crownward = made.along
    assert snoutward[20, 7] > 0.8 and snoutward[20, 32] < -0.7  # a left view: the snout is on the left
    assert crownward[14, 20] > 0.6 and crownward[25, 20] < -0.6
    assert np.isnan(snoutward[0, 0])


def test_examples_repeat_with_the_seed():
    views = Views(frame_of(sample()), close_of(sample()))
    for seed in range(8):
        one, two = (example(views, 96, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(one.rgb, two.rgb) and np.array_equal(one.head, two.head)
        assert one.rgb.shape == (96, 96, 3) and one.head.shape == (24, 24)


def test_no_animal_is_in_training_and_test():
    samples = [sample(name=f"{i}", individual=f"t{i % 7}") for i in range(40)]
    samples += [sample(name=f"b{i}", individual=f"b{i % 4}", source="bonaire") for i in range(8)]
    folds = Folds(samples, 3)
    for one in samples:
        tested = [fold for fold in range(3) if folds.tests(one, fold)]
        same = [
            [f for f in range(3) if folds.tests(other, f)]
            for other in samples
            if other.individual_id == one.individual_id
        ]
        assert all(other == tested for other in same)
        assert len(tested) == (2 if one.source == "bonaire" else 1)
        assert one.source != "bonaire" or 0 in tested


def test_folds_are_of_about_the_same_size():
    samples = [sample(individual=name) for name, n in {"a": 6, "b": 3, "c": 3, "d": 1}.items() for _ in range(n)]
    assert folds_by_individual(samples, 2) == {"a": 0, "b": 1, "c": 1, "d": 0}


def test_losses_of_a_case_worked_out_by_hand():
    maps = torch.zeros(1, 4, 2, 2)
    maps[0, 2] = 0.5
    along = torch.full((1, 2, 2, 2), math.nan)
    along[0, 0, 0, 0] = 1.0
    batch = Batch(
        torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 2), torch.full((1, 2, 2), math.nan), along,
        torch.tensor([-1]), torch.tensor([[1.0, 0.0]]),
    )  # fmt: skip
    terms = loss_terms(maps, torch.zeros(1, 6), torch.tensor([[0.0, 2.0]]), batch)
    assert terms["head"].item() == pytest.approx(math.log(2))  # no head: cross entropy of even odds, no Dice
    assert terms["body"].item() == 0  # nobody drew one
    assert terms["along"].item() == pytest.approx(0.5)
    assert terms["view"].item() == 0  # the example does not say
    assert terms["upright"].item() == pytest.approx(1)  # a quarter turn off


def test_training_repeats_itself_and_learns():
    views = [Views(frame_of(sample(name=str(i))), close_of(sample(name=str(i)))) for i in range(3)]
    losses = []
    plan = Plan(64, 6, 50, learning_rate=3e-3, rendered_share=0.0)
    torch.set_num_threads(1)
    nets = [train_net(views, [], plan, 5, report=lambda step, terms: losses.append(terms["head"])) for _ in range(2)]
    for one, two in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True):
        assert torch.equal(one, two)
    assert losses[0] == losses[1] < 1.2


def test_weights_come_back_and_are_small_enough_to_bundle():
    net = HeadNet().eval()
    state = to_tensors(net)
    assert sum(t.numel() * t.element_size() for t in state.values()) < 8e6
    rgb = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        for one, two in zip(net(rgb), from_tensors(state)(rgb), strict=True):
            assert torch.allclose(one, two, atol=0.02)
    assert net(rgb)[0].shape == (1, 4, 16, 24)


def test_rendered_heads_have_view_outline_and_upright():
    samples = rendered_samples(4, seed=3, size_px=(160, 120))
    assert samples and {VIEWS[s.view] for s in samples} <= {"left", "right", "top", "front"}
    for one in samples:
        from_outline = upright_from_outlines(one.head_xy_px, one.body_xywh_px, VIEWS[one.view])
        if not math.isnan(from_outline):
            assert math.cos(from_outline - one.upright_rad) > 0.7
