"""What is true about two views."""

import math
from dataclasses import replace

import numpy as np
import pytest

from resight.demo.plan import draw_pose
from resight.demo.render import correspondences
from resight.extract.base import Features
from resight.status import Viewpoint
from resight.train.matcher.draw import Mix, Sampler
from resight.train.matcher.links import Found, Link, find_links, nearest
from resight.train.matcher.loss import IGNORED, UNMATCHED
from resight.train.matcher.truth import Placed, nothing, partners
from resight.train.matcher.views import place_on_skin
from resight.train.matcher.warp import apply, draw_warp, place_keypoints
from resight.train.water import cover, under_other_water


def placed(xy, sigma=2.0, angle=0.0, known=True, px_per_unit=1.0):
    n = len(xy)
    place = np.column_stack([np.array(xy, np.float32), np.zeros(n, np.float32)])
    columns = [np.broadcast_to(np.asarray(v, np.float32), n).copy() for v in (px_per_unit, sigma, angle)]
    return Placed(place, *columns, np.broadcast_to(known, n).copy())


def test_partners_of_a_case_worked_out_by_hand():
    # tolerance with sigma 2: 3 + 0.6 = 3.6 px; none within 7.2 px is alone; between the two nobody knows
    a = placed([(0, 0), (50, 0), (100, 0), (150, 0)])
    b = placed([(1, 0), (55, 0), (130, 0), (2, 0)])
    of_a, of_b = partners(a, b)
    assert of_a.tolist() == [0, IGNORED, UNMATCHED, UNMATCHED]
    assert of_b.tolist() == [0, IGNORED, UNMATCHED, IGNORED]  # the last one is the second choice of (0, 0)


def test_size_and_direction_tell_keypoints_at_one_place_apart():
    a = placed([(0, 0), (0, 0), (0, 0)], sigma=[2, 2, 8], angle=[0, 2.0, 0])
    b = placed([(0, 0), (0, 0)], sigma=[2, 8], angle=[2 * math.pi - 0.1, 0])
    assert partners(a, b)[0].tolist() == [0, IGNORED, 1]
    assert partners(a, b)[1].tolist() == [0, 2]


def test_distances_are_in_pixels_of_the_views():
    near = [placed([(0.0, 0.0)], px_per_unit=p) for p in (1.0, 10.0)]
    there = [placed([(2.0, 0.0)], px_per_unit=p) for p in (1.0, 10.0)]
    assert partners(near[0], there[0])[0].tolist() == [0]
    assert partners(near[1], there[1])[0].tolist() == [UNMATCHED]


def test_what_nobody_knows_is_ignored_and_what_lies_nowhere_is_alone():
    a, b = placed([(0, 0), (50, 0)], known=[True, False]), placed([(0, 0), (50, 0)])
    a.place[0] = np.nan
    assert partners(a, b)[0].tolist() == [UNMATCHED, IGNORED]
    assert partners(a, b, sure_of_none=False)[0].tolist() == [IGNORED, IGNORED]
    assert [len(t) for t in partners(placed([]), b)] == [0, 2]
    assert nothing(a, b)[0].tolist() == [UNMATCHED, UNMATCHED]


@pytest.mark.parametrize("seed", range(5))
def test_pixels_move_as_the_map_says(paint, seed):
    rgb = paint(seed)
    warp = draw_warp(np.random.default_rng(seed), (rgb.shape[1], rgb.shape[0]))
    view, mask = apply(warp, rgb, np.ones(rgb.shape[:2], bool))
    inner = np.argwhere(mask)[::97, ::-1]
    back = warp.to_picture(inner.astype(float))
    low, high = np.array([3, 3]), np.array([rgb.shape[1], rgb.shape[0]]) - 4
    fine = ((back > low) & (back < high)).all(1)
    assert fine.sum() > 50
    column, row = np.round(back[fine]).astype(int).T
    seen = view[inner[fine][:, 1], inner[fine][:, 0]].astype(float)
    assert np.median(np.abs(seen - rgb[row, column])) < 6
    assert np.corrcoef(seen.ravel(), rgb[row, column].ravel())[0, 1] > 0.95


def test_keypoints_are_led_back_with_their_size_and_direction():
    warp = draw_warp(np.random.default_rng(0), (313, 241), plain=True)
    xy = np.array([[10.0, 20.0], [200.0, 100.0]])
    back = place_keypoints(warp, xy, np.array([2.0, 3.0]), np.array([0.5, -2.0]), np.array([False, True]))
    assert np.allclose(back.place[0], [10, 20, 0], atol=1e-3) and np.isnan(back.place[1, :2]).all()
    assert back.px_per_unit[0] == pytest.approx(1, abs=1e-3) and back.angle_rad[0] == pytest.approx(0.5, abs=1e-3)


