"""Every metric of the table ``accuracy`` against cases small enough for paper."""

import math

import numpy as np
import pytest
from evaluate_helpers import CONTEXT, new, outcome, photo, table, values

from resight.evaluate.accuracy import Context, accuracy_rows, headline
from resight.evaluate.metrics import calibration_error_by_chance
from resight.evaluate.specs import mixture
from resight.store.tables import conform


def measured(*rows, context=CONTEXT):
    return accuracy_rows(table(list(rows)), context)


PHOTOS = [
    photo("p", "Ada", 1, visibility="good", days_between=20, average_precision=5 / 6),
    photo("q", "Ada", 2, visibility="poor", days_between=20, average_precision=7 / 12),
    photo("r", "Ben", 1, viewpoint="top", visibility="good", days_between=4000, n_gallery_photos=1),
    photo("s", "Cleo", None, n_gallery_photos=9, average_precision=0.0),
]


def test_closed_set_by_hand():
    # ranks 1, 2, 1, not comparable
    found = values(measured(*PHOTOS, photo("t", "Zoe", None, known=False)))
    assert found["top1_photo", "all"] == pytest.approx(2 / 4)
    assert found["top3_photo", "all"] == found["top5_photo", "all"] == pytest.approx(3 / 4)
    assert found["map_photo", "all"] == pytest.approx((5 / 6 + 7 / 12 + 1 + 0) / 4)
    assert found["n_queries_without_comparable_gallery", "all"] == 1
    assert found["n_queries_without_gallery_animal", "all"] == 1
    assert found["n_gallery_individuals", "all"] == 3


def test_strata_by_hand():
    found = values(measured(*PHOTOS))
    assert found["top1_photo", "viewpoint=left"] == pytest.approx(1 / 3) and found["top1_photo", "viewpoint=top"] == 1
    assert found["top1_photo", "visibility=good"] == 1.0 and found["top1_photo", "visibility=poor"] == 0.0
    assert found["top1_photo", "days_between=1-30"] == 0.5 and found["top1_photo", "days_between=1826+"] == 1.0
    assert found["top1_photo", "days_between=unknown"] == 0.0
    assert found["top1_photo", "gallery_photos=1"] == 1.0 and found["top1_photo", "gallery_photos=2-3"] == 0.5
    assert found["top1_photo", "gallery_photos=8-15"] == 0.0


def test_a_gallery_of_two_by_hand():
    # Of three animals two stay, one of them the right one: p and r stay first; q, beaten by one of two others, is first in
    # half of the galleries; s is never found: (1 + 1/2 + 1 + 0) / 4
    assert values(measured(*PHOTOS))["top1_photo", "gallery_size=2"] == pytest.approx(2.5 / 4)


def test_shortlist_recall_by_hand():
    rows = [
        photo("a", "Ada", n_right_scored=1, n_right_cut=3), photo("b", "Ben", None, n_right_scored=0, n_right_cut=2),
        photo("c", "Cleo", None, n_right_scored=0, n_right_cut=0), photo("d", "Ada", n_right_scored=4),
    ]  # fmt: skip
    # c has nothing that could have survived; of the other three b lost all: 2 / 3
    assert values(measured(*rows))["shortlist_recall_photo", "all"] == pytest.approx(2 / 3)
    nothing_cut = {r["metric"]: r for r in measured(*PHOTOS)}["shortlist_recall_photo"]
    assert nothing_cut["value"] is None and "no shortlist" in nothing_cut["missing_because"]


NOVEL = [
    outcome("E", "Ada", 1, novelty=0.1, p_new=0.1, decision="known", probability=0.85),
    outcome("F", "Ada", 1, novelty=0.6, p_new=0.6, decision="unsure", probability=0.35),
    outcome("G", "Ben", 2, novelty=0.2, p_new=0.2, decision="known", probability=0.75),
    new("E", "Ada", novelty=0.9, p_new=0.9, decision="new", probability=0.05),
    new("F", "Ada", novelty=0.6, p_new=0.6, decision="unsure", probability=0.25),
    new("G", "Ben", novelty=0.15, p_new=0.15, decision="known", probability=0.8),
    outcome("H", "Zoe", None, known=False, correct=False, novelty=0.7, p_new=0.7, decision="new", probability=0.2),
]


