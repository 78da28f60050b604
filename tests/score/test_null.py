"""Which pairs make up the null distribution, and that the order of the rows does not matter."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from resight.catalog import table
from resight.errors import BrokenCountError
from resight.plugins.registry import SCORES
from resight.score import stage
from resight.score.cohorts import Cohorts
from resight.score.null import (
    SHIPPED_AGREEMENT,
    SHIPPED_INLIERS,
    SHIPPED_PAIRS,
    Moments,
    learn_null,
    viewpoint_classes,
)
from resight.score.params import ScoreParams
from resight.score.stage import score

SCHEMA = pa.schema([f.with_nullable(True) for f in table("pairs").schema])
LABELS = {"a": "Ada", "a2": "Ada", "b": "Ben", "c": "Cleo", "u": None}


def row(
    query, gallery, histogram=(1, 0, 0, 1), purpose="calibrate", status="scored", n_query=6, n_gallery=4, inliers=None
):
    n = sum(histogram)
    middles = np.repeat((np.arange(4) + 0.5) / 4, histogram)
    return {
        "query_crop_id": query,
        "gallery_crop_id": gallery,
        "query_photo_id": query,
        "gallery_photo_id": gallery,
        "purpose": purpose,
        "status": status,
        "n_keypoints_query": n_query,
        "n_keypoints_gallery": n_gallery,
        "n_matches": n,
        "n_inliers": n if inliers is None else inliers,
        "confidence_histogram": list(histogram),
        "confidence_sum": middles.sum(),
        "confidence_sum_squares": (middles**2).sum(),
        "confidence_sum_above_half": middles[middles > 0.5].sum(),
        "confidence_max": middles.max(initial=0),
        "n_above_01": n,
        "n_above_05": int((middles > 0.5).sum()),
        "log_likelihood_ratio": -np.log1p(-middles).sum(),
    }


def pairs_table(*rows):
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def test_null_pools_both_directions_of_impostor_pairs_with_their_zeros():
    null = learn_null(pairs_table(row("a", "b"), row("a", "c", (0, 1, 0, 0), n_query=10)), LABELS, 100)
    # 2 + 1 matches, each in both crops; 6 + 4 + 10 + 4 keypoints
    assert null.pooled.counts == (2, 2, 0, 2)
    assert null.pooled.n_values == 24 and null.pooled.n_pairs == 2
    np.testing.assert_allclose(null.pooled.cdf(), np.array([18, 20, 22, 22, 24]) / 24)


@pytest.mark.parametrize(
    "other",
    [
        row("a", "a2", (0, 0, 0, 4)),
        row("a", "u", (0, 0, 0, 4)),
        row("a", "nobody", (0, 0, 0, 4)),
        row("b", "c", (0, 0, 0, 4), purpose="identify"),
        row("b", "c", (0, 0, 0, 4), status="failed"),
    ],
    ids=["same animal", "no label", "unknown photo", "pair that is being judged", "not matched"],
)
def test_only_calibration_pairs_of_two_different_known_animals_count(other):
    assert learn_null(pairs_table(row("a", "b"), other), LABELS, 100) == learn_null(
        pairs_table(row("a", "b")), LABELS, 100
    )
    assert learn_null(pairs_table(other), LABELS, 100).pooled is None


def test_each_class_of_views_has_its_own_null_from_50_pairs_on():
    labels = {f"{side}{k}": f"{side}{k}" for side in "lr" for k in range(60)}
    views = {name: {"l": "left", "r": "right"}[name[0]] for name in labels}
    left = [row("l0", f"l{k}", (4, 0, 0, 0)) for k in range(1, 51)]
    right = [row("r0", f"r{k}", (0, 0, 0, 4)) for k in range(1, 50)]
    null = learn_null(pairs_table(*left, *right), labels, 1000, views)
    assert list(null.by_class) == ["left-left"]
    assert null.by_class["left-left"].counts == (400, 0, 0, 0)
    assert null.pooled.counts == (400, 0, 0, 392)
    scores = score(pairs_table(*left, *right), labels, ScoreParams(name="wasserstein"), views).scores
    # a left pair equals its own null, a right pair lies above the pooled one
    assert max(scores["score"].to_pylist()[:50]) == pytest.approx(0, abs=1e-12)
    assert min(scores["score"].to_pylist()[50:]) > 0.1


def test_class_does_not_depend_on_who_asks():
    views = {"a": "left", "b": "top"}
    pairs = pairs_table(row("a", "b"), row("b", "a"), row("a", "u"))
    assert viewpoint_classes(pairs, views).to_pylist() == ["left-top", "left-top", ""]
    assert viewpoint_classes(pairs, None).to_pylist() == ["", "", ""]


def test_at_most_so_many_pairs_whatever_order_they_come_in():
    rng = np.random.default_rng(0)
    labels = {f"p{k}": f"i{k}" for k in range(40)}
    rows = [row(f"p{k}", f"p{j}", (k % 5, j % 3, 0, 0), n_query=20, n_gallery=20) for k in range(40) for j in range(k)]
    shuffled = [rows[k] for k in rng.permutation(len(rows))]
    null = learn_null(pairs_table(*rows), labels, 100)
    assert null.pooled.n_pairs == 100
    assert learn_null(pairs_table(*shuffled), labels, 100) == null
    assert learn_null(pairs_table(*rows), labels, 0).pooled is None


def test_scores_do_not_depend_on_the_order_of_the_rows():
    rows = [row("a", "b"), row("c", "b", (0, 2, 1, 0)), row("a", "a2", (0, 0, 3, 1)), row("u", "b", purpose="identify")]
    key = [("query_crop_id", "ascending"), ("gallery_crop_id", "ascending")]
    params = ScoreParams(name="wasserstein")
    one, other = (score(pairs_table(*order), LABELS, params).scores.sort_by(key) for order in (rows, rows[::-1]))
    assert one.equals(other)
    assert one["same_individual"].to_pylist() == [True, False, False, None]


@pytest.mark.parametrize("n_known", [1, 700, 1499])
def test_pairs_that_are_scored_already_are_not_held_against_the_null_again(n_known, monkeypatch):
    rng, names = np.random.default_rng(n_known), sorted(LABELS)
    rows = []
    for k in range(1500):
        histogram = rng.integers(0, 3, 64) * (rng.random(64) < 0.3)
        one = row(names[k % 5], f"{names[(k + 1 + k // 5) % 5]}", purpose="calibrate" if k % 2 else "identify")
        n = int(histogram.sum())
        rows.append(one | {
            "query_crop_id": f"{one['query_crop_id']}{k}", "confidence_histogram": histogram.tolist(), "n_matches": n,
            "confidence_sum": n * rng.uniform(0.2, 0.6), "n_keypoints_query": int(rng.integers(n + 1, 400)), "n_keypoints_gallery": int(rng.integers(n + 1, 400)),
        })  # fmt: skip
    pairs, params = pairs_table(*rows), ScoreParams(name="snorm")
    whole = score(pairs, LABELS, params)
    known = score(pairs.slice(0, n_known), LABELS, params, null=whole.null).scores
    known = known.take(pa.array(rng.permutation(n_known)))
    asked = []
    each = SCORES["wasserstein_2"]
    counting = replace(each, compute=lambda d: asked.append(len(d.n_matches)) or each.compute(d))
    monkeypatch.setattr(stage, "SCORES", {**dict(SCORES.items()), "wasserstein_2": counting})
    again = score(pairs, {**LABELS, "u": "Ada"}, params, null=whole.null, known=known).scores
    assert asked == [1500 - n_known]
    expected = score(pairs, {**LABELS, "u": "Ada"}, params, null=whole.null).scores
    assert again.equals(expected) and not np.isnan(again["energy"].to_numpy()).any()


def test_count_curve_by_hand():
    # log(S + 1) = 1 + 0.5 log(n0 n1) exactly, plus 0.1 on every other pair: residuals are +-0.05
    n = np.arange(20, 60)
    bump = 0.1 * (np.arange(40) % 2)
    sums = np.exp(1 + 0.5 * (np.log(n) + np.log(30)) + bump) - 1
    rows = [
        row("a", f"x{k}", (1, 0, 0, 0), n_query=int(n[k]), n_gallery=30) | {"confidence_sum": sums[k]}
        for k in range(40)
    ]
    labels = {"a": "Ada"} | {f"x{k}": f"i{k}" for k in range(40)}
    counts = learn_null(pairs_table(*rows), labels, 100).counts
    assert counts.residual_spread == pytest.approx(0.05, rel=0.03)
    middle = np.array([1 + 0.5 * np.log(40 * 30) + 0.05])
    one, other = (counts.residual(middle, np.array([a]), np.array([b])) for a, b in ((40, 30), (30, 40)))
    assert one == pytest.approx(0, abs=0.1) and one == other  # whoever asks


def test_scores_held_against_the_two_crops_own_cohorts_by_hand():
    null = Moments(mean=1.0, spread=0.5)
    labels = {"a": "Ada", "b": "Ben", "c": "Cleo", "u": None}
    table = pairs_table(
        row("u", "a", purpose="identify"), row("u", "b", purpose="identify"), row("b", "a"), row("c", "a")
    )
    got = Cohorts.of(table, labels).scores(np.array([3.0, 2.0, 1.5, 0.5]), null)

    # u against Ada: u's cohort is its pair with Ben (2), a's are the pairs with Ben (1.5) and Cleo (.5); twenty imagined pairs
    # of mean 1 and mean square 1.25 join each.
    def z(value, cohort):
        n, s, q = len(cohort) + 20, sum(cohort) + 20, sum(v * v for v in cohort) + 20 * 1.25
        return (value - s / n) / np.sqrt(q / n - (s / n) ** 2)

    assert got[0] == pytest.approx((z(3, [2]) + z(3, [1.5, 0.5])) / 2)
    assert got[1] == pytest.approx((z(2, [3]) + z(2, [1.5])) / 2)  # b met Ada's crop as a query
    assert got[2] == pytest.approx(
        (z(1.5, []) + z(1.5, [0.5])) / 2
    )  # Ben asks: his pairs with a do not judge themselves
    assert np.isnan(Cohorts.of(table, labels).scores(np.zeros(4), None)).all()
    own = pairs_table(row("a2", "a"), row("b", "a"))  # a pair of one animal is in nobody's cohort
    got = Cohorts.of(own, {"a": "Ada", "a2": "Ada", "b": "Ben"}).scores(np.array([9.0, 1.5]), null)
    assert got[1] == pytest.approx(z(1.5, []))
    turned = pairs_table(row("a", "b"), row("b", "a"), row("a", "c"))  # a and b ask for each other: one pair, not two
    got = Cohorts.of(turned, labels).scores(np.array([2.0, 2.0, 1.0]), null)
    assert got[2] == pytest.approx((z(1, [2]) + z(1, [])) / 2)


def test_inliers_of_strangers_by_hand_and_what_other_places_have_shown_where_there_are_none():
    assert learn_null(pairs_table(row("a", "u")), LABELS, 100).inliers == SHIPPED_INLIERS
    rows = [row("a", "b", inliers=k) for k in (0, 4)]  # the mean confidence of a pair is added
    mean_confidence = rows[0]["confidence_sum"] / np.sqrt(rows[0]["n_keypoints_query"] * rows[0]["n_keypoints_gallery"])
    values = [0 + mean_confidence, 4 + mean_confidence]
    n, past = SHIPPED_PAIRS, SHIPPED_INLIERS
    mean = (sum(values) + n * past.mean) / (n + 2)
    square = (sum(v * v for v in values) + n * (past.mean**2 + past.spread**2)) / (n + 2)
    found = learn_null(pairs_table(*rows), LABELS, 100).inliers
    assert found.mean == pytest.approx(mean) and found.spread == pytest.approx(np.sqrt(square - mean**2))


def test_graded_strangers_have_a_scale_of_their_own() -> None:
    """As many matches count for less where each is graded; a gallery without strangers takes what was measured for its kind."""
    unlabelled = row("a", "u") | {"agreement": 0.4}
    assert learn_null(pairs_table(unlabelled), LABELS, 100).inliers == SHIPPED_AGREEMENT
    graded = [row("a", "b", inliers=9) | {"agreement": given} for given in (0.1, 2.1)]
    mean_confidence = graded[0]["confidence_sum"] / np.sqrt(
        graded[0]["n_keypoints_query"] * graded[0]["n_keypoints_gallery"]
    )
    values, n, past = [0.1 + mean_confidence, 2.1 + mean_confidence], SHIPPED_PAIRS, SHIPPED_AGREEMENT
    mean = (sum(values) + n * past.mean) / (n + 2)
    square = (sum(v * v for v in values) + n * (past.mean**2 + past.spread**2)) / (n + 2)
    found = learn_null(pairs_table(*graded), LABELS, 100).inliers
    assert found.mean == pytest.approx(mean) and found.spread == pytest.approx(np.sqrt(square - mean**2))


def test_where_matches_are_graded_the_grades_rank_and_not_the_numbers() -> None:
    """Ben has fewer matches that agree than Ada, but they agree better."""
    asked = [
        row("u", "a", inliers=9, purpose="identify") | {"agreement": 2.5},
        row("u", "b", inliers=8, purpose="identify") | {"agreement": 6.0},
    ]
    for name in ("inliers", "snorm_inliers"):
        ada, ben = score(pairs_table(*asked), LABELS, ScoreParams(name=name)).scores["score"].to_pylist()
        assert ben > ada, name
    half = [asked[0], row("u", "b", inliers=8, purpose="identify")]
    with pytest.raises(BrokenCountError, match="1 of 2 scored pairs have no agreement"):
        score(pairs_table(*half), LABELS, ScoreParams(name="inliers"))


def test_a_gallery_photo_that_fits_everybody_loses_to_one_that_fits_the_query_alone():
    """The query has 9 inliers with Ada's photo and 8 with Ben's; but Ada's has as many with every stranger."""
    labels = {"ada": "Ada", "ben": "Ben"} | {f"s{k}": f"Stranger {k}" for k in range(8)}
    calibrate = [row(f"s{k}", "ada", inliers=8) for k in range(8)] + [row(f"s{k}", "ben", inliers=0) for k in range(8)]
    asked = [row("u", "ada", inliers=9, purpose="identify"), row("u", "ben", inliers=8, purpose="identify")]
    table = pairs_table(*calibrate, *asked)
    plain = score(table, labels, ScoreParams(name="inliers")).scores["score"].to_pylist()[-2:]
    held = score(table, labels, ScoreParams(name="snorm_inliers")).scores["score"].to_pylist()[-2:]
    assert plain[0] > plain[1] and held[0] < held[1]


def test_a_query_whose_animal_is_known_is_held_against_others_as_if_its_own_were_not_there():
    table = pairs_table(row("u", "b", purpose="identify"), row("u", "c", purpose="identify"))
    more = pairs_table(*table.to_pylist(), row("u", "a", purpose="identify"))
    null, x = Moments(1.0, 0.5), np.array([3.0, 2.0, 20.0])
    without = Cohorts.of(table, LABELS).scores(x[:2], null)
    told = Cohorts.of(more, LABELS | {"u": "Ada"}).scores(x, null)
    hidden = Cohorts.of(more, LABELS).scores(x, null)
    assert told[:2] == pytest.approx(without) and (abs(hidden[:2] - without) > 0.1).all()


def test_the_first_two_animals_of_a_gallery_are_ranked_too():
    """No pair of strangers yet: the order is that of the plain inliers."""
    labels = {"a": "Ada", "b": "Ben"}
    asked = [row("u", "a", inliers=3, purpose="identify"), row("u", "b", inliers=7, purpose="identify")]
    one, other = score(pairs_table(*asked), labels, ScoreParams(name="snorm_inliers")).scores["score"].to_pylist()
    assert np.isfinite([one, other]).all() and one < other
