"""Formulas against full vectors of confidences and against arithmetic on paper."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import energy_distance, wasserstein_distance

from resight.catalog import table
from resight.errors import BrokenCountError, SettingsError
from resight.match.base import PairMatch
from resight.match.summary import summarise
from resight.plugins.registry import SCORES
from resight.score.base import Score
from resight.score.distances import (
    one_sided_ks,
    one_sided_wasserstein,
    signed_energy,
    signed_wasserstein,
    signed_wasserstein_2,
    wasserstein_1,
)
from resight.score.distribution import HISTOGRAM, positive_area, read_distributions, sum_above
from resight.score.null import NullDistribution
from resight.score.params import ScoreParams
from resight.score.stage import score, score_named

BINS = 64
FROM_ELSEWHERE = ("lnbnn", "lnbnn_verified", "cosine", "fused")  # not from the confidences
SCHEMA = pa.schema([f.with_nullable(True) for f in table("pairs").schema])


def pair_row(confidence, n_query=10, n_gallery=8, query="q", gallery="g", purpose="identify", inliers=0, bins=BINS):
    c = np.asarray(confidence, np.float32)
    index, inlier = np.arange(len(c), dtype=np.int32), np.arange(len(c)) < inliers
    row = summarise(PairMatch(index, index, c, inlier, n_query, n_gallery, True), bins)
    keypoints = {"n_keypoints_query": row.pop("n_keypoints_a"), "n_keypoints_gallery": row.pop("n_keypoints_b")}
    ids = {
        f"{side}_{what}_id": one for side, one in (("query", query), ("gallery", gallery)) for what in ("crop", "photo")
    }
    return row | keypoints | ids | {"run_id": "r", "purpose": purpose, "status": "scored", "reason": ""}


def pairs_table(*rows):
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def with_null(rows, counts, n_values):
    null = NullDistribution(1, n_values, tuple(counts))
    return read_distributions(pairs_table(*rows), null.cdf()[None, :], np.zeros(len(rows), np.int64))


def notebook_auc(full):
    """The area as the notebooks take it: ECDF on linspace(0, 1, n), (1, 1) appended, trapezoid rule."""
    x, y = np.sort(full), np.linspace(0, 1, len(full))
    if x[-1] < 1:
        x, y = np.append(x, 1), np.append(y, 1)
    return np.trapezoid(y, x)


def test_scores_worked_out_by_hand():
    # s = 0.2, 0.4, 0.8 of 10 and 8 keypoints: S = 1.4, S_0.5 = 0.8, S2 = 0.04 + 0.16 + 0.64 = 0.84,
    # mean = 1.4 / sqrt(80), llr = -ln(0.8 * 0.6 * 0.2) = -ln 0.096,
    # auc of the query = 1 - 0.14 - (0.14 - (0 + 0.8) / 2) / 9 = 0.86 + 0.26 / 9, of the gallery photo with 8 keypoints
    # 1 - 0.175 - (0.175 - 0.4) / 7 = 0.825 + 0.225 / 7; pooled mean 2.8 / 18
    row = score(pairs_table(pair_row([0.2, 0.4, 0.8], inliers=2)), {}, ScoreParams()).scores.to_pylist()[0]
    expected = {
        "count": 3,
        "count_05": 1,
        "sum": 1.4,
        "sum_05": 0.8,
        "mean": 1.4 / np.sqrt(80),
        "auc": (0.86 + 0.26 / 9 + 0.825 + 0.225 / 7) / 2,
        "sum_01": 1.4,
        "mean_pooled": 2.8 / 18,
        "area": 1 - 2.8 / 18,
        "sum_squares": 0.84,
        "llr": -np.log(0.096),
        "inliers": 2 + 1.4 / np.sqrt(80),
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert row["wasserstein"] is None  # nobody to learn the null from: never guessed
    assert row["score"] == row["mean"] and row["score_name"] == "mean"


@pytest.mark.parametrize("n_query", [2, 5, 40, 1000])
@pytest.mark.parametrize("n_matches", [0, 1, 2])
def test_auc_is_the_notebooks_area(n_query, n_matches):
    if n_matches > n_query:
        pytest.skip("no crop has more matches than keypoints")
    confidence = np.array([0.31, 0.97][:n_matches], np.float32)
    full = np.concatenate([np.zeros(n_query - n_matches), confidence.astype(np.float64)])
    d = read_distributions(pairs_table(pair_row(confidence, n_query, n_query)))
    slack = 1 / (4 * BINS * (n_query - 1)) if n_matches == n_query else 1e-12
    assert SCORES["auc"].compute(d)[0] == pytest.approx(notebook_auc(full), abs=slack)


def test_auc_of_a_single_keypoint_is_the_exact_area_and_no_match_is_the_worst():
    rows = [pair_row([], 1, 5), pair_row([0.25], 1, 1), pair_row([], 7, 5)]
    d = read_distributions(pairs_table(*rows))
    np.testing.assert_allclose(SCORES["auc"].compute(d), [1.0, 0.75, 1.0], atol=1e-12)


def test_wasserstein_by_hand():
    # 4 bins. Null: 10 values, 8 zeros, one in (0, .25], one in (.25, .5]: F at 0, .25, .5, .75, 1 = .8, .9, 1, 1, 1.
    # Pair: 5 + 5 keypoints, one match in (.75, 1]: both vectors hold it, 8 zeros of 10: F = .8, .8, .8, .8, 1.
    # Gap 0, .1, .2, .2, 0; trapezoids (.05 + .15 + .2 + .1) * .25 = .125
    d = with_null([pair_row([0.9], 5, 5, bins=4)], (1, 1, 0, 0), 10)
    assert one_sided_wasserstein(d)[0] == pytest.approx(0.125, abs=1e-12)


def test_wasserstein_counts_only_what_lies_above_the_null():
    # Null: half zeros, half in (.25, .5]: F = .5, .5, 1. Pair: 10 values, 6 in (0, .5), so F = .4, 1, 1 over 2 bins...
    # 2 bins: null F = .5, .5, 1 (all in the upper bin); pair F = .4, 1, 1: gap .1, -.5, 0.
    # First bin crosses 0 after .1 / .6 of its width: .1 * (.1 / .6) / 2 * .5 = .1**2 / (2 * .6) * .5 = 1 / 240
    d = with_null([pair_row([0.2] * 3, 5, 5, bins=2)], (0, 5), 10)
    assert one_sided_wasserstein(d)[0] == pytest.approx(1 / 240, abs=1e-12)


def test_positive_area_of_straight_lines():
    left, right = np.array([1.0, -1.0, 1.0, -1.0, 0.0]), np.array([3.0, -3.0, -1.0, 3.0, 0.0])
    # 2; 0; triangle of base 1/2 and height 1; base 3/4 and height 3; 0
    np.testing.assert_allclose(positive_area(left, right), [2, 0, 0.25, 1.125, 0])


def brute_force_one_sided(p, q):
    """Integral of max(0, F_q - F_p) over the merged grid of both samples."""
    grid = np.sort(np.concatenate([p, q]))
    gap = np.searchsorted(np.sort(q), grid, "right") / len(q) - np.searchsorted(np.sort(p), grid, "right") / len(p)
    return np.sum(np.maximum(gap[:-1], 0) * np.diff(grid))


@pytest.mark.parametrize("seed", range(6))
def test_wasserstein_agrees_with_full_vectors(seed):
    rng = np.random.default_rng(seed)
    n_query, n_gallery, k = rng.integers(40, 300), rng.integers(40, 300), 30
    s = rng.beta(1, 2, k).astype(np.float32)
    q = np.concatenate([rng.beta(1, 4, 200).astype(np.float32).astype(np.float64), np.zeros(1800)])
    p = np.concatenate([s, s, np.zeros(n_query + n_gallery - 2 * k)]).astype(np.float64)
    counts = np.bincount(np.ceil(q[q > 0] * BINS).astype(int) - 1, minlength=BINS)
    got = one_sided_wasserstein(with_null([pair_row(s, n_query, n_gallery)], counts, len(q)))[0]
    bound = (2 * k / (n_query + n_gallery) + 200 / 2000) / (2 * BINS)
    assert got == pytest.approx(brute_force_one_sided(p, q), abs=bound)


def test_wasserstein_above_a_dominated_null_is_scipys_distance():
    s = np.array([0.9, 0.7, 0.8], np.float32)
    q = np.concatenate([np.full(5, 0.1), np.zeros(95)])
    p = np.concatenate([s, s, np.zeros(54)]).astype(np.float64)
    counts = np.bincount([6] * 5, minlength=BINS)  # 0.1 * 64 = 6.4
    got = one_sided_wasserstein(with_null([pair_row(s, 30, 30)], counts, 100))[0]
    assert got == pytest.approx(wasserstein_distance(p, q), abs=(6 / 60 + 5 / 100) / (2 * BINS))


def impostors_and_queries():
    rng = np.random.default_rng(5)
    calibrate = [
        pair_row(rng.beta(1, 5, 6), 30, 30, f"t{k}", f"t{k + 1}", "calibrate", inliers=1) for k in range(0, 40, 2)
    ]
    empty, weak, strong = (
        pair_row(c, 30, 30, "x", f"y{k}", inliers=len(c) // 2)
        for k, c in enumerate(([], [0.55] * 8, [0.55] * 8 + [0.8] * 6))
    )
    labels = {f"t{k}": f"animal {k}" for k in range(40)}
    return calibrate, [empty, weak, strong], labels


@pytest.mark.parametrize("name", [n for n, one in SCORES.items() if n not in FROM_ELSEWHERE and one.ranks])
def test_no_match_is_the_worst_and_more_matches_are_better_in_every_score(name):
    calibrate, queries, labels = impostors_and_queries()
    scores = score(pairs_table(*calibrate, *queries), labels, ScoreParams(name=name)).scores
    empty, weak, strong = scores["score"].to_pylist()[-3:]
    assert SCORES[name].signed or empty == pytest.approx(0, abs=1e-12)
    assert empty <= min(scores["score"].to_pylist())
    assert empty < weak < strong


@pytest.mark.parametrize("name", list(SCORES))
def test_every_score_describes_itself(name):
    kind = SCORES[name]
    assert isinstance(kind, Score) and kind.name == name and kind.source and kind.description
    assert kind.needs_cohorts or kind.shipped is None, "only what is held against other animals means much elsewhere"


def test_every_score_of_ours_is_a_column_of_the_catalog():
    assert set(SCORES.built_in) <= set(table("scores").schema.names)


def test_registry_refuses_a_misspelt_name_and_offers_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'wasserstein'"):
        score_named("waserstein")


def test_choosing_a_score_that_cannot_be_computed_says_what_it_needs():
    with pytest.raises(SettingsError, match="different known animals"):
        score(pairs_table(pair_row([0.5])), {}, ScoreParams(name="wasserstein"))
    without_geometry = pair_row([0.5]) | {"n_inliers": None}
    with pytest.raises(SettingsError, match=r"geometry \(match"):
        score(pairs_table(without_geometry), {}, ScoreParams(name="inliers"))
    assert score(pairs_table(without_geometry), {}, ScoreParams()).scores["inliers"].to_pylist() == [None]


def test_pairs_that_were_not_matched_have_no_score():
    rows = [
        pair_row([0.5]),
        pair_row([0.5], query="p") | {"status": "failed"},
        pair_row([], query="o") | {"status": "no_features"},
    ]
    assert score(pairs_table(*rows), {}, ScoreParams()).scores["query_crop_id"].to_pylist() == ["q"]
    assert score(pairs_table(*rows[1:]), {}, ScoreParams()).scores.num_rows == 0


@pytest.mark.parametrize(
    "broken",
    [{"n_keypoints_query": 0}, {"n_matches": 4}, {"confidence_sum": None}, {"n_keypoints_gallery": 2}],
    ids=["no keypoints", "histogram lacks a match", "missing sum", "more matches than keypoints"],
)
def test_a_broken_row_is_refused(broken):
    with pytest.raises(BrokenCountError):
        score(pairs_table(pair_row([0.2, 0.4, 0.8]) | broken), {}, ScoreParams())


def test_histograms_of_different_length_are_refused():
    with pytest.raises(BrokenCountError, match=r"score\.bins"):
        score(pairs_table(pair_row([0.2]), pair_row([0.2], query="p", bins=8)), {}, ScoreParams())


def test_distances_to_the_null_by_hand():
    # 2 bins. Null: 10 values, 8 zeros, 2 in the lower bin: F = .8, 1, 1. Pair: 10 values, 6 zeros, 4 in the upper: F = .6, .6, 1.
    # Gap .2, .4, 0: trapezoids .15 + .1 = .25, all of it positive. Squares: (.04 + .08 + .16) / 6 + .16 / 6 = .28 / 6 + .16 / 6
    d = with_null([pair_row([0.9, 0.8], 5, 5, bins=2)], (2, 0), 10)
    assert signed_wasserstein(d)[0] == pytest.approx(0.25) == wasserstein_1(d)[0] == one_sided_wasserstein(d)[0]
    assert signed_energy(d)[0] == pytest.approx(np.sqrt(2 * 0.44 / 6))
    assert one_sided_ks(d)[0] == pytest.approx(0.4)
    # Quantiles of the pair: 0 up to .6, then .5 + (u - .6) / .8; of the null 0 up to .8, then (u - .8) / .4. W2^2 is the integral of
    # the squared gap: over [.6, .8] of (.5 + (u - .6) / .8)^2 = .8 / 3 (.75^3 - .5^3); over [.8, 1] of (.75 - 1.25 (u - .8))^2
    # = (.75^3 - .5^3) / 3.75
    square = (0.75**3 - 0.5**3) * (0.8 / 3 + 1 / 3.75)
    assert signed_wasserstein_2(d)[0] == pytest.approx(np.sqrt(square), rel=0.01)


def test_a_pair_below_the_null_is_far_by_the_unsigned_distance_and_bad_by_all_others():
    d = with_null([pair_row([0.1], 5, 5, bins=4)], (0, 0, 2, 2), 10)
    assert wasserstein_1(d)[0] > 0.1
    assert signed_wasserstein(d)[0] < -0.1 and signed_energy(d)[0] < -0.1 and signed_wasserstein_2(d)[0] < -0.1
    assert one_sided_ks(d)[0] == 0 and one_sided_wasserstein(d)[0] == 0
    with pytest.raises(SettingsError, match="no direction"):
        score_named("wasserstein_1")


@pytest.mark.parametrize("seed", range(4))
def test_distances_agree_with_scipy_on_full_vectors(seed):
    rng = np.random.default_rng(seed)
    s = rng.beta(2, 2, 40).astype(np.float32)
    q = np.concatenate([rng.beta(1, 4, 200), np.zeros(1800)])
    p = np.concatenate([s, s, np.zeros(120)]).astype(np.float64)
    counts = np.bincount(np.ceil(q[q > 0] * BINS).astype(int) - 1, minlength=BINS)
    d = with_null([pair_row(s, 100, 100)], counts, len(q))
    assert wasserstein_1(d)[0] == pytest.approx(wasserstein_distance(p, q), abs=0.004)
    assert signed_energy(d)[0] == pytest.approx(energy_distance(p, q), abs=0.01)
    assert signed_wasserstein(d)[0] == pytest.approx(p.mean() - q.mean(), abs=0.004)
    levels = (np.arange(100_000) + 0.5) / 100_000
    w2 = np.sqrt(
        np.mean((np.quantile(p, levels, method="inverted_cdf") - np.quantile(q, levels, method="inverted_cdf")) ** 2)
    )
    assert signed_wasserstein_2(d)[0] == pytest.approx(w2, rel=0.02)


def test_sum_above_a_threshold_from_the_histogram():
    # 10 bins: 0.05 and 0.15 lie below 0.2, on an edge: exact; 0.25 cuts the third bin in half: half of its one value counts below
    d = read_distributions(pairs_table(pair_row([0.05, 0.15, 0.27, 0.9], bins=10)))
    assert sum_above(d, 0.2)[0] == pytest.approx(1.17, abs=1e-6)
    assert sum_above(d, 0.25)[0] == pytest.approx(1.37 - 0.2 - 0.5 * 0.225, abs=1e-6)
    assert sum_above(d, 0.0)[0] == pytest.approx(1.37, abs=1e-6)


@pytest.mark.parametrize("name", [n for n in SCORES if n not in FROM_ELSEWHERE])
def test_every_score_is_the_same_whichever_photo_asks(name):
    calibrate, _, labels = impostors_and_queries()
    one = pair_row([0.3, 0.6, 0.9], 30, 12, "x", "y", "cluster")
    other = pair_row([0.3, 0.6, 0.9], 12, 30, "y", "x", "cluster")
    params = ScoreParams(name=name if SCORES[name].ranks else "mean")
    tables = [score(pairs_table(*calibrate, row), labels, params).scores for row in (one, other)]
    got = [rows["score" if SCORES[name].ranks else name].to_pylist()[-1] for rows in tables]
    assert (got[0] == pytest.approx(got[1], rel=1e-12) and got[0] is not None) or name == "inliers"


def test_scores_that_do_not_read_histograms_do_without_them():
    table = pairs_table(pair_row([0.05, 0.15, 0.9], inliers=2), pair_row([0.4], 5, 6), pair_row([]))
    whole, narrow = read_distributions(table), read_distributions(table.drop_columns(HISTOGRAM))
    of_numbers = [score for score in SCORES.values() if not score.reads_histogram]
    assert {"mean", "snorm_inliers", "fused"} <= {score.name for score in of_numbers}
    for one in of_numbers:
        assert np.array_equal(one.compute(whole), one.compute(narrow), equal_nan=True), one.name
    with pytest.raises(BrokenCountError, match="reads_histogram"):
        SCORES["auc"].compute(narrow)
