"""Exact intervals of shares, by hand and against simulation."""

import numpy as np
import pytest
from scipy.stats import beta

from resight.evaluate.shares import holm, share_interval, worse_than_rest


def clustered(rng, animals, share, spread, per):
    """Values of 1 to 2 per - 1 rows of each animal, whose own shares vary."""
    own = rng.beta(share * (1 - spread) / spread, (1 - share) * (1 - spread) / spread, animals)
    names = np.repeat(np.arange(animals), rng.integers(1, 2 * per, animals))
    return (rng.random(len(names)) < own[names]).astype(float), names


def test_rows_that_are_all_alike_count_as_many_as_the_animals():
    # 8 animals, nobody wrong: the exact upper bound is 1 - .025^(1/8) = .369, and not 0
    low, high = share_interval(np.zeros(24), np.repeat(np.arange(8), 3))
    assert low == 0 and high == pytest.approx(1 - 0.025 ** (1 / 8))
    assert share_interval(np.ones(24), np.repeat(np.arange(8), 3)) == (pytest.approx(0.025 ** (1 / 8)), 1.0)


def test_one_row_of_each_animal_is_the_binomial_interval():
    low, high = share_interval(np.array([1.0] * 15 + [0.0] * 5), np.arange(20))
    assert (low, high) == pytest.approx((beta.ppf(0.025, 15, 6), beta.ppf(0.975, 16, 5)), abs=0.01)


def test_one_animal_says_nothing_about_others():
    assert share_interval(np.array([1.0, 0.0]), ["Ada", "Ada"]) == (None, None)


@pytest.mark.parametrize(
    ("animals", "share", "per"), [(6, 0.92, 3), (12, 0.92, 3), (12, 0.75, 7), (40, 0.92, 3), (40, 0.75, 7)]
)
def test_intervals_cover_the_truth_and_have_a_width(animals, share, per):
    rng, ends = np.random.default_rng(animals * per), []
    for _ in range(400):
        values, names = clustered(rng, animals, share, 0.2, per)
        ends.append(share_interval(values, names))
    low, high = np.array(ends).T
    assert np.mean((low <= share) & (share <= high)) >= 0.93 - 2 * np.sqrt(0.05 * 0.95 / 400)
    assert (high - low).min() > 0.03


def test_holm_by_hand():
    # .01 * 3, then .02 * 2, then .5: and never falling
    assert holm([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])
    assert holm([0.03, 0.03]) == pytest.approx([0.06, 0.06])


def test_a_group_that_is_bad_is_found_and_chance_is_not():
    rng = np.random.default_rng(5)
    named, found = 0, 0
    for _ in range(200):
        values, animals = clustered(rng, 20, 0.8, 0.1, 6)
        groups = [rng.integers(0, 6, len(values)), rng.integers(0, 4, 20)[animals], rng.integers(0, 3, len(values))]
        p = [worse_than_rest(values, animals, of == k) for of in groups for k in np.unique(of)]
        named += min(holm(p)) <= 0.05
        bad = groups[2] == 0
        values[bad] *= rng.random(bad.sum()) < 0.3
        found += worse_than_rest(values, animals, bad) <= 0.05 / len(p)
    assert named <= 0.05 * 200 + 5 and found > 150
