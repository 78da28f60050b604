"""What the training sees, and that it learns and repeats itself."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from finding_measures import Folds, folds_by_individual

from resight.errors import WeightsError
from resight.segment.learned.network import MAP_STRIDE, VIEWS, HeadNet
from resight.segment.learned.weights import from_tensors, to_tensors
from resight.train.loop import WARM_UP, rate, train
from resight.train.segmenter.animals import with_animal
from resight.train.segmenter.augment import Views, _affine, _example, example
from resight.train.segmenter.learner import ExampleBatch, HeadLearner, Plan, loss_terms
from resight.train.segmenter.renders import deck_samples, far_samples, rendered_samples
from resight.train.segmenter.samples import OutlinedPhoto, close_of, frame_of, upright_from_outlines
from resight.train.segmenter.scenes import backgrounds, beside

ELLIPSE = np.array([(150 + 60 * math.cos(a), 100 + 30 * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 40)])


def sample(view="left", upright_rad=0.0, name="a", individual="x", source="zakynthos"):
    rgb = np.zeros((471, 313, 3), np.uint8)
    rgb[70:130, 90:210, 0] = 255
    head = np.array([(90.0, 70.0), (210.0, 70.0), (210.0, 130.0), (90.0, 130.0)])
    return OutlinedPhoto(
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
    made = _example(sample("left", 0.2), placed, 160, rng)
    red = made.rgb[..., 0].astype(int) - made.rgb[..., 1]
    cells = red.reshape(160 // MAP_STRIDE, MAP_STRIDE, -1, MAP_STRIDE).mean((1, 3))
    assert np.corrcoef(cells.ravel(), made.head.ravel())[0, 1] > 0.9
    assert VIEWS[made.view] == ("right" if mirrored else "left")
    expected = (-0.2 if mirrored else 0.2) - turn
    assert math.cos(made.upright_rad - expected) == pytest.approx(1)


def test_places_on_the_head_run_from_neck_to_snout_and_from_throat_to_crown():
    placed = _affine(np.array([150.0, 100.0]), 1.0, 0.0, False, 160)
    made = _example(sample("left", 0.0), placed, 160, np.random.default_rng(0))
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
    batch = ExampleBatch(
        torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 2), torch.full((1, 2, 2), math.nan), along,
        torch.tensor([-1]), torch.tensor([[1.0, 0.0]]),
    )  # fmt: skip
    terms = loss_terms(maps, torch.zeros(1, 6), torch.tensor([[0.0, 2.0]]), batch)
    assert terms["head"].item() == pytest.approx(math.log(2))  # no head: cross entropy of even odds, no Dice
    assert terms["body"].item() == 0  # nobody drew one
    assert terms["along"].item() == pytest.approx(0.5)
    assert terms["view"].item() == 0  # the example does not say
    assert terms["upright"].item() == pytest.approx(1)  # a quarter turn off


def pictures():
    return [Views(frame_of(sample(name=str(i))), close_of(sample(name=str(i)))) for i in range(3)]


def same(one, two):
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_training_repeats_itself_and_learns():
    torch.set_num_threads(1)
    plan = Plan(64, 6, 50, learning_rate=3e-3, rendered_share=0.0)
    one, two = (train(HeadLearner(pictures(), [], plan, 5)) for _ in range(2))
    assert same(one.result, two.result) and one.losses == two.losses
    assert one.curve[0]["head"] == two.curve[0]["head"] < 1.2


@pytest.mark.parametrize(
    ("able", "products"), [({"avx2": True}, torch.float32), ({"avx512_bf16": True}, torch.bfloat16)]
)
def test_products_are_in_bfloat16_only_where_the_processor_has_instructions_for_it(monkeypatch, able, products):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    learner, seen = HeadLearner(pictures(), [], Plan(64, 2, 8, rendered_share=0.0), 5), []
    learner.net.maps.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    assert torch.isfinite(learner.losses(0, 0.0)["loss"]) and seen == [products]


class Killed(Exception):
    pass


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tmp_path):
    torch.set_num_threads(1)
    plan, file = Plan(64, 2, 8, rendered_share=0.3), tmp_path / "state"

    def learner(seed=5):
        return HeadLearner(pictures(), pictures()[:1], plan, seed)

    def kill(training):
        if training.step == 5:
            raise Killed

    straight = train(learner())
    with pytest.raises(Killed):
        train(learner(), file, save_every_s=0, after_step=kill)
    torch.rand(7)  # what else drew random numbers does not count
    resumed = train(learner(), file)
    assert resumed.step == straight.step == 8 and resumed.losses == straight.losses
    assert same(straight.result, resumed.result)
    again = train(learner(), file)  # it is done: nothing is left to do
    assert again.step == 8 and same(again.result, resumed.result)
    with pytest.raises(WeightsError, match="another seed"):
        train(learner(seed=6), file)


def test_a_time_limit_ends_the_training_at_its_slowest_rate():
    torch.set_num_threads(1)
    training = train(HeadLearner(pictures(), [], Plan(64, 2, 100_000, rendered_share=0.0), 5), limit_s=1.5)
    assert 0 < training.step < 1000 and 1.5 <= training.seconds < 20
    assert training.learner.optimizer.param_groups[0]["lr"] < 0.5 * 2e-3
    assert rate(1.0) == pytest.approx(0.01) and rate(WARM_UP) == pytest.approx(1.0)


def test_a_training_goes_on_from_given_weights():
    start = HeadNet().eval().requires_grad_(False)
    plan = Plan(64, 2, 1, learning_rate=1e-9, rendered_share=0.0)
    training = train(HeadLearner(pictures()[:1], [], plan, 5, start=start))
    assert torch.allclose(training.result.maps.weight, start.maps.weight, atol=1e-6)


def test_weights_come_back_and_are_small_enough_to_bundle():
    net = HeadNet().eval()
    state = to_tensors(net)
    assert sum(t.numel() * t.element_size() for t in state.values()) < 8e6
    rgb = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        for one, two in zip(net(rgb), from_tensors(state)(rgb), strict=True):
            assert torch.allclose(one, two, atol=0.02)
    assert net(rgb)[0].shape == (1, 4, 16, 24)


@pytest.mark.parametrize("make", [rendered_samples, far_samples, deck_samples])
def test_rendered_heads_have_view_outline_and_upright(make):
    samples = make(4, seed=3, size_px=(160, 120))
    assert samples and {VIEWS[s.view] for s in samples} <= {"left", "right", "top", "front"}
    for one in samples:
        from_outline = upright_from_outlines(one.head_xy_px, one.body_xywh_px, VIEWS[one.view])
        if not math.isnan(from_outline):
            assert math.cos(from_outline - one.upright_rad) > 0.7
        if one.animal is not None:  # the animal's cut holds its head
            inside = np.zeros(one.animal.shape, np.uint8)
            cv2.fillPoly(inside, [one.head_xy_px.astype(np.int32)], 1)
            assert (one.animal[inside > 0] > 127).mean() > 0.9


def test_another_background_leaves_the_animal_as_it_is():
    one = sample()
    animal = np.zeros(one.rgb.shape[:2], np.uint8)
    animal[70:130, 90:210] = 255
    placed = _affine(np.array([150.0, 100.0]), 1.0, 0.0, False, 160)
    behind = np.full((50, 50, 3), (0, 0, 255), np.uint8)
    plain = _example(one, placed, 160, Still())
    swapped = _example(replace(one, animal=animal), placed, 160, Still(), behind)
    assert np.array_equal(plain.head, swapped.head)
    assert np.abs(swapped.rgb[80, 80].astype(int) - plain.rgb[80, 80]).max() <= 2
    assert swapped.rgb[5, 5, 2] > 200 > 50 > plain.rgb[5, 5, 2]


class Still(np.random.Generator):
    """Draws nothing that changes colours: every chance is the largest, every spread nought."""

    def __init__(self):
        super().__init__(np.random.PCG64(1))

    def random(self, *args, **kwargs):
        return 0.999

    def normal(self, loc=0.0, scale=1.0, size=None):
        return np.zeros(size) if size else 0.0


def test_an_animal_is_cut_out_of_the_water_with_its_head():
    rng = np.random.default_rng(2)
    rgb = (np.array([20, 90, 120]) + rng.normal(0, 4, (300, 400, 3))).clip(0, 255).astype(np.uint8)
    cv2.ellipse(rgb, (200, 150), (110, 60), 0, 0, 360, (150, 100, 60), -1)
    truth = cv2.ellipse(np.zeros(rgb.shape[:2], np.uint8), (200, 150), (110, 60), 0, 0, 360, 1, -1) > 0
    head = np.array([(280.0, 130.0), (310.0, 130.0), (310.0, 170.0), (280.0, 170.0)])
    one = replace(sample(), rgb=rgb, head_xy_px=head, body_xywh_px=(90.0, 90.0, 221.0, 121.0), size_wh_px=(400, 300))
    cut = with_animal(one).animal > 127
    assert (cut & truth).sum() / (cut | truth).sum() > 0.9
    assert with_animal(replace(one, body_xywh_px=None)).animal is None
    assert with_animal(replace(one, body_xywh_px=(0.0, 0.0, 400.0, 300.0))).animal is None  # nothing beside it


def test_backgrounds_are_drawn_and_taken_from_beside_the_animal():
    one = sample()
    strip = beside(one)  # the body's box takes the upper two thirds; below it lies water
    assert strip is not None and strip.shape[2] == 3 and strip.max() == 0
    assert beside(replace(one, body_xywh_px=(0.0, 0.0, 313.0, 471.0))) is None
    scenes = backgrounds(4, [one], seed=1)
    assert len(scenes) == 7 and all(s.dtype == np.uint8 for s in scenes)
    assert np.array_equal(backgrounds(4, [one], seed=1)[0], scenes[0])
