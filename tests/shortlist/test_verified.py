"""Votes that hold together, on points that were made up."""

import numpy as np
import pytest

from resight.extract.base import Features
from resight.shortlist.verified import verified_votes

RNG = np.random.default_rng(0)


def crop(xy, descriptors, angle=0.0, scale=2.0):
    n = len(xy)
    full = np.full(n, 1, np.float32)
    return Features(
        np.asarray(xy, np.float32), np.asarray(descriptors, np.float16), full * scale, full * angle, full, (400, 400)
    )


def unit(n, d=32):
    x = RNG.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


XY, DESCRIPTORS = RNG.uniform(50, 350, (12, 2)), unit(12)
BACKGROUND = np.full(12, 0.9, np.float32)


def test_the_same_points_give_all_their_votes():
    # twelve descriptors at distance 0 (but for half precision) and a background of .9; all others are farther than that
    moved = crop(XY * 0.9 + 20, DESCRIPTORS)
    assert verified_votes(crop(XY, DESCRIPTORS), moved, BACKGROUND, 512, 4).votes == pytest.approx(12 * 0.9, rel=0.01)


@pytest.mark.parametrize(
    "wrong", [{"angle": 1.0}, {"angle": -3.0}, {"scale": 8.0}], ids=["turned", "upside down", "larger"]
)
def test_votes_that_turn_or_grow_too_much_do_not_count(wrong):
    assert verified_votes(crop(XY, DESCRIPTORS), crop(XY, DESCRIPTORS, **wrong), BACKGROUND, 512, 4).votes == 0
    right = {"angle": 0.5, "scale": 4.0}
    assert verified_votes(crop(XY, DESCRIPTORS), crop(XY, DESCRIPTORS, **right), BACKGROUND, 512, 4).votes > 10


def test_votes_all_over_the_place_do_not_count():
    scattered = XY.copy()
    scattered[6:] = RNG.uniform(0, 400, (6, 2))
    got = verified_votes(crop(XY, DESCRIPTORS), crop(scattered, DESCRIPTORS), BACKGROUND, 512, 4).votes
    assert 6 * 0.9 * 0.98 < got < 8 * 0.9


def test_three_votes_prove_nothing_and_only_the_strongest_descriptors_take_part():
    assert (
        verified_votes(crop(XY[:3], DESCRIPTORS[:3]), crop(XY[:3], DESCRIPTORS[:3]), BACKGROUND[:3], 512, 4).votes == 0
    )
    assert verified_votes(crop(XY, DESCRIPTORS), crop(XY, DESCRIPTORS), BACKGROUND, 5, 4).votes == pytest.approx(
        5 * 0.9, rel=0.01
    )
    assert verified_votes(crop(XY[:0], DESCRIPTORS[:0]), crop(XY, DESCRIPTORS), BACKGROUND[:0], 512, 4).votes == 0


def test_a_descriptor_votes_for_no_more_than_its_nearest():
    """Every point is in the gallery crop three times at about the same place, a little farther from its descriptor each time."""
    steps = np.array([0.0, 0.1, 0.2])
    near = np.concatenate([DESCRIPTORS + step * unit(12) for step in steps])
    query, gallery = crop(XY, DESCRIPTORS), crop(np.tile(XY, (3, 1)), near)
    votes = 0.9 - np.linalg.norm(
        query.descriptors.astype(float) - gallery.descriptors.astype(float).reshape(3, 12, 32), axis=2
    )
    for neighbours in (1, 2, 3):
        expected = votes[:neighbours].sum()
        assert verified_votes(query, gallery, BACKGROUND, 512, neighbours).votes == pytest.approx(expected, rel=1e-5)