def test_novelty_by_hand():
    found = values(measured(*NOVEL))
    # .9 beats .1 .6 .2; .6 beats .1 .2 and ties .6; .15 beats .1; .7 beats all three: 3 + 2.5 + 1 + 3 of 12
    assert found["novelty_auroc", "all"] == pytest.approx(9.5 / 12)
    # known right: E .1, G .2, not F; new right: E' .9, F' .6, H .7, not G': 5 of 7
    assert found["novelty_accuracy", "all"] == pytest.approx(5 / 7)
    # Ada known and right in 1 of 2, Ben known but wrong: (1/2 + 0) / 2
    assert found["baks", "all"] == pytest.approx(1 / 4)
    # Ada new in 1 of 2, Ben 0, Zoe 1: (1/2 + 0 + 1) / 3
    assert found["baus", "all"] == pytest.approx(1 / 2)
    assert found["baks_baus_gm", "all"] == pytest.approx(math.sqrt(1 / 8))
    assert found["false_known_rate", "all"] == pytest.approx(1 / 4)


def test_open_set_is_computed_from_its_own_trial():
    opened = [r | {"trial": "open", "round": 3, "query_id": f"{r['query_id']} {k}"} for k, r in enumerate(NOVEL)]
    found = values(measured(*opened))
    assert found["open_novelty_auroc", "all"] == pytest.approx(9.5 / 12)
    alone = [r | {"round": k} for k, r in enumerate(opened)]  # rounds have no common scale
    assert values(measured(*alone))["open_novelty_auroc", "all"] is None
    assert found["open_baks_baus_gm", "all"] == pytest.approx(math.sqrt(1 / 8))
    assert found["open_top1_encounter", "all"] == pytest.approx(2 / 3)
    rows = {r["metric"]: r for r in measured(*NOVEL)}
    assert rows["open_baks"]["value"] is None and rows["open_baks"]["missing_because"]


def test_what_could_not_be_compared_looks_new_either_way():
    rows = [
        outcome("E", "Ada", None, novelty=math.inf),
        new("E", "Ada", novelty=math.inf),
        new("F", "Ben", novelty=0.9),
    ]
    assert values(measured(*rows))["novelty_auroc", "all"] == pytest.approx(0.5 / 2)


def test_probabilities_by_hand():
    found = values(measured(*NOVEL))
    # known: .85 right, .35 right, .75 wrong, each in its own bin
    assert found["brier_encounter", "all"] == pytest.approx((0.15**2 + 0.65**2 + 0.75**2) / 3)
    assert found["ece_encounter", "all"] == pytest.approx((0.15 + 0.65 + 0.75) / 3)
    # mixed: known ones weigh .8 / 3 each, new ones (always wrong: .05, .25, .8, .2) .2 / 4; of the bins (.7, .8] holds G and
    # G', (.1, .2] H alone
    brier = 0.8 * (0.15**2 + 0.65**2 + 0.75**2) / 3 + 0.2 * (0.05**2 + 0.25**2 + 0.8**2 + 0.2**2) / 4
    assert found["brier_mixed", "all"] == pytest.approx(brier)
    apart = 0.8 / 3 * (0.15 + 0.65) + 0.2 / 4 * (0.05 + 0.25 + 0.2)
    together = 0.8 / 3 * 0.75 + 0.2 / 4 * 0.8
    assert found["ece_mixed", "all"] == pytest.approx(apart + together)


