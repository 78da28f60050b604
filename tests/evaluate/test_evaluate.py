"""From ranked candidates to accuracy rows, on a survey small enough for paper."""

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest

from resight.evaluate import Measured, accuracy_rows, summary
from resight.evaluate.outcomes import day_bin
from resight.novelty import NoveltyModel
from resight.rank import rank_all
from resight.settings import NoveltyParams, RankParams
from resight.tables import conform

# Gallery: Ada (a, a2), Ben (b), Cleo (c). Queries: p and q are encounter E of Ada, r is F of Ben, s is G of Cleo,
# t is H of Zoe, whom nobody has met before. s could not be compared with Cleo.
PHOTOS = [
    ("a", "ada-1", "left", "2010-06-01"), ("a2", "ada-2", "left", "2011-06-01"), ("b", "ben-1", "left", "2010-06-01"),
    ("c", "cleo-1", "right", None), ("p", "E", "left", "2011-06-21"), ("q", "E", "left", "2011-06-21"),
    ("r", "F", "top", "2020-06-01"), ("s", "G", "left", "2012-01-01"), ("t", "H", "left", "2012-01-01"),
]  # fmt: skip
GALLERY = {"a": "Ada", "a2": "Ada", "b": "Ben", "c": "Cleo"}
TRUTH = {"p": "Ada", "q": "Ada", "r": "Ben", "s": "Cleo", "t": "Zoe"}
SCORES = [
    ("p", "a", 0.5), ("p", "a2", 0.3), ("p", "b", 0.4),  # right photos at 1 and 3: (1 + 2/3) / 2 = 5/6
    ("q", "a", 0.2), ("q", "a2", 0.1), ("q", "b", 0.25),  # at 2 and 3: (1/2 + 2/3) / 2 = 7/12
    ("r", "b", 0.9), ("r", "a", 0.1), ("r", "c", 0.6),  # 1
    ("s", "a", 0.35), ("s", "b", 0.05),  # 0: her own animal was not compared
    ("t", "b", 0.45), ("t", "c", 0.02),
]  # fmt: skip


def measured(scores=SCORES, **changes):
    table = pa.table(
        {"query_crop_id": [s[0] for s in scores], "gallery_crop_id": [s[1] for s in scores],
         "purpose": ["identify"] * len(scores), "score": [s[2] for s in scores]},
        schema=pa.schema([("query_crop_id", pa.string()), ("gallery_crop_id", pa.string()), ("purpose", pa.string()), ("score", pa.float64())]),
    )  # fmt: skip
    ids = [p[0] for p in PHOTOS]
    info = pa.table({"crop_id": ids, "photo_id": ids, "encounter_id": [p[1] for p in PHOTOS],
                     "individual_id": pa.array([GALLERY.get(p) for p in ids], pa.string())})  # fmt: skip
    photos = pa.table({"photo_id": ids, "encounter_id": [p[1] for p in PHOTOS], "viewpoint": [p[2] for p in PHOTOS],
                       "taken_on": pa.array([p[3] and date.fromisoformat(p[3]) for p in PHOTOS], pa.date32())})  # fmt: skip
    model = NoveltyModel("none", (0.05,), ("Ada",))
    whole = Measured(
        photos,
        GALLERY,
        TRUTH,
        rank_all(table, info, RankParams(rule="max")),
        table,
        info,
        model,
        NoveltyParams(without_guarantee="name"),
        "role",
        0.25,
    )
    return replace(whole, **changes)


def values(rows):
    return {(r["metric"], r["stratum"]): r["value"] for r in rows}


def test_closed_set_by_hand():
    rows = accuracy_rows(measured(), draws=50)
    found = values(rows)
    # ranks of p, q, r, s: 1, 2, 1, not comparable; of E, F, G: 1 (best pair .5), 1, not comparable; t has no right answer
    assert found["top1_photo", "all"] == pytest.approx(2 / 4)
    assert found["top3_photo", "all"] == found["top5_photo", "all"] == pytest.approx(3 / 4)
    assert found["map_photo", "all"] == pytest.approx((5 / 6 + 7 / 12 + 1 + 0) / 4)
    assert found["top1_encounter", "all"] == pytest.approx(2 / 3)
    assert found["n_queries_without_comparable_gallery", "all"] == 1
    assert found["n_queries_without_gallery_animal", "all"] == 1
    assert found["n_gallery_individuals", "all"] == 3
    n = {(r["metric"], r["stratum"]): r["n"] for r in rows}
    assert n["top1_photo", "all"] == 4 and n["top1_encounter", "all"] == 3


