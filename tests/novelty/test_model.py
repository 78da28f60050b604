"""p-values, thresholds and likelihood ratios against arithmetic on paper and against simulation."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
from comparisons import calibration, of_table, world
from scipy import optimize, stats

from resight.novelty.calibration import COMPARISON_SCHEMA
from resight.novelty.decide import animals_needed
from resight.novelty.likelihood import (
    choose_epsilon,
    evidence_bound,
    fit_gumbel,
    fit_logistic,
    gumbel_tail,
    saturated,
)
from resight.novelty.model import NoveltyModel, fit, ratio_range
from resight.novelty.yardstick import QueryScores, Yardstick


def model_with(maxima, individuals, n_animals=10.0):
    rows = enumerate(zip(individuals, maxima, strict=True))
    return NoveltyModel("evidence_bound", Yardstick(tuple((f"e{k}", i, 1, m) for k, (i, m) in rows)), n_animals)


def best(score, individual="nobody of them", **more):
    """A query of one photo."""
    return QueryScores(individual, {1: score}, **more)


def test_p_value_by_hand():
    # Ada's two maxima share one vote. score .3: Ada 1/2 (.4 but not .2), Ben 1 (.3 counts), Cleo 0: (1 + 1.5) / 4
    model = model_with([0.2, 0.4, 0.3, 0.1], ["Ada", "Ada", "Ben", "Cleo"])
    expected = {0.05: (1 + 3) / 4, 0.1: 4 / 4, 0.3: 2.5 / 4, 0.35: 1.5 / 4, 0.4: 1.5 / 4, 0.5: 1 / 4}
    assert {s: model.p_value(best(s), 10) for s in expected} == pytest.approx(expected)
    assert model.n_individuals == 3
    assert [model.reached(best(s)) for s in (0.05, 0.3, 0.4, 0.5)] == [3, 2, 1, 0]


def test_the_best_candidate_always_counts():
    # Its own encounters have the query among their candidates, with the same score: Cleo counts although .1 is below.
    model = model_with([0.2, 0.4, 0.3, 0.1], ["Ada", "Ada", "Ben", "Cleo"])
    assert model.p_value(best(0.35, "Cleo"), 10) == (1 + 1 + 0.5) / 4
    assert model.p_value(best(0.35, "Ada"), 10) == (1 + 1) / 4  # Ada counts in full, not by half
    assert model.reached(best(0.35, "Ada")) == 0


def test_the_query_counts_among_the_candidates_of_the_others():
    model = model_with([0.2, 0.4, 0.3], ["Ada", "Ben", "Cleo"])
    returned = {1: {"e0": 0.6, "e2": 0.1}}  # Ada's photos find the query better than anybody else
    assert model.p_value(best(0.5, returned=returned), 10) == (1 + 1) / 4


def test_scores_are_compared_from_as_many_photos():
    # Ada's encounter has two photos, Ben's one. The query scores 1 from one photo, 3 from two and 9 from three.
    rows = (("e0", "Ada", 1, 0.5), ("e0", "Ada", 2, 4.0), ("e1", "Ben", 1, 2.0))
    model = NoveltyModel("evidence_bound", Yardstick(rows), 10.0)
    assert model.p_value(QueryScores("x", {1: 1.0}), 10) == pytest.approx(
        (1 + 1) / 3
    )  # Ben's 2 reaches 1, Ada's .5 does not
    assert model.p_value(QueryScores("x", {1: 1.0, 2: 3.0}), 10) == pytest.approx(
        (1 + 2) / 3
    )  # Ada's 4 from two photos reaches 3
    assert model.p_value(QueryScores("x", {1: 3.0, 2: 5.0, 3: 9.0}), 10) == pytest.approx(1 / 3)


def test_threshold_is_the_smallest_score_with_that_p_value():
    model = model_with([0.2, 0.4, 0.3, 0.1], ["Ada", "Ada", "Ben", "Cleo"])
    threshold = model.threshold(best(0.0), 0.4, 10)  # 1.5 / 4 = .375 is reached just above Ben's .3
    assert threshold == np.nextafter(0.3, 1)
    assert model.p_value(best(threshold), 10) <= 0.4 < model.p_value(best(0.3), 10)
    assert model.threshold(best(0.0), 0.25, 10) == np.nextafter(0.4, 1)
    assert model.threshold(best(0.0), 0.24, 10) is None  # 1 / (3 + 1) is the smallest that three animals can give
    assert model.threshold(best(0.0, "Ada"), 0.49, 10) is None  # 2 / 4 with Ada as the best candidate


def test_thirty_nine_animals_are_needed_for_five_percent():
    maxima, names = np.linspace(0, 1, 39), [f"i{k:02}" for k in range(39)]
    # all but the highest, the best candidate's own, which counts anyway
    assert model_with(maxima, names).threshold(best(0.0, "i38"), 0.05, 10) == np.nextafter(maxima[37], 2)
    assert model_with(maxima[1:], names[1:]).threshold(best(0.0, "i38"), 0.05, 10) is None
    assert animals_needed(0.05) == 39 and animals_needed(0.1) == 19 and animals_needed(0.3) == 6


def test_p_value_grows_with_the_gallery_by_the_stated_formula():
    model = model_with([0.2, 0.4, 0.3], ["Ada", "Ben", "Cleo"], n_animals=10.0)
    assert model.p_value(best(0.5), 13) == 0.25  # within 20 % of 10 and the query
    assert model.p_value(best(0.5), 33) == pytest.approx(1 - 0.75**3)
    assert model.p_value(best(0.5), 2) == 0.25  # a smaller gallery is left alone
    assert model.p_value(best(0.1), 33) == 1.0
    assert model.threshold(best(0.0), 0.25, 33) is None
    assert model.threshold(best(0.0), 1 - 0.75**3 + 1e-9, 33) == np.nextafter(0.4, 1)


def test_maxima_of_a_deleted_animal_are_no_yardstick():
    model = model_with([0.2, 0.4, 0.3], ["Ada", "Ada", "Ben"]).without("Ada")
    assert [row[1:] for row in model.levels.rows] == [("Ben", 1, 0.3)]
    assert model.p_value(best(0.5), 5) == 1 / 2


def test_no_ratio_goes_beyond_what_was_seen():
    # three animals of which two were met again: 3 pairs of different animals, so 4 : 1 at most, and 3 : 1 against
    rows = [
        ("a", "A", "B", 1.0),
        ("a", "A", "C", 1.0),
        ("b", "B", "C", 1.0),
        ("a2", "A", "A", 9.0),
        ("b2", "B", "B", 9.0),
    ]
    lowest, highest = ratio_range(calibration(rows).comparisons, shipped=False)
    assert (lowest, highest) == pytest.approx((-math.log(3), math.log(4)))
    # 500 pairs of different animals more; what speaks against an animal is bounded by the share of misses instead
    assert ratio_range(calibration(rows).comparisons, shipped=True) == (-math.inf, pytest.approx(math.log(504)))


def test_more_pairs_than_usual_make_the_same_score_worth_less():
    model = NoveltyModel("logistic", slope=1.0, epsilon=None, log_score_range=(-9.0, 9.0), usual_pairs=2.0)
    few, usual, many = model.log_likelihood_ratio(np.array([3.0] * 3), np.array([1, 2, 16]))
    assert few == usual == 3.0 and many == pytest.approx(3 - math.log(8))
    learned = dataclasses.replace(
        model, missed=1e-12, crowding=0.5, saturation=8.0, log_score_range=(-math.inf, math.inf)
    )
    few, many, clear = learned.log_likelihood_ratio(np.array([3.0, 3.0, 60.0]), np.array([1, 16, 16]))
    moved = 3 - 0.5 * math.log(
        16
    )  # a score is moved by what the best of many is high by; what is far above stays clear
    assert (few, many, clear) == pytest.approx((8 * math.tanh(3 / 8), 8 * math.tanh(moved / 8), 8.0), abs=1e-4)


def test_logistic_is_the_penalised_optimum_with_the_training_prior_taken_out():
    rng = np.random.default_rng(0)
    genuine = np.arange(120) < 30
    x = rng.normal(np.where(genuine, 1.0, 0.0), 1.0)
    weight = rng.uniform(0.5, 1.5, 120)
    a, b = fit_logistic(x, genuine, weight)
    centre = np.average(x, weights=weight)
    spread = np.sqrt(np.average((x - centre) ** 2, weights=weight))

    def loss(theta):
        eta = theta[0] + theta[1] * (x - centre) / spread
        return np.sum(weight * (np.logaddexp(0, eta) - genuine * eta)) + 0.16 * theta[1] ** 2 / 2

    best = optimize.minimize(loss, [0, 0], method="BFGS", options={"gtol": 1e-9}).x
    odds = np.log(weight[genuine].sum() / weight[~genuine].sum())
    assert b == pytest.approx(best[1] / spread, abs=1e-5)
    assert a + b * centre == pytest.approx(best[0] - odds, abs=1e-5)


def test_logistic_finds_the_ratio_of_two_normal_densities():
    # f1 = N(1, 1), f0 = N(0, 1): log f1 / f0 = x - 1/2, however many of either there are
    rng = np.random.default_rng(1)
    genuine = np.arange(40_000) < 4_000
    a, b = fit_logistic(rng.normal(genuine.astype(float), 1.0), genuine, np.ones(40_000))
    assert (a, b) == pytest.approx((-0.5, 1.0), abs=0.06)


def test_logistic_never_counts_a_high_score_against_an_animal_and_stays_finite():
    x = np.array([0.0, 1, 2, 3, 4, 5])
    assert fit_logistic(x, x < 3, np.ones(6)) == (0.0, 0.0)
    a, b = fit_logistic(x, x > 3, np.ones(6))
    assert 0 < b < 10 and math.isfinite(a)
    assert fit_logistic(np.ones(6), x > 3, np.ones(6)) == (0.0, 0.0)


def test_gumbel_by_moments_and_its_tail():
    # mean 2, standard deviation pi / sqrt 6 make scale 1 and location 2 - 0.5772
    sd = math.pi / math.sqrt(6)
    location, scale = fit_gumbel(np.array([2 - sd, 2 + sd]), np.ones(2))
    assert (location, scale) == pytest.approx((2 - 0.5772156649, 1.0))
    x = np.array([-5.0, -1.0, 0.0, 2.0, 9.0, 40.0])
    np.testing.assert_allclose(gumbel_tail(x, location, scale), stats.gumbel_r.sf(x, location, scale), rtol=1e-9)


def test_evidence_bound_by_hand():
    # p = .05: 1 / (-e * .05 * ln .05) = 1 / (.135914 * 2.995732) = 2.45603
    np.testing.assert_allclose(evidence_bound(np.array([0.05, 1 / math.e, 0.9, 1.0])), [2.45603, 1, 1, 1], rtol=1e-5)
    p = np.linspace(1e-6, 1, 1000)
    assert (np.diff(evidence_bound(p)) <= 1e-12).all()


def test_epsilon_fits_the_unit_of_the_score():
    scores = np.array([0, 0, 1.0, 3.0, 5.0])
    assert choose_epsilon(scores) == 3.0
    assert choose_epsilon(scores * 1000) == 3000.0
    assert choose_epsilon(np.zeros(4)) == 0.001


def test_method_follows_what_there_is_to_learn_from():
    rng = np.random.default_rng(2)
    assert fit(calibration([])).method == "none"
    assert fit(world(2, 2, rng)).method == "none"
    assert fit(world(3, 1, rng)).method == "evidence_bound"
    assert fit(world(4, 2, rng)).method == "evidence_bound"  # 8 genuine encounters, but of 4 animals
    five = fit(world(5, 2, rng))
    assert (five.method, five.n_genuine, five.n_genuine_individuals, five.n_animals) == ("logistic", 10, 5, 4.0)


def test_a_saturated_score_is_itself_where_it_is_small_and_never_more_than_its_scale():
    np.testing.assert_allclose(
        saturated(np.array([0.0, 0.1, 12.0, 1e9]), 12.0), [0, 0.1, 12 * math.tanh(1), 12], rtol=1e-4
    )
    np.testing.assert_array_equal(saturated(np.array([3.0, -np.inf]), math.inf), [3.0, -np.inf])


def test_evidence_bound_model_by_hand():
    # Log scores of different animals: log(s + eps). Tail probabilities are cut off at 0.1 / (6 + 1).
    rows = [(f"{a}", a, b, s) for a, b, s in zip("aabbcc", "bcacab", (1, 2, 3, 4, 5, 6), strict=True)]
    model = fit(calibration(rows))
    assert model.epsilon == 3.5
    x = np.log(np.arange(1, 7) + 3.5)
    scale = x.std() * math.sqrt(6) / math.pi
    tail = stats.gumbel_r.sf(np.log(9 + 3.5), x.mean() - 0.5772156649015329 * scale, scale)
    assert model.log_likelihood_ratio(np.array([9.0])) == pytest.approx([np.log(1 / (-math.e * tail * math.log(tail)))])
    assert model.log_likelihood_ratio(np.array([1e9])) == pytest.approx(
        [math.log(4)]
    )  # three pairs of animals, and one more
    assert model.log_likelihood_ratio(np.array([0.0])) == pytest.approx([0.0])


@pytest.mark.parametrize("encounters", [1, 3])
def test_likelihood_ratio_never_falls_and_stops_growing_beyond_what_was_seen(encounters):
    model = fit(world(8, encounters, np.random.default_rng(4)))
    ratio = model.log_likelihood_ratio(np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 200)]))
    assert (np.diff(ratio) >= 0).all() and ratio[-1] > ratio[0]
    assert ratio[-1] == ratio[-2] and np.isfinite(ratio).all()


def test_every_animal_weighs_the_same_however_often_it_was_met():
    rows = world(6, 2, np.random.default_rng(6), genuine=2.0).comparisons.to_pylist()
    rows = [r | {"score": 0.5} if r["genuine"] and r["individual_id"] == "i0" else r for r in rows]  # hard to recognise
    own = [r for r in rows if r["individual_id"] == "i0"]
    often = rows + [r | {"encounter_id": f"{r['encounter_id']}-{k}"} for r in own for k in range(9)]
    tables = [pa.Table.from_pylist(r, schema=COMPARISON_SCHEMA) for r in (rows, often)]
    once, tenfold = (fit(of_table(t)) for t in tables)
    assert tenfold.p_value(best(1.5), 6) == pytest.approx(once.p_value(best(1.5), 6))
    # a little differs: the ridge penalty weighs less among more rows, and epsilon follows the median
    assert tenfold.slope == pytest.approx(once.slope, rel=0.15)


def test_order_of_rows_does_not_matter():
    rows = world(6, 2, np.random.default_rng(8)).comparisons
    turned = rows.take(pa.array(np.random.default_rng(9).permutation(rows.num_rows)))
    one, other = (fit(of_table(t)) for t in (rows, turned))
    assert one.levels == other.levels
    assert one.slope == pytest.approx(other.slope, rel=1e-9)
