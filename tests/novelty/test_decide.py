"""Posterior and verdicts, with likelihood ratios that can be read off: with intercept 0, slope 1 and no epsilon LR = score."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from resight.decisions.names import provisional_id
from resight.novelty.decide import NOVELTY_SCHEMA, decide, listed, posterior
from resight.novelty.model import NoveltyModel
from resight.novelty.params import NoveltyParams
from resight.novelty.yardstick import Yardstick
from resight.rank.levels import LEVEL_SCHEMA, Seen
from resight.rank.stage import RANK_SCHEMA
from resight.store.tables import conform


def levels(maxima, names=None):
    """Impostor maxima of encounters of one photo each."""
    names = names or [f"x{k}" for k in range(len(maxima))]
    return Yardstick(tuple((f"e{k}", name, 1, m) for k, (name, m) in enumerate(zip(names, maxima, strict=True))))


def model(maxima, names=None, n_animals=4.0, limits=(np.log(1e-6), np.log(1e6)), **more):
    """With the likelihood ratio equal to the score."""
    return NoveltyModel("logistic", levels(maxima, names), n_animals, 0.0, 0.0, 1.0, limits, **more)


MODEL = model([float(k) for k in range(1, 40)])  # 39 animals: 5 % can be kept, whoever is best
GALLERY = ["Ada", "Ben", "Cleo", "Dot"]
PARAMS = NoveltyParams()  # alpha .05, prior_new .2, limits .8


def ranked_table(encounters, pairs=None):
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
                        "n_pairs": (pairs or {}).get(individual, 1),
                    }
                )
    return pa.Table.from_pylist(rows, schema=RANK_SCHEMA)


def queries(*encounters, photos=1):
    rows = [{"photo_id": f"photo-{e}" + "'" * k, "encounter_id": e} for e in encounters for k in range(photos)]
    return pa.Table.from_pylist(rows, schema=pa.schema([("photo_id", pa.string()), ("encounter_id", pa.string())]))


def seen(encounters):
    """Each encounter has one photo."""
    rows = [(e, 1, name, float(score)) for e, scores in encounters.items() for name, score in scores.items()]
    columns = list(zip(*rows, strict=True)) or [[], [], [], []]
    return Seen(
        pa.table([pa.array(c, f.type) for c, f in zip(columns, LEVEL_SCHEMA, strict=True)], schema=LEVEL_SCHEMA),
        LEVEL_SCHEMA.empty_table(),
    )


def judge(encounters, asked, model=MODEL, gallery=GALLERY, params=PARAMS, **more):
    pairs = more.pop("pairs", None)
    return decide(ranked_table(encounters, pairs), asked, gallery, model, params, seen(encounters), **more)


def verdict(scores, model=MODEL, gallery=GALLERY, params=PARAMS, **more):
    return judge({"E": scores}, queries("E"), model, gallery, params, **more).novelty.to_pylist()[0]


def test_a_probability_that_was_measured_elsewhere_says_so():
    scores = {"Ada": 30, "Ben": 2}
    young = dataclasses.replace(MODEL, shipped_share=0.8, n_months=1)
    told = "What a score means, and how often a match is missed, rests mostly on what was measured elsewhere."
    assert verdict(scores, young)["evidence"].endswith(told)
    grown = dataclasses.replace(MODEL, shipped_share=0.3, n_months=5)
    assert verdict(scores, grown)["evidence"].endswith("how often a match is missed on the animals here.")
    assert "elsewhere" not in verdict(scores, MODEL)["evidence"]


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


def test_being_left_out_by_the_shortlist_speaks_against_an_animal_and_being_listed_for_it():
    # 10 animals, 2 compared, 6 left out, 2 without a photo of that side. A share of .9 of the 8 that could be compared goes to the 2: 3.6 each,
    # .8 to the 6. So .08 * 3.6 * (30, 1) = 8.64, .288; others .08 * (2 + .8) = .224; new .2: 9.352 in all
    kept = dataclasses.replace(MODEL, kept=0.9)
    each, new, hidden = posterior(np.array([30.0, 1]), 10, kept, 0.2, n_left_out=6)
    np.testing.assert_allclose([*each, new, hidden], np.array([8.64, 0.288, 0.2, 0.224]) / 9.352)
    animals = [f"x{k}" for k in range(10)]
    cut = dataclasses.replace(seen({"E": {"x0": 30, "x1": 1}}), left_out={"E": frozenset(animals[2:8])})
    row = decide(
        ranked_table({"E": {"x0": 30, "x1": 1}}), queries("E"), animals, kept, PARAMS, cut
    ).novelty.to_pylist()[0]
    assert row["probability"] == pytest.approx(8.64 / 9.352)
    assert (
        "The shortlist left out 6 of 10 animals in the gallery. 2 of 10 animals in the gallery have no photo"
        in row["evidence"]
    )


def test_a_stranger_can_be_new_although_the_shortlist_left_most_of_the_gallery_out():
    animals = [f"x{k}" for k in range(100)]
    scores = {"E": {"x0": 0.01, "x1": 0.01}}
    cut = dataclasses.replace(seen(scores), left_out={"E": frozenset(animals[2:])})
    listed_well = dataclasses.replace(MODEL, kept=0.98)
    row = decide(ranked_table(scores), queries("E"), animals, listed_well, PARAMS, cut).novelty.to_pylist()[0]
    # .8 * (.98 * .01 + .02) = .02384 against .2
    assert row["p_new"] == pytest.approx(0.2 / 0.22384) and row["decision"] == "new"
    assert listed_well.most_new(0.2, True) < listed_well.most_new(0.2)
    seldom = dataclasses.replace(MODEL, kept=0.5)
    said = decide(ranked_table(scores), queries("E"), animals, seldom, PARAMS, cut).novelty.to_pylist()[0]["evidence"]
    assert "a shortlist that lists the right animal 50% of the time allow a probability of 0.33 at most" in said


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
    row = verdict({"Ada": 40, "Ben": 2, "Cleo": 1, "Dot": 1}, truth={"E": "Ada"})
    # weights .2 * (40, 2, 1, 1) and .2: 9 in all
    assert (row["decision"], row["individual_id"], row["n_calibration"]) == ("known", "Ada", 39)
    assert (row["probability"], row["p_new"], row["p_value"]) == pytest.approx((8 / 9, 0.2 / 9, 1 / 40))
    assert row["threshold"] == np.nextafter(38.0, 39)  # above 38 there is one animal: (1 + 1) / 40
    assert row["provisional_individual_id"] is None and row["true_individual_id"] == "Ada"
    assert row["evidence"] == "Best match Ada with score 40; none of 39 animals known to be different reached that."


def test_probability_alone_is_not_enough():
    # .8 / 4 * 38 = 7.6 of 7.6 + .02 * 3 + .2: p(Ada) = .97, but two of 39 impostors reach 38: p = 3 / 40
    row = verdict({"Ada": 38, "Ben": 0.1, "Cleo": 0.1, "Dot": 0.1})
    assert row["probability"] > 0.9 and row["p_value"] == pytest.approx(3 / 40)
    assert row["decision"] == "unsure" and row["provisional_individual_id"] == provisional_id("E")
    assert "2 of 39 animals" in row["evidence"] and "a share of 0.075 would match as well" in row["evidence"]


def test_new_by_hand():
    # .8 / 4 * (.02 + 3 * .01) = .01 against .2: p_new = 20 / 21
    row = verdict({"Ada": 0.02, "Ben": 0.01, "Cleo": 0.01, "Dot": 0.01})
    assert (row["decision"], row["p_new"], row["p_value"]) == ("new", pytest.approx(20 / 21), 1.0)
    assert row["provisional_individual_id"] == provisional_id("E") and len(provisional_id("E")) == len("new-01234567")
    assert row["evidence"].startswith("No animal in the gallery fits well. Best match Ada")


def test_with_too_few_animals_for_the_promise_it_is_likely_and_says_how_many_it_takes():
    few = model([1.0, 25.0, 3.0], limits=(-9.0, 9.0))
    row = verdict({"Ada": 26, "Ben": 0.1, "Cleo": 0.1, "Dot": 0.1}, few)
    assert (row["decision"], row["p_value"], row["threshold"], row["n_needed"]) == ("likely", 0.25, None, 39)
    assert row["provisional_individual_id"] is None and row["probability"] >= PARAMS.decide_known
    assert (
        "Please confirm: that at most 0.05 of new animals get a wrong name can be guaranteed from 39" in row["evidence"]
    )
    # with a limit that three animals can keep the same score is known
    assert verdict({"Ada": 26, "Ben": 0.1}, few, params=NoveltyParams(alpha=0.25))["decision"] == "known"
    # if Ada is one of the three, she counts herself: (1 + 1) / 4
    own = model([1.0, 25.0, 3.0], ["Ada", "x", "y"], limits=(-9.0, 9.0))
    row = verdict({"Ada": 26, "Ben": 0.1}, own, params=NoveltyParams(alpha=0.25))
    assert (row["decision"], row["p_value"]) == ("likely", 0.5)


def test_new_is_likely_new_where_it_rests_on_other_places():
    scores = {"Ada": 0.02, "Ben": 0.01, "Cleo": 0.01, "Dot": 0.01}
    assert verdict(scores, dataclasses.replace(MODEL, shipped_share=0.8))["decision"] == "likely_new"
    assert verdict(scores, dataclasses.replace(MODEL, shipped_share=0.3))["decision"] == "new"


def test_where_no_match_can_be_poor_enough_for_new_it_is_said():
    # the ratio never falls below e^-2: .2 / (.2 + .8 * e^-2) = .65
    cautious = dataclasses.replace(MODEL, log_ratio_range=(-2.0, 5.0))
    row = verdict({"Ada": 0.02, "Ben": 0.01, "Cleo": 0.01, "Dot": 0.01}, cautious)
    assert row["decision"] == "unsure" and row["p_new"] == pytest.approx(0.2 / (0.2 + 0.8 * np.exp(-2)))
    assert "no match can be poor enough to say so yet" in row["evidence"] and "0.65 at most" in row["evidence"]
    missed = dataclasses.replace(
        MODEL, missed=0.25, n_months=6
    )  # .2 / (.2 + .8 * .25) = .5, however often animals are met
    row = verdict({"Ada": 1e-9, "Ben": 1e-9, "Cleo": 1e-9, "Dot": 1e-9}, missed)
    assert row["decision"] == "unsure" and row["p_new"] == pytest.approx(0.5, abs=1e-4)
    assert (
        "25% of known animals match nothing, as 6 animals met again" in row["evidence"]
        and "0.5 at most" in row["evidence"]
    )


def test_the_best_of_many_pairs_is_believed_less():
    crowded = dataclasses.replace(MODEL, missed=0.1, crowding=0.5)
    scores = {"Ada": 30, "Ben": 2, "Cleo": 2, "Dot": 2}
    few, many = (verdict(scores, crowded, pairs={"Ada": n})["probability"] for n in (1, 100))
    assert few > many + 0.1
    row = verdict({"Ada": 30, "Ben": 29, "Cleo": 2, "Dot": 2}, crowded, pairs={"Ada": 1000})
    assert row["individual_id"] == "Ben" and row["decision"] != "known"
    assert "Best match Ben with score 29. The highest score is with Ada" in row["evidence"]


def test_with_fewer_than_three_animals_nothing_is_decided():
    row = verdict({"Ada": 99.0}, NoveltyModel("none", levels([1.0, 2.0]), 1.0))
    assert (row["decision"], row["p_new"], row["probability"], row["method"]) == ("unsure", None, None, "none")
    assert row["p_value"] == pytest.approx(1 / 3)
    assert "only 2 animals" in row["evidence"] and "3 are needed" in row["evidence"]
    row = verdict({"Ada": 99.0}, NoveltyModel("none"))
    assert row["p_value"] is None and row["threshold"] is None and row["n_calibration"] == 0


def test_not_compared():
    got = judge({"E": {"Ada": 30}}, queries("E", "F", photos=2))
    e, f = got.novelty.to_pylist()
    assert (e["n_photos"], e["n_photos_compared"], e["status"]) == (2, 1, "ok")
    assert (f["decision"], f["n_photos"], f["n_photos_compared"], f["status"]) == ("not_compared", 2, 0, "not_compared")
    assert f["individual_id"] is None and f["p_new"] is None and f["provisional_individual_id"] is None
    assert f["evidence"].startswith("None of its 2 photos could be compared")
    assert "3 of 4 animals in the gallery have no photo" in e["evidence"]
    assert conform("novelty", got.novelty, "r").num_rows == 2


def test_probabilities_go_to_the_encounter_rows_and_sum_to_one_with_p_new():
    scores = {"E": {"Ada": 9, "Ben": 4, "Cleo": 1, "Dot": 2}, "F": {"Ada": 1, "Ben": 1, "Cleo": 1, "Dot": 8}}
    got = judge(scores, queries("E", "F"))
    for row in got.novelty.to_pylist():
        mine = [r for r in got.ranked.to_pylist() if r["query_id"] == row["encounter_id"] and r["level"] == "encounter"]
        assert sum(r["probability"] for r in mine) + row["p_new"] == pytest.approx(1.0, abs=1e-12)
        assert mine[0]["probability"] == row["probability"]
    assert all(r["probability"] is None for r in got.ranked.to_pylist() if r["level"] == "photo")


def test_a_deleted_animal_is_gone_from_ranks_gallery_and_yardstick():
    of_four = model([1.0, 2.0, 3.0, 4.0], ["Ada", "Ben", "Cleo", "Dot"], 3.0, (-9.0, 9.0))
    scores = {"E": {"Ada": 9, "Ben": 4, "Cleo": 1, "Dot": 2}, "F": {"Ada": 9}}
    got = judge(scores, queries("E", "F"), of_four, deleted={"E": "Ada", "F": "Ada"})
    e, f = got.novelty.to_pylist()
    # .8 / 3 * (4 + 2 + 1) + .2 = 6.2 / 3
    assert (e["individual_id"], e["n_calibration"], e["p_new"]) == ("Ben", 3, pytest.approx(0.2 * 3 / 6.2))
    assert [r["rank"] for r in got.ranked.to_pylist() if r["query_id"] == "E"] == [1, 2, 3]
    assert f["decision"] == "not_compared" and "Ada" not in got.ranked["individual_id"].to_pylist()


def test_order_of_rows_does_not_matter():
    ranked = ranked_table({"E": {"Ada": 9, "Ben": 4, "Cleo": 1}, "F": {"Dot": 5}, "G": {"Ada": 2}})
    turned = ranked.take(pa.array(range(ranked.num_rows - 1, -1, -1)))
    asked = queries("G", "F", "E")
    shown = seen({"E": {"Ada": 9, "Ben": 4, "Cleo": 1}, "F": {"Dot": 5}, "G": {"Ada": 2}})
    one, other = (decide(r, asked, GALLERY, MODEL, PARAMS, shown).novelty for r in (ranked, turned))
    assert one.equals(other) and one["encounter_id"].to_pylist() == ["E", "F", "G"]


def test_nothing_to_judge():
    got = judge({}, queries())
    assert got.novelty.num_rows == 0 and got.novelty.schema.equals(NOVELTY_SCHEMA) and got.ranked.num_rows == 0


def test_listed_candidates_new_and_all_others_sum_to_one():
    verdicts = judge({"E": {"Ada": 3, "Ben": 2, "Cleo": 1}}, queries("E"))
    shown = listed(verdicts, 1)
    row = shown.novelty.to_pylist()[0]
    # weights .2 * (3, 2, 1), .2 for Dot who was not compared, .2 for new: others are Ben, Cleo and Dot
    assert row["p_other"] == pytest.approx((2 + 1 + 1) / 8)
    assert sum(shown.ranked["probability"].to_pylist()[:1]) + row["p_new"] + row["p_other"] == pytest.approx(
        1, abs=1e-12
    )
