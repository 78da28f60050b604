"""Metrics worked out on paper, and intervals against resampling by hand."""

import itertools

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from resight.evaluate.bootstrap import interval
from resight.evaluate.metrics import (
    abundance_error,
    adjusted_rand,
    auroc,
    auroc_within,
    average_precision,
    balanced_accuracy,
    brier,
    calibration_error,
    geometric_mean,
    hits,
    hits_in_smaller_gallery,
    reliability,
    weighted_mean,
)


def test_top_k_by_hand_counts_the_unranked_as_wrong():
    ranks = [1, 3, None, 2, 6]
    assert hits(ranks, 1).tolist() == [1, 0, 0, 0, 0]
    assert hits(ranks, 3).tolist() == [1, 1, 0, 1, 0]
    assert hits(ranks, 6).tolist() == [1, 1, 0, 1, 1]


def test_average_precision_by_hand():
    # right ones at places 1, 3, 4: (1/1 + 2/3 + 3/4) / 3 = 29 / 36
    assert average_precision(np.array([1, 0, 1, 1, 0], bool)) == pytest.approx(29 / 36)
    assert average_precision(np.array([0, 0, 1], bool)) == pytest.approx(1 / 3)
    assert average_precision(np.array([1, 1, 0], bool)) == 1.0
    assert average_precision(np.zeros(3, bool)) == 0.0
    assert average_precision(np.zeros(0, bool)) == 0.0


def test_auroc_by_hand():
    # .9 beats all three; .5 beats .1, ties .5, loses to .7: 3 + 1.5 of 6
    assert auroc(np.array([0.9, 0.5]), np.array([0.1, 0.5, 0.7])) == pytest.approx(4.5 / 6)
    assert auroc(np.array([2.0]), np.array([1.0])) == 1.0
    assert auroc(np.array([1.0]), np.array([2.0])) == 0.0  # the reverse is not the best
    assert auroc(np.array([np.inf, 1.0]), np.array([np.inf, 0.0])) == pytest.approx((1.5 + 1) / 4)
    assert auroc(np.zeros(0), np.array([1.0])) is None


def test_auroc_within_groups_by_hand():
    """Round 1: 3 of 4 pairs in order; round 2, on another scale: 1 of 1. Pooled they would be 6 of 9."""
    value = np.array([0.9, 0.5, 0.1, 0.7, -5.0, -8.0])
    positive = np.array([True, True, False, False, True, False])
    group = np.array([1, 1, 1, 1, 2, 2])
    assert auroc_within(value, positive, group) == pytest.approx(4 / 5)
    assert auroc_within(value, positive, np.zeros(6)) == pytest.approx(auroc(value[positive], value[~positive]))
    assert auroc_within(value, positive, group, np.array([2.0, 1, 1, 1, 1, 1])) == pytest.approx((2 * 2 + 1 + 1) / 7)
    assert auroc_within(value, positive, np.arange(6)) is None


def test_auroc_agrees_with_scipy_and_with_repeated_rows():
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 9, 40).astype(float), rng.integers(0, 7, 30).astype(float)
    assert auroc(positive, negative) == pytest.approx(mannwhitneyu(positive, negative).statistic / (40 * 30))
    wp, wn = rng.integers(0, 4, 40), rng.integers(0, 4, 30)
    repeated = auroc(np.repeat(positive, wp), np.repeat(negative, wn))
    assert auroc(positive, negative, wp.astype(float), wn.astype(float)) == pytest.approx(repeated)


def test_balanced_accuracy_by_hand():
    # Ada 2 of 4, Ben 1 of 1, Cleo 0 of 1: (1/2 + 1 + 0) / 3; accuracy would say 3/6 too, so weigh Ben twice: 2.5 / 4
    correct = np.array([1, 1, 0, 0, 1, 0], float)
    classes = np.array(["Ada"] * 4 + ["Ben", "Cleo"])
    assert balanced_accuracy(correct, classes, np.ones(6)) == pytest.approx(0.5)
    assert balanced_accuracy(correct, classes, np.array([1.0, 1, 1, 1, 2, 1])) == pytest.approx(2.5 / 4)
    assert balanced_accuracy(correct[:5], classes[:5], np.ones(5)) == pytest.approx(0.75)  # 3/5 if it were not balanced
    assert balanced_accuracy(np.zeros(0), np.zeros(0, int), np.zeros(0)) is None


