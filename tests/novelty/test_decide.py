"""Posterior and verdicts, with likelihood ratios that can be read off: with intercept 0, slope 1 and no epsilon LR = score."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from resight.novelty.decide import NOVELTY_SCHEMA, decide, listed, posterior
from resight.novelty.identity_log import provisional_id
from resight.novelty.model import NoveltyModel
from resight.novelty.params import NoveltyParams
from resight.rank.stage import RANK_SCHEMA
from resight.store.tables import conform

MAXIMA = tuple(float(k) for k in range(1, 20))  # 19 animals: 5 % can be kept
MODEL = NoveltyModel(
    "logistic", MAXIMA, tuple(f"x{k}" for k in range(19)), 4.0, 0.0, 0.0, 1.0, (np.log(1e-6), np.log(1e6))
)
GALLERY = ["Ada", "Ben", "Cleo", "Dot"]
PARAMS = NoveltyParams()  # alpha .05, prior_new .2, limits .8


def ranked_table(encounters):
    """{encounter: {individual: score}} with one photo each, ranked at both levels."""
    rows = []
    for level in ("encounter", "photo"):
        for e, scores in encounters.items():
            for k, (individual, score) in enumerate(sorted(scores.items(), key=lambda one: -one[1])):
                plain = dict.fromkeys(RANK_SCHEMA.names, "-") | {"level": level, "encounter_id": e, "rank": k + 1}
                plain |= {"query_id": e if level == "encounter" else f"photo-{e}", "individual_id": individual}
                rows.append(
                    plain
                    | {
                        "score": float(score),
                        "probability": None,
                        "in_candidate_set": None,
                        "n_photos": 1,
                        "n_pairs": 1,
                    }
                )
    return pa.Table.from_pylist(rows, schema=RANK_SCHEMA)


def queries(*encounters, photos=1):
    rows = [{"photo_id": f"photo-{e}" + "'" * k, "encounter_id": e} for e in encounters for k in range(photos)]
    return pa.Table.from_pylist(rows, schema=pa.schema([("photo_id", pa.string()), ("encounter_id", pa.string())]))


def verdict(scores, model=MODEL, gallery=GALLERY, params=PARAMS, **more):
    return decide(ranked_table({"E": scores}), queries("E"), gallery, model, params, **more).novelty.to_pylist()[0]


def test_a_probability_that_other_places_have_given_says_so():
    young = dataclasses.replace(MODEL, shipped_share=0.8, n_genuine=1)
    told = "rests mostly on other places: 1 encounter here met a known animal again."
    assert verdict({"Ada": 30, "Ben": 2}, young)["evidence"].endswith(told)
    grown = dataclasses.replace(MODEL, shipped_share=0.5, n_genuine=4)
    assert "other places" not in verdict({"Ada": 30, "Ben": 2}, grown)["evidence"]


def test_posterior_by_hand():
    # weights .8 / 4 * (30, 2, 1, 1) = 6, .4, .2, .2 and .2 for new: 7 in all
    each, new, hidden = posterior(np.array([30.0, 2, 1, 1]), 4, MODEL, 0.2)
    np.testing.assert_allclose(each, np.array([6, 0.4, 0.2, 0.2]) / 7)
    assert (new, hidden) == pytest.approx((0.2 / 7, 0.0))


def test_animals_that_could_not_be_compared_keep_their_prior():
    # 4 animals, one compared with LR .01: .002; three others with LR 1: .6; new .2: .802 in all
    each, new, hidden = posterior(np.array([0.01]), 4, MODEL, 0.2)
    np.testing.assert_allclose([each[0], new, hidden], np.array([0.002, 0.2, 0.6]) / 0.802)
    assert verdict({"Ada": 0.01})["decision"] == "unsure"  # most of the gallery was not looked at
    assert verdict({"Ada": 0.01}, gallery=["Ada"])["decision"] == "new"


@pytest.mark.parametrize("scores", [[1e-9], [1e-300, 3, 7.5], [1e300, 1e-300], list(range(1, 501))])
def test_posterior_sums_to_one(scores):
    each, new, hidden = posterior(np.array(scores, float), max(3, len(scores)), MODEL, 0.2)
    assert each.sum() + new + hidden == pytest.approx(1.0, abs=1e-12)
    assert each.min() >= 0 and new > 0


def test_posterior_is_monotone_and_does_not_care_about_order():
    scores = np.array([3.0, 8.0, 1.0])
    each, new, _ = posterior(scores, 5, MODEL, 0.2)
    raised, less_new, _ = posterior(scores + np.array([0, 1, 0]), 5, MODEL, 0.2)
    assert raised[1] > each[1] and less_new < new and (raised[[0, 2]] < each[[0, 2]]).all()
    np.testing.assert_allclose(posterior(scores[[2, 0, 1]], 5, MODEL, 0.2)[0], each[[2, 0, 1]], rtol=1e-12)


def test_known_by_hand():
    row = verdict({"Ada": 30, "Ben": 2, "Cleo": 1, "Dot": 1}, truth={"E": "Ada"})
    assert (row["decision"], row["individual_id"], row["n_calibration"]) == ("known", "Ada", 19)
    assert (row["probability"], row["p_new"], row["p_value"]) == pytest.approx((6 / 7, 0.2 / 7, 1 / 20))
    assert row["threshold"] == np.nextafter(19.0, 20)
    assert row["provisional_individual_id"] is None and row["true_individual_id"] == "Ada"
    assert row["evidence"] == "Best match Ada with score 30; none of 19 animals known to be different reached that."


def test_probability_alone_is_not_enough():
    # .8 / 4 * 18 = 3.6 of 3.6 + .02 * 3 + .2: p(Ada) = .93, but two of 19 impostors reach 18: p = 3 / 20
    row = verdict({"Ada": 18, "Ben": 0.1, "Cleo": 0.1, "Dot": 0.1})
    assert row["probability"] > 0.9 and row["p_value"] == pytest.approx(3 / 20)
    assert row["decision"] == "unsure" and row["provisional_individual_id"] == provisional_id("E")
    assert "2 of 19 animals" in row["evidence"]


def test_new_by_hand():
    # .8 / 4 * (.02 + 3 * .01) = .01 against .2: p_new = 20 / 21
    row = verdict({"Ada": 0.02, "Ben": 0.01, "Cleo": 0.01, "Dot": 0.01})
    assert (row["decision"], row["p_new"], row["p_value"]) == ("new", pytest.approx(20 / 21), 1.0)
    assert row["provisional_individual_id"] == provisional_id("E") and len(provisional_id("E")) == len("new-01234567")
    assert row["evidence"].startswith("No animal in the gallery fits well. Best match Ada")


def test_with_too_few_animals_for_the_promise_it_is_unsure_and_says_how_many_it_takes():
    few = NoveltyModel("logistic", (1.0, 25.0, 3.0), ("x", "y", "z"), 4.0, 0.0, 0.0, 1.0, (-9.0, 9.0))
    row = verdict({"Ada": 26, "Ben": 0.1, "Cleo": 0.1, "Dot": 0.1}, few)
    assert (row["decision"], row["p_value"], row["threshold"], row["n_needed"]) == ("unsure", 0.25, None, 19)
    assert (
        row["probability"] >= PARAMS.decide_known and "cannot be guaranteed (at least 19 are needed" in row["evidence"]
    )
    assert verdict({"Ada": 26, "Ben": 0.1}, few, params=NoveltyParams(alpha=0.25))["decision"] == "known"


def test_on_request_a_score_above_them_all_is_known_without_a_promise_and_the_limit_is_said():
    PARAMS = NoveltyParams(without_guarantee="name")
    few = NoveltyModel("logistic", (1.0, 25.0, 3.0), ("x", "y", "z"), 4.0, 0.0, 0.0, 1.0, (-9.0, 9.0))
    assert verdict({"Ada": 24, "Ben": 0.1, "Cleo": 0.1, "Dot": 0.1}, few, params=PARAMS)["decision"] == "unsure"
    row = verdict({"Ada": 26, "Ben": 0.1, "Cleo": 0.1, "Dot": 0.1}, few, params=PARAMS)
    assert (row["decision"], row["p_value"], row["threshold"]) == ("known", 0.25, None)
    assert "cannot be guaranteed (at least 19 are needed" in row["evidence"]


def test_with_fewer_than_three_animals_nothing_is_decided():
    row = verdict({"Ada": 99.0}, NoveltyModel("none", (1.0, 2.0), ("x", "y"), 1.0))
    assert (row["decision"], row["p_new"], row["probability"], row["method"]) == ("unsure", None, None, "none")
    assert row["p_value"] == pytest.approx(1 / 3)
    assert "only 2 animals" in row["evidence"] and "3 are needed" in row["evidence"]
    row = verdict({"Ada": 99.0}, NoveltyModel("none"))
    assert row["p_value"] is None and row["threshold"] is None and row["n_calibration"] == 0


def test_not_compared():
    got = decide(ranked_table({"E": {"Ada": 30}}), queries("E", "F", photos=2), GALLERY, MODEL, PARAMS)
    e, f = got.novelty.to_pylist()
    assert (e["n_photos"], e["n_photos_compared"], e["status"]) == (2, 1, "ok")
    assert (f["decision"], f["n_photos"], f["n_photos_compared"], f["status"]) == ("not_compared", 2, 0, "not_compared")
    assert f["individual_id"] is None and f["p_new"] is None and f["provisional_individual_id"] is None
    assert f["evidence"].startswith("None of its 2 photos could be compared")
    assert "3 of 4 animals in the gallery have no photo" in e["evidence"]
    assert conform("novelty", got.novelty, "r").num_rows == 2


def test_probabilities_go_to_the_encounter_rows_and_sum_to_one_with_p_new():
    ranked = ranked_table(
        {"E": {"Ada": 9, "Ben": 4, "Cleo": 1, "Dot": 2}, "F": {"Ada": 1, "Ben": 1, "Cleo": 1, "Dot": 8}}
    )
    got = decide(ranked, queries("E", "F"), GALLERY, MODEL, PARAMS)
    for row in got.novelty.to_pylist():
        mine = [r for r in got.ranked.to_pylist() if r["query_id"] == row["encounter_id"] and r["level"] == "encounter"]
        assert sum(r["probability"] for r in mine) + row["p_new"] == pytest.approx(1.0, abs=1e-12)
        assert mine[0]["probability"] == row["probability"]
    assert all(r["probability"] is None for r in got.ranked.to_pylist() if r["level"] == "photo")


def test_a_deleted_animal_is_gone_from_ranks_gallery_and_yardstick():
    model = NoveltyModel(
        "logistic", (1.0, 2.0, 3.0, 4.0), ("Ada", "Ben", "Cleo", "Dot"), 3.0, 0.0, 0.0, 1.0, (-9.0, 9.0)
    )
    ranked = ranked_table({"E": {"Ada": 9, "Ben": 4, "Cleo": 1, "Dot": 2}, "F": {"Ada": 9}})
    got = decide(ranked, queries("E", "F"), GALLERY, model, PARAMS, deleted={"E": "Ada", "F": "Ada"})
    e, f = got.novelty.to_pylist()
    # .8 / 3 * (4 + 2 + 1) + .2 = 6.2 / 3
    assert (e["individual_id"], e["n_calibration"], e["p_new"]) == ("Ben", 3, pytest.approx(0.2 * 3 / 6.2))
    assert [r["rank"] for r in got.ranked.to_pylist() if r["query_id"] == "E"] == [1, 2, 3]
    assert f["decision"] == "not_compared" and "Ada" not in got.ranked["individual_id"].to_pylist()


def test_order_of_rows_does_not_matter():
    ranked = ranked_table({"E": {"Ada": 9, "Ben": 4, "Cleo": 1}, "F": {"Dot": 5}, "G": {"Ada": 2}})
    turned = ranked.take(pa.array(range(ranked.num_rows - 1, -1, -1)))
    asked = queries("G", "F", "E")
    one, other = (decide(r, asked, GALLERY, MODEL, PARAMS).novelty for r in (ranked, turned))
    assert one.equals(other) and one["encounter_id"].to_pylist() == ["E", "F", "G"]


def test_nothing_to_judge():
    got = decide(ranked_table({}), queries(), GALLERY, MODEL, PARAMS)
    assert got.novelty.num_rows == 0 and got.novelty.schema.equals(NOVELTY_SCHEMA) and got.ranked.num_rows == 0


def test_candidate_set_by_hand():
    # Genuine scores: Ada 4 and 8 (half a vote each), Ben 2, Cleo never compared. s = 1: only Cleo's is below: (1 + 1) / 4;
    # s = 5: Cleo, Ben and half of Ada: (1 + 2.5) / 4. Coverage .75 asks for more than .25: all; with .5 more than .5.
    model = NoveltyModel(
        "logistic", genuine=(4.0, 8.0, 2.0, -np.inf), genuine_individuals=("Ada", "Ada", "Ben", "Cleo")
    )
    assert model.in_candidate_set(np.array([1.0, 2.0, 5.0]), 0.75).tolist() == [True, True, True]
    assert model.in_candidate_set(np.array([1.0, 2.0, 5.0]), 0.5).tolist() == [False, True, True]
    # three animals can promise no more than 3 / 4, whatever is wanted; one can promise nothing
    assert model.coverage(0.9) == 0.75 and model.coverage(0.6) == 0.6
    assert model.without("Ada").coverage(0.9) == pytest.approx(2 / 3)
    assert model.without("Ada").without("Ben").coverage(0.9) is None


def test_candidate_sets_keep_their_promise_on_animals_that_were_not_seen():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(600):
        level = rng.normal(size=20)  # an animal's encounters are alike: animals, not encounters, are exchangeable
        own = [(s, f"i{k}") for k in range(19) for s in level[k] + rng.normal(size=1 + k % 4)]
        model = NoveltyModel("logistic", genuine=tuple(s for s, _ in own), genuine_individuals=tuple(i for _, i in own))
        held += model.in_candidate_set(np.array([level[19] + rng.normal()]), 0.8)[0]
    assert 0.78 < held / 600 < 0.90


def test_candidate_set_of_a_verdict():
    model = NoveltyModel(
        "logistic", MAXIMA, tuple(f"x{k}" for k in range(19)), 4.0, 0.0, 0.0, 1.0, (-9.0, 9.0),
        genuine=(20.0, 30.0), genuine_individuals=("Ada", "Ben"),
    )  # fmt: skip
    got = decide(ranked_table({"E": {"Ada": 25, "Ben": 10}}), queries("E"), GALLERY, model, PARAMS)
    assert got.novelty["candidate_set_coverage"].to_pylist() == [pytest.approx(2 / 3)]
    sets = {(r["level"], r["individual_id"]): r["in_candidate_set"] for r in got.ranked.to_pylist()}
    # 25: (1 + 1) / 3 > 1 / 3; 10: 1 / 3 is not; a photo alone has no set
    assert sets["encounter", "Ada"] is True and sets["encounter", "Ben"] is False and sets["photo", "Ada"] is None


def test_listed_candidates_new_and_all_others_sum_to_one():
    verdicts = decide(ranked_table({"E": {"Ada": 3, "Ben": 2, "Cleo": 1}}), queries("E"), GALLERY, MODEL, PARAMS)
    shown = listed(verdicts, 1)
    row = shown.novelty.to_pylist()[0]
    # weights .2 * (3, 2, 1), .2 for Dot who was not compared, .2 for new: others are Ben, Cleo and Dot
    assert row["p_other"] == pytest.approx((2 + 1 + 1) / 8)
    assert sum(shown.ranked["probability"].to_pylist()[:1]) + row["p_new"] + row["p_other"] == pytest.approx(
        1, abs=1e-12
    )