def test_strata_by_hand():
    found = values(accuracy_rows(measured(), draws=50))
    assert found["top1_photo", "viewpoint=left"] == pytest.approx(1 / 3)
    assert found["top1_photo", "viewpoint=top"] == 1.0
    assert found["top1_photo", "days_between=1-30"] == 0.5  # p and q, 20 days after a2
    assert found["map_photo", "days_between=1826+"] == 1.0  # r, ten years after b
    assert found["top1_encounter", "days_between=unknown"] == 0.0  # Cleo's only photo has no date


@pytest.mark.parametrize(
    ("taken", "expected"),
    [("2010-01-01", "0"), ("2010-01-02", "1-30"), ("2010-01-31", "1-30"), ("2010-02-01", "31-365"), ("2011-01-01", "31-365"),
     ("2011-01-02", "366-1825"), ("2014-12-31", "366-1825"), ("2015-01-01", "1826+"), ("2009-12-31", "1-30")],
)  # fmt: skip
def test_day_bins(taken, expected):
    gallery = [date(2010, 1, 1)]
    assert day_bin([date.fromisoformat(taken), None], gallery) == expected
    assert day_bin([date.fromisoformat(taken)], [date(1990, 1, 1), *gallery]) == expected
    assert day_bin([None], gallery) == day_bin([date(2010, 1, 1)], []) == "unknown"


def test_novelty_auroc_by_hand():
    # Best scores with their own animal: E .5, F .9, G .35. Without: E (Ben) .4, F (Cleo) .6, G .35; H as it is .45.
    # A new one should score lower than a known one: E' .4 < .5, .9 (2); F' .6 < .9 (1); G' .35 < .5, .9, ties .35 (2.5);
    # H .45 < .5, .9 (2): 7.5 of 12
    rows = {r["metric"]: r for r in accuracy_rows(measured(), draws=50)}
    assert rows["novelty_auroc"]["value"] == pytest.approx(7.5 / 12)
    assert rows["novelty_auroc"]["n"] == 7


def test_an_encounter_that_was_not_compared_looks_new_either_way():
    scores = [s for s in SCORES if s[0] != "s"]
    # G ties with its own copy at infinity and loses to the other new ones; G' is above E and F: 2 + 1 + 2.5 + 2 of 12
    assert values(accuracy_rows(measured(scores), draws=50))["novelty_auroc", "all"] == pytest.approx(7.5 / 12)


def test_equal_evidence_ties_whatever_the_rounding():
    # Nothing matched anywhere: p_new is the same with three animals and with two, but for the last bits.
    nothing = [(q, g, 0.0) for q in ("p", "q", "r", "s", "t") for g in GALLERY]
    model = replace(logistic_model(), log_score_range=(-0.3, 0.0), intercept=0.123, slope=0.7)
    found = values(accuracy_rows(measured(nothing, model=replace(model, epsilon=0.1)), draws=50))
    assert found["novelty_auroc", "all"] == 0.5


def logistic_model():
    """Likelihood ratio (score / .3)^8; no animal can stand for a 5 % guarantee, so any score above .2 will do."""
    return NoveltyModel("logistic", (0.1, 0.15, 0.2), ("x", "y", "z"), 3.0, 0.0, 9.63178, 8.0, (-9.0, 0.0))


def test_decisions_by_hand():
    # Weights are .8 / 3 * (score / .3)^8 per animal, .8 / 3 for one that was not compared, and .2 for new.
    # E: Ada .5 -> 15.9, Ben .4 -> 2.66, Cleo unseen .27: 15.9 / 19.0 = .835 known, right. F: .9 against .6: known, right.
    # G: Ada .35 -> .92, Cleo .27, new .2: .66 unsure. So Ada 1, Ben 1, Cleo 0.
    # Without their own: E' Ben 2.66 * 3/2 = 4.0 -> 4.0 / 4.6 = .87 known; F' Cleo .6 known; G' Ada 1.37, new .2: .87 known;
    # H: Ben .45 -> 6.8 of 7.3 known. All four are called known.
    found = values(accuracy_rows(measured(model=logistic_model()), draws=50))
    assert found["baks", "all"] == pytest.approx(2 / 3)
    assert found["baus", "all"] == 0.0
    assert found["false_known_rate", "all"] == 1.0