def test_everything_that_is_stated_by_hand():
    rows = [
        outcome("E", "Ada", 1, p_new=0.15, probability=0.75, probabilities=[0.75, 0.05]),  # .75 right; .05 and .15 not
        outcome("F", "Ben", 2, p_new=0.25, probability=0.45, probabilities=[0.45, 0.25]),  # the second .25 is right
        new("E", "Ada", p_new=0.85, probability=0.15, probabilities=[0.15]),  # new is right
        outcome("G", "Ben", None, p_new=0.35, probability=0.65, probabilities=[0.65]),  # known, and not compared
        outcome("H", "Ben", 1),  # nothing was stated
    ]
    # known ones weigh .8 / 3 each, the new one .2; all in all (.8 / 3) (3 + 3 + 2) + .2 * 2 statements
    known, alone = 0.8 / 3, 0.2
    gaps = known * (0.25 + 0.05 + 0.45 + abs(0.75 - 0.25) + 0.65 + 0.35) + known * 0.15 + alone * (0.15 + 0.15)
    assert values(measured(*rows))["ece_stated", "all"] == pytest.approx(gaps / (known * 8 + alone * 2))


def test_what_exact_probabilities_would_show_by_hand():
    # one query of probability p misses its bin's share by |y - p|, in the mean 2 p (1 - p)
    one = np.ones(1)
    assert calibration_error_by_chance(np.array([0.25]), one, draws=40_000) == pytest.approx(0.375, abs=0.005)
    assert calibration_error_by_chance(np.array([1.0, 1.0]), np.ones(2)) == 0
    # two in one bin: gaps of -.5, 0 and .5 with chances 1/4, 1/2, 1/4
    assert calibration_error_by_chance(np.full(2, 0.5), np.ones(2), draws=40_000) == pytest.approx(0.25, abs=0.005)
    # many honest ones miss by little
    assert calibration_error_by_chance(np.full(10_000, 0.5), np.ones(10_000), draws=50) < 0.01
    assert calibration_error_by_chance(one, np.zeros(1)) is None
    rows = {r["metric"]: r for r in measured(*NOVEL)}
    p, w = np.array([0.85, 0.35, 0.75]), np.ones(3)
    assert rows["ece_encounter_by_chance"]["value"] == pytest.approx(calibration_error_by_chance(p, w))
    assert rows["ece_mixed_by_chance"]["n"] == 7


def test_the_mixture_has_the_stated_share_of_new_animals():
    weight = mixture(3, 5, 0.2)
    assert weight.sum() == pytest.approx(8) and weight[3:].sum() / weight.sum() == pytest.approx(0.2)
    assert mixture(2, 0, 0.2).tolist() == [1, 1]


def test_candidate_sets_by_hand():
    sets = {"candidate_set_coverage": 0.9}
    rows = [
        outcome("E", "Ada", 1, in_candidate_set=True, candidate_set_size=1, **sets),
        outcome("F", "Ben", 2, in_candidate_set=True, candidate_set_size=3, **sets),
        outcome("G", "Cleo", 3, in_candidate_set=False, candidate_set_size=2, **sets),
        outcome("H", "Cleo", None),  # nothing could be compared: nothing is promised
    ]
    found = values(measured(*rows))
    assert found["candidate_set_coverage", "all"] == pytest.approx(2 / 3)
    assert found["candidate_set_size", "all"] == pytest.approx(6 / 4)
    assert found["candidate_set_stated", "all"] == pytest.approx(0.9)
    # an animal that the shortlist left out could have been compared, and no set holds it
    cut = [
        outcome("I", "Dot", None, in_candidate_set=False, candidate_set_size=2, **sets),
        photo("I", "Dot", None, n_right_cut=2),
    ]
    assert values(measured(*rows, *cut))["candidate_set_coverage", "all"] == pytest.approx(2 / 4)
    without = {r["metric"]: r for r in measured(*NOVEL)}["candidate_set_coverage"]
    assert without["value"] is None and "no candidate sets" in without["missing_because"]


