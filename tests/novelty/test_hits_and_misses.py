"""Hits and misses: what a score has meant at other places, and what the gallery adds."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
from comparisons import calibration, of_table, world

from resight.novelty.calibration import COMPARISON_SCHEMA
from resight.novelty.likelihood import fit_mixed, share_missed
from resight.novelty.model import fit
from resight.novelty.yardstick import Yardstick
from resight.score.base import ShippedCalibration

THERE = ShippedCalibration(intercept=-3.0, slope=0.5, crowding=0.0, missed=0.2, worth=4.0)


def test_what_a_score_meant_elsewhere_speaks_until_there_is_enough_here():
    rng = np.random.default_rng(3)
    alone = fit(world(3, 1, rng), signed=True, shipped=THERE)
    assert (alone.method, alone.shipped_share, alone.missed) == ("logistic", 1.0, pytest.approx(0.2))
    # however low, a score says no more than that one in five misses; no more than 3 pairs here and 500 elsewhere can tell
    np.testing.assert_allclose(
        alone.log_likelihood_ratio(np.array([-99.0, 10.0, 99.0])),
        [math.log(0.2), math.log(0.2 + 0.8 * math.exp(2)), math.log(1 + 3 + 500)],
        rtol=1e-6,
    )
    assert fit(world(2, 1, rng), signed=True, shipped=THERE).method == "none"
    few, many = (fit(world(n, 2, np.random.default_rng(5)), True, THERE) for n in (4, 40))
    tight = fit(world(40, 2, np.random.default_rng(5)), True, dataclasses.replace(THERE, spread=(1e-6, 1e-6)))
    assert abs(few.slope - 0.5) < abs(
        many.slope - 0.5
    )  # the gallery's own animals move it, the more of them the further
    assert (tight.intercept, tight.slope) == (pytest.approx(-3.0, abs=1e-3), pytest.approx(0.5, abs=1e-3))


def test_misses_are_counted_among_animals_that_were_met_again_after_months():
    """Of nine animals met again after months six match; another ten, met again within days, all match and say nothing."""
    again = Yardstick(tuple((f"{k}", f"a{k}", 1, 30.0 if k < 6 else -0.5) for k in range(9)))
    soon = Yardstick(tuple((f"d{k}", f"d{k}", 1, 30.0) for k in range(10)))
    shipped = dataclasses.replace(THERE, intercept=-8.0, slope=3.0, saturation=6.0)
    given = dataclasses.replace(world(3, 1, np.random.default_rng(3)), genuine={1: soon, 31: again})
    model = fit(given, signed=True, shipped=shipped)
    assert model.missed == pytest.approx((4 * 0.2 + 3) / (4 + 9), abs=0.01)
    assert model.shipped_share == pytest.approx(4 / 13)
    assert fit(dataclasses.replace(given, genuine={1: soon}), True, shipped).missed == pytest.approx(0.2)


def test_the_mixture_is_found_again():
    """Scores drawn from it: one in four misses; hits are N(3, 1), impostors N(0, 1), so that a hit's log ratio is 3 x - 4.5."""
    rng = np.random.default_rng(6)
    n_same, n_other = 4_000, 40_000
    x = np.concatenate([np.where(rng.random(n_same) < 0.25, rng.normal(0, 1, n_same), rng.normal(3, 1, n_same)), rng.normal(0, 1, n_other)])  # fmt: skip
    genuine = np.arange(len(x)) < n_same
    terms = np.stack([np.ones(len(x)), x], axis=1)
    theta = fit_mixed(terms, genuine, np.ones(len(x)), 0.25, np.array([-1.0, 1.0]), np.array([10.0, 10.0]))
    assert theta == pytest.approx([-4.5, 3.0], abs=0.25)  # log N(x; 3, 1) / N(x; 0, 1) = 3 x - 9 / 2
    assert share_missed([terms[k : k + 1] @ theta for k in range(n_same)], 0.5, 1.0) == pytest.approx(0.25, abs=0.03)


def test_scores_far_above_all_others_do_not_flatten_the_ratio_where_it_decides():
    """Twelve animals met again with 9 to 120, impostors up to 5: 9 is clear evidence, 120 is not thirteen times as much."""
    rng = np.random.default_rng(4)
    again = [9.0, 10.0, 12.0, 20.0, 25.0, 30.0, 35.0, 40.0, 50.0, 60.0, 100.0, 120.0]
    rows = [(f"{k}-again", f"a{k}", f"a{k}", score) for k, score in enumerate(again)]
    rows += [(f"{k}", f"a{k}", f"a{j}", float(rng.uniform(-1, 5))) for k in range(12) for j in range(12) if j != k]
    loose = dataclasses.replace(THERE, spread=(9.0, 9.0))
    straight, saturating = (
        fit(calibration(rows), signed=True, shipped=dataclasses.replace(loose, saturation=s)) for s in (math.inf, 6.0)
    )
    below, at_9, at_120 = saturating.log_likelihood_ratio(np.array([4.0, 9.0, 120.0]))
    assert below < 0 and at_9 > 3 and at_120 - at_9 < 3, "saturated: 120 says little more than 9"
    unlimited = [dataclasses.replace(m, log_ratio_range=(-math.inf, math.inf)) for m in (straight, saturating)]
    gain = [np.diff(m.log_likelihood_ratio(np.array([9.0, 120.0])))[0] for m in unlimited]
    assert gain[0] > 10 * gain[1]
    assert (np.diff(saturating.log_likelihood_ratio(np.linspace(-5, 200, 500))) >= 0).all()


def test_the_number_of_pairs_moves_scores_in_the_fit_too():
    """Impostors whose scores are high only as far as they are the best of many pairs say nothing against a clear match."""
    rng = np.random.default_rng(8)
    rows = [(f"{k}-again", f"a{k}", f"a{k}", float(rng.uniform(5, 7)), 1, True) for k in range(12)]
    rows += [(f"{k}", f"a{k}", f"a{j}", float(rng.uniform(2, 3) + 0.7 * math.log(40)), 40, False) for k in range(12) for j in range(12) if j != k]  # fmt: skip
    table = pa.Table.from_pylist([dict(zip(COMPARISON_SCHEMA.names, r, strict=True)) for r in rows], schema=COMPARISON_SCHEMA)  # fmt: skip
    known, unknown = (
        fit(
            of_table(table),
            signed=True,
            shipped=dataclasses.replace(THERE, crowding=c, saturation=8.0, spread=(9.0, 9.0)),
        )
        for c in (0.7, 0.0)
    )
    alone = np.array([5.0]), np.array([1])
    assert known.log_likelihood_ratio(*alone)[0] > 3 > 1 > unknown.log_likelihood_ratio(*alone)[0]


@pytest.mark.parametrize("wrong", [{"missed": 0.0}, {"missed": 1.0}, {"worth": 0.0}, {"slope": 0.0}, {"crowding": -0.1}, {"spread": (0.3, 0.0)}])  # fmt: skip
def test_a_calibration_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataclasses.replace(THERE, **wrong)