def test_views_of_one_picture_have_partners_whose_descriptors_are_alike(make_view):
    hits = []
    for number in (1, 2, 3):
        a, b = make_view(7, 0), make_view(7, number)
        of_a, of_b = partners(a.placed, b.placed)
        pairs = np.flatnonzero(of_a >= 0)
        assert (of_b[of_a[pairs]] == pairs).all()
        similarity = a.descriptors.astype(np.float32) @ b.descriptors.astype(np.float32).T
        hits += (similarity[pairs].argmax(1) == of_a[pairs]).tolist()
    assert len(hits) > 40 and np.mean(hits) > 0.7


def test_rendered_keypoints_lie_where_the_renderer_says():
    rng = np.random.default_rng(3)
    first, second = (draw_pose(rng, 11, Viewpoint.LEFT, (320, 260), (0.6, 0.8), 0.0) for _ in range(2))
    xy_a, xy_b = correspondences(first, second, 25)
    assert len(xy_a) > 20

    def features(xy):
        n = len(xy)
        return Features(xy, np.zeros((n, 128)), np.full(n, 2, np.float32), np.zeros(n, np.float32), np.zeros(n), (320, 260))  # fmt: skip

    a, b = place_on_skin(first, features(xy_a)), place_on_skin(second, features(xy_b))
    gap = np.linalg.norm(a.place - b.place, axis=1) * b.px_per_unit
    assert np.nanmax(gap) < 0.5 and np.isfinite(gap).mean() > 0.9
    beside = place_on_skin(first, features(np.array([[1.0, 1.0]])))
    assert np.isnan(beside.place).all()


def test_water_keeps_the_size_and_repeats_itself_and_covers_say_what_they_cover(paint):
    rgb = paint(1)
    for seed in range(12):
        one, two = (under_other_water(rgb, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(one, two) and one.shape == rgb.shape and one.dtype == np.uint8
        assert not np.array_equal(one, rgb)
        shown, covered = cover(rgb, np.random.default_rng(seed))
        assert np.array_equal(shown[~covered], rgb[~covered]) and covered.any()


def test_links_lead_the_second_picture_into_the_first(bank):
    """Views 0 and 1 show one picture; its two copies under one animal's name are told as two photos of it."""
    match = nearest(bank, 96)
    link = Link(0, 1, np.array([[1.0, 0, 5], [0, 1, -3], [0, 0, 1]]), np.array([[100.0, 100.0]]))
    there = placed([(105, 97), (300, 200)], sigma=2)
    back = link.into_first(there)
    assert np.allclose(back.place[0, :2], [100, 100], atol=1e-4) and back.known.tolist() == [True, False]
    index_a, index_b = match(0, 1)
    assert len(index_a) == len(index_b) > 10
    found = find_links(bank, range(len(bank)), match, 0).links
    spaces = bank.tags["space"]
    assert found and all(spaces[one.a] == spaces[one.b] for one in found)  # different pictures have nothing in common


def test_photos_of_two_encounters_are_compared_first_and_strangers_that_look_alike_are_kept(bank):
    """In each animal's six views, numbers 0 and 3 are the pictures as they are; the encounters are told here."""
    plain = [v for v in range(len(bank)) if v % 3 == 0]
    asked = []

    def match(a, b):
        asked.append((a, b))
        return np.zeros(0, np.int64), np.zeros(0, np.int64)

    animals = bank.tags["animal"]
    find_links(bank, plain, match, 0)
    once = {pair for pair in asked if animals[pair[0]] == animals[pair[1]]}
    assert len(once) == 3, "animals that were met once give pairs of that encounter"

    a, b, c = (v for v in range(9) if v % 3 == 0 or v < 0)
    told = {tag: values.copy() for tag, values in bank.tags.items()}
    told["animal"][:] = "one"
    told["encounter"][:] = ["first"] * 6 + ["second"] * (len(bank) - 6)
    asked.clear()
    find_links(replace(bank, tags=told), [a, b, c], match, 0)
    assert set(asked) == {(a, c), (b, c)}

    alike = np.array([[0, 3]])
    drawn = Sampler(bank, Found([], alike), Mix(0, 0, 0, 0, 1, 0))
    spaces = {frozenset(bank.tags["space"][list(p)].tolist()) for p in ((0, 3),)}
    hits = 0
    for step in range(40):
        rng = np.random.default_rng(step)
        hits += frozenset(bank.tags["space"][list(drawn._impostors("head", rng))].tolist()) in spaces
    assert 12 <= hits <= 35, "about half of the pairs of strangers are look-alikes"
