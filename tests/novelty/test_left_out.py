"""What a shortlist says by listing an animal, by hand."""

import math

import numpy as np
import pytest

from resight.novelty.left_out import Animals, evidence_of_listing, share_kept
from resight.novelty.yardstick import Yardstick

GONE = -math.inf


def test_every_animal_counts_the_same_and_ten_imagined_ones_count_too():
    again = Yardstick((("e1", "a", 1, 2.0), ("e1", "a", 2, 2.0), ("e2", "a", 1, GONE), ("e3", "b", 1, GONE), ("e3", "b", 2, 0.5)))  # fmt: skip
    # of animal a one of two encounters; b is listed once both photos are asked: (.5 + 1 + 9) / (2 + 10)
    assert share_kept({1: again, 31: Yardstick()}) == pytest.approx(10.5 / 12)
    assert share_kept({}) == 0.9


def test_probabilities_of_all_animals_stay_what_they_were_together():
    listed, left_out = evidence_of_listing(20, 60, 0.9)
    assert (listed, left_out) == pytest.approx((0.9 * 80 / 20, 0.1 * 80 / 60))
    assert 20 * listed + 60 * left_out == pytest.approx(80)


@pytest.mark.parametrize("counts", [(20, 0), (0, 20), (0, 0)])
def test_without_a_shortlist_nothing_changes(counts):
    assert evidence_of_listing(*counts, 0.5) == (1.0, 1.0)


def test_being_left_out_never_speaks_for_an_animal():
    listed, left_out = evidence_of_listing(95, 5, 0.9)  # nearly all are listed, which says nothing of the shortlist
    assert (listed, left_out) == pytest.approx((1.0, 1.0))


def test_a_set_of_most_animals_takes_one_bit_for_each():
    names = [f"animal {k:04d}" for k in range(3001)]
    is_in = np.random.default_rng(0).random(3001) < 0.9
    animals, expected = Animals.of(names, is_in), {name for name, inside in zip(names, is_in, strict=True) if inside}
    assert len(animals.bits) == 376
    assert (animals == expected, set(animals), len(animals)) == (True, expected, len(expected))
    assert [name in animals for name in (*names, "animal 3001", "a", None)] == [*is_in.tolist(), False, False, False]
    assert animals - {names[0], "nobody"} == expected - {names[0]}