def test_brier_by_hand():
    # (.1**2 + .8**2 + .5**2) / 3 = .9 / 3
    assert brier(np.array([0.9, 0.8, 0.5]), np.array([1.0, 0, 1]), np.ones(3)) == pytest.approx(0.3)


def test_calibration_error_by_hand():
    # bin (.8, .9]: .85 and .9, one right: |.5 - .875| * 2/4; bin (.2, .3]: .3, right: .7 * 1/4; bin (0, .1]: 0, wrong: 0
    probability, correct = np.array([0.85, 0.9, 0.3, 0.0]), np.array([1.0, 0, 1, 0])
    assert calibration_error(probability, correct, np.ones(4)) == pytest.approx(0.375 / 2 + 0.7 / 4)
    assert calibration_error(np.array([1.0, 0.75]), np.array([1.0, 1]), np.ones(2)) == pytest.approx(0.125)
    assert calibration_error(np.zeros(0), np.zeros(0), np.zeros(0)) is None


def test_weighted_mean_of_nothing_is_nothing():
    assert weighted_mean(np.array([1.0, 0, 0]), np.array([2.0, 1, 1])) == 0.5
    assert weighted_mean(np.zeros(0), np.zeros(0)) is None


def test_interval_resamples_individuals_not_photos():
    # Ada has 8 right photos, Ben 2 wrong ones. Of two draws: AA 1/4 -> 1, AB or BA 1/2 -> .8, BB 1/4 -> 0.
    values = np.array([1.0] * 8 + [0.0] * 2)
    names = np.array(["Ada"] * 8 + ["Ben"] * 2)
    seen: list[float] = []

    def statistic(weight):
        seen.append(weighted_mean(values, weight) or 0.0)
        return seen[-1]

    assert interval(statistic, names, draws=2000) == (0.0, 1.0)
    shares = [np.mean(np.isclose(seen, v)) for v in (0.0, 0.8, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.05)


def test_interval_agrees_with_all_possible_draws():
    values = np.array([0.1, 0.4, 0.35, 0.9, 0.7])
    exact = [np.mean(values[list(draw)]) for draw in itertools.product(range(5), repeat=5)]
    low, high = interval(lambda w: weighted_mean(values, w), np.arange(5).astype(str), draws=4000)
    assert (low, high) == pytest.approx(tuple(np.quantile(exact, [0.025, 0.975])), abs=0.03)


def test_interval_is_seeded_and_does_not_care_about_order():
    rng = np.random.default_rng(1)
    values, names = rng.random(30), rng.integers(0, 7, 30).astype(str)
    order = rng.permutation(30)
    one = interval(lambda w: weighted_mean(values, w), names)
    other = interval(lambda w: weighted_mean(values[order], w), names[order])
    assert one == pytest.approx(other) and one == interval(lambda w: weighted_mean(values, w), names)
    assert one != interval(lambda w: weighted_mean(values, w), names, seed=1)


def test_one_individual_has_no_interval():
    assert interval(lambda w: weighted_mean(np.ones(3), w), np.array(["Ada"] * 3)) == (None, None)
    assert interval(lambda w: None, np.array(["Ada", "Ben"])) == (None, None)


def test_what_the_shortlist_left_out_counts_as_never_found() -> None:
    # relevant at places 1 and 3 of 3, two more never came: (1/1 + 2/3) / 4
    assert average_precision(np.array([True, False, True]), n_missed=2) == pytest.approx((1 + 2 / 3) / 4)
    assert average_precision(np.array([False]), n_missed=1) == 0.0


def test_reliability_is_what_the_calibration_error_sums_up() -> None:
    probability, correct, weight = np.array([0.85, 0.9, 0.3, 0.0]), np.array([1.0, 0, 1, 0]), np.array([1.0, 1, 2, 1])
    table = reliability(probability, correct, weight)
    np.testing.assert_allclose(table[8], [0.875, 0.5, 2])  # (.8, .9]
    np.testing.assert_allclose(table[2], [0.3, 1.0, 2])  # (.2, .3], weight 2
    filled = table[table[:, 2] > 0]
    summed = np.sum(filled[:, 2] * np.abs(filled[:, 0] - filled[:, 1])) / weight.sum()
    assert calibration_error(probability, correct, weight) == pytest.approx(summed)


def test_geometric_mean_by_hand() -> None:
    assert geometric_mean(0.9, 0.4) == pytest.approx(0.6)
    assert geometric_mean(1.0, 0.0) == 0.0 and geometric_mean(None, 1.0) is None


def test_adjusted_rand_by_hand() -> None:
    # a a a b b b against 1 1 2 2 3 3: together in both 2 (first two, last two), in clusters 6, in truth 3, of 15 pairs:
    # expected 6 * 3 / 15 = 1.2, largest 4.5: (2 - 1.2) / (4.5 - 1.2)
    clusters, truth = np.array(list("aaabbb")), np.array(list("112233"))
    assert adjusted_rand(clusters, truth, np.ones(6)) == pytest.approx(0.8 / 3.3)
    assert adjusted_rand(truth, truth, np.ones(6)) == pytest.approx(1.0)
    assert adjusted_rand(np.array(list("abcdef")), truth, np.ones(6)) == pytest.approx(0.0)
    assert adjusted_rand(truth[:1], truth[:1], np.ones(1)) is None
    assert adjusted_rand(np.array(list("aa")), np.array(list("11")), np.ones(2)) is None, (
        "nothing could have gone wrong"
    )


def test_adjusted_rand_agrees_with_counting_pairs() -> None:
    rng = np.random.default_rng(3)
    clusters, truth = rng.integers(0, 4, 30), rng.integers(0, 5, 30)
    pairs = [(clusters[i] == clusters[j], truth[i] == truth[j]) for i in range(30) for j in range(i)]
    both, one, other = (sum(f(p) for p in pairs) for f in (all, lambda p: p[0], lambda p: p[1]))
    expected = one * other / len(pairs)
    assert adjusted_rand(clusters, truth, np.ones(30)) == pytest.approx((both - expected) / ((one + other) / 2 - expected))  # fmt: skip


def test_abundance_error_by_hand() -> None:
    truth = np.array(list("112233"))
    assert abundance_error(np.array(list("aabbcc")), truth, np.ones(6)) == 0.0
    assert abundance_error(np.array(list("abcdef")), truth, np.ones(6)) == pytest.approx(1.0)  # six instead of three
    assert abundance_error(np.array(list("aaaaaa")), truth, np.ones(6)) == pytest.approx(-2 / 3)  # one instead of three
    # Animal 1 drawn three times and 3 not at all: clusters a, a, a and b, against 1, 1, 1 and 2
    assert abundance_error(np.array(list("aabbcc")), truth, np.array([3.0, 3, 1, 1, 0, 0])) == pytest.approx(0.0)


def test_smaller_galleries_agree_with_trying_them_all() -> None:
    # five animals; the right one is beaten by two of the four others
    for size in (1, 2, 3, 4, 5):
        draws = list(itertools.combinations(["better", "better2", "worse", "worse2"], size - 1))
        share = np.mean([not any(o.startswith("better") for o in draw) for draw in draws])
        assert hits_in_smaller_gallery([3], 5, size)[0] == pytest.approx(share)
    assert hits_in_smaller_gallery([1, None], 5, 3).tolist() == pytest.approx([1.0, 0.0])