def test_clusters_by_hand():
    names = [("E", "Ada", "new-1"), ("F", "Ada", "new-1"), ("G", "Ben", "new-1"), ("H", "Ben", None)]
    rows = [new(e, a, trial="open", provisional_individual_id=n, individual_id="Cleo") for e, a, n in names]
    found = values(measured(*rows))
    # Pairs: 6; together in truth 2 (EF, GH), in clusters 3 (EF, EG, FG), in both 1. Expected 3 * 2 / 6 = 1: (1 - 1) / ... = 0
    assert found["cluster_ari", "all"] == pytest.approx(0.0)
    assert found["abundance_error", "all"] == pytest.approx(0.0)  # new-1 and "known Cleo": two, as there are animals
    apart = [r | {"provisional_individual_id": f"new-{k}"} for k, r in enumerate(rows)]
    assert values(measured(*apart))["abundance_error", "all"] == pytest.approx(1.0)  # four instead of two
    right = [r | {"provisional_individual_id": r["true_individual_id"]} for r in rows]
    assert values(measured(*right))["cluster_ari", "all"] == pytest.approx(1.0)


def test_clusters_of_different_rounds_are_not_mixed():
    rows = [new(e, a, trial="open", round=k, provisional_individual_id="new-1")
            for e, a, k in [("E", "Ada", 0), ("F", "Ben", 0), ("E2", "Cleo", 1), ("F2", "Cleo", 1)]]  # fmt: skip
    # round 0: two animals in one cluster (1 instead of 2: error 1/2); round 1: one animal, one cluster (0): mean 1/4
    assert values(measured(*rows))["abundance_error", "all"] == pytest.approx(-1 / 4)


def test_the_background_control_stands_beside_the_same_queries():
    rows = [photo("a", "Ada"), photo("b", "Ben"), photo("c", "Cleo", 2), photo("a", "Ada", 1, trial="background"),
            photo("c", "Cleo", 2, trial="background")]  # fmt: skip
    found = values(measured(*rows))
    assert found["background_top1_photo", "all"] == 1 / 2
    assert found["background_animal_top1_photo", "all"] == 1 / 2  # of a and c; b was not painted over
    assert found["top1_photo", "all"] == pytest.approx(2 / 3)


def test_summary_has_the_headline_unless_the_split_leaks():
    found = headline(measured(*PHOTOS, *NOVEL, context=Context("role", 0.2, seconds_per_query=0.25, draws=50)))
    assert found["top1_photo"] == 0.5 and found["top1_encounter"] == pytest.approx(2 / 3)
    assert (found["n_queries"], found["n_query_encounters"], found["seconds_per_query"], found["leak"]) == (
        4,
        3,
        0.25,
        0,
    )
    leaky = headline(measured(*PHOTOS, *NOVEL, context=Context("role", 0.2, same_day_share=0.01, draws=50)))
    assert leaky["leak"] == 0.01
    assert {leaky[k] for k in ("top1_photo", "top1_encounter", "novelty_auroc", "map_photo", "ece_mixed")} == {None}


def test_nothing_to_measure_gives_no_numbers_but_reasons():
    rows = measured()
    assert {r["metric"]: r for r in rows}["top1_photo"]["missing_because"]
    found = headline(rows)
    assert found["n_queries"] == 0 and {found[k] for k in ("top1_photo", "novelty_auroc", "baks")} == {None}


def test_rows_fit_the_catalog_and_intervals_hold_the_value():
    rows = measured(*PHOTOS, *NOVEL, context=Context("role", 0.2, draws=200))
    assert conform("accuracy", rows, "r").num_rows == len(rows)
    sure = [r for r in rows if r["ci_low"] is not None]
    assert {"top1_photo", "map_photo", "top1_encounter", "novelty_auroc", "baks", "ece_mixed"} <= {
        r["metric"] for r in sure
    }
    assert all(
        r["ci_low"] <= r["value"] <= r["ci_high"] for r in sure if r["metric"].startswith(("top", "map", "novelty"))
    )
    assert all((r["value"] is None) == bool(r["missing_because"]) for r in rows)
    assert {r["n_individuals"] for r in rows if r["metric"] == "top1_photo" and r["stratum"] == "all"} == {3}


def test_strangers_called_by_two_names_are_two_clusters():
    rows = [new("E", "Ada", trial="open", individual_id="Cleo"), new("F", "Ben", trial="open", individual_id="Dora")]
    assert values(measured(*rows))["abundance_error", "all"] == 0.0