def test_a_confident_wrong_name_is_wrong():
    sure = [(q, g, 0.9 if (q, g) == ("s", "a") else s) for q, g, s in SCORES]  # G is called Ada, and is Cleo
    found = values(accuracy_rows(measured(sure, model=logistic_model()), draws=50))
    assert found["baks", "all"] == pytest.approx(2 / 3)


def test_balanced_accuracy_of_new_animals():
    weak = [(q, g, s / 10) for q, g, s in SCORES if q != "s"] + [("s", "a", 0.9)]
    gone = measured(weak, model=replace(logistic_model(), intercept=0.0, slope=8.0))
    # Scores below .1 have LR below 1e-8. E', G' and H have animals left that nobody compared (prior .27 each): unsure.
    found = values(accuracy_rows(gone, draws=50))
    assert found["baus", "all"] == pytest.approx(1 / 4)  # F' alone has met both others: p_new is 1
    assert found["false_known_rate", "all"] == 0.0


def test_probability_rows_by_hand():
    rows = {r["metric"]: r for r in accuracy_rows(measured(model=logistic_model()), draws=50)}
    # Best candidates: E Ada, F Ben, G Ada (wrong)
    weight = {
        e: [0.8 / 3 * (s / 0.3) ** 8 for s in found]
        for e, found in {"E": (0.5, 0.4), "F": (0.9, 0.6, 0.1), "G": (0.35, 0.05)}.items()
    }
    p = {e: max(w) / (sum(w) + 0.2 + 0.8 / 3 * (3 - len(w))) for e, w in weight.items()}
    expected = ((1 - p["E"]) ** 2 + (1 - p["F"]) ** 2 + p["G"] ** 2) / 3
    assert rows["brier_encounter"]["value"] == pytest.approx(expected, rel=1e-4)
    # three bins: (.8, .9], (.9, 1], (.6, .7]
    assert rows["ece_encounter"]["value"] == pytest.approx(((1 - p["E"]) + (1 - p["F"]) + p["G"]) / 3, rel=1e-4)
    assert rows["ece_encounter"]["n"] == 3


def test_summary_has_exactly_the_headline_figures():
    found = summary(accuracy_rows(measured(), draws=50))
    assert list(found) == [
        "top1_photo", "top3_photo", "top5_photo", "top1_encounter", "map_photo", "novelty_auroc", "n_queries", "seconds_per_query",
    ]  # fmt: skip
    assert (found["n_queries"], found["seconds_per_query"], found["top1_photo"]) == (4, 0.25, 0.5)


def test_nothing_to_measure_gives_no_numbers():
    found = summary(accuracy_rows(measured([], truth={}, seconds_per_query=None), draws=50))
    assert found.pop("n_queries") == 0
    assert set(found.values()) == {None}


def test_rows_fit_the_catalog_and_intervals_hold_the_value():
    rows = accuracy_rows(measured(), draws=200)
    assert conform("accuracy", rows, "r").num_rows == len(rows)
    overall = [r for r in rows if r["stratum"] == "all" and r["ci_low"] is not None]
    assert {"top1_photo", "map_photo", "top1_encounter", "novelty_auroc", "baks"} <= {r["metric"] for r in overall}
    assert all(r["ci_low"] <= r["value"] <= r["ci_high"] for r in overall)
    assert {r["protocol"] for r in rows} == {"role"}


def test_same_day_gallery_photos_are_reported():
    assert values(accuracy_rows(measured(), draws=50))["same_day_share", "all"] == 0.0
    leak = measured(gallery=GALLERY | {"q": "Ada"}, truth={k: v for k, v in TRUTH.items() if k != "q"})
    assert values(accuracy_rows(leak, draws=50))["same_day_share", "all"] == pytest.approx(1 / 4)
