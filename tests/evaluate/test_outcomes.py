"""From rankings and verdicts to outcomes, on a survey small enough for paper."""

from datetime import date

import pyarrow as pa
import pytest

from resight.evaluate.outcomes import PhotoFacts, TrialResult, outcome_rows
from resight.evaluate.strata import day_bin, gallery_sizes, photo_bin
from resight.store.tables import conform

# Gallery: Ada (a, a2), Ben (b), Cleo (c). Queries: p and q are encounter E of Ada, s is G of Cleo, t is H of Zoe.
PHOTOS = [
    ("a", "ada-1", "left", "2010-06-01", None), ("a2", "ada-2", "left", "2011-06-01", None), ("b", "ben-1", "left", "2010-06-01", None),
    ("c", "cleo-1", "right", None, None), ("p", "E", "left", "2011-06-21", '{"head_visibility": "Poor"}'),
    ("q", "E", "top", "2011-06-21", '{"visibility": "good"}'), ("s", "G", "unknown", "2012-01-01", '{"note": "x"}'), ("t", "H", "left", "2012-01-01", None),
]  # fmt: skip
GALLERY = {"a": "Ada", "a2": "Ada", "b": "Ben", "c": "Cleo"}
TRUTH = {"p": "Ada", "q": "Ada", "s": "Cleo", "t": "Zoe"}
SCORES = [
    ("p", "a", 0.5), ("p", "a2", 0.3), ("p", "b", 0.4),  # right photos at 1 and 3: (1 + 2/3) / 2 = 5/6
    ("q", "a", 0.2), ("q", "a2", 0.1), ("q", "b", 0.25),  # at 2 and 3: (1/2 + 2/3) / 2 = 7/12
    ("s", "a", 0.35),  # her own animal was not compared
]  # fmt: skip
RANKED = [  # level, query, encounter, rank, animal, score, set, query crop, gallery crop
    ("encounter", "E", "E", 1, "Ada", 0.5, True, "p", "a"), ("encounter", "E", "E", 2, "Ben", 0.4, True, "p", "b"),
    ("encounter", "G", "G", 1, "Ada", 0.35, True, "s", "a"),
    ("photo", "p", "E", 1, "Ada", 0.5, None, "p", "a"), ("photo", "p", "E", 2, "Ben", 0.4, None, "p", "b"),
    ("photo", "q", "E", 1, "Ben", 0.25, None, "q", "b"), ("photo", "q", "E", 2, "Ada", 0.2, None, "q", "a"),
    ("photo", "s", "G", 1, "Ada", 0.35, None, "s", "a"),
]  # fmt: skip
VERDICTS = {
    "E": {"decision": "known", "probability": 0.9, "p_new": 0.05, "best_score": 0.5, "method": "logistic"},
    "G": {"decision": "unsure", "probability": None, "p_new": None, "best_score": 0.35, "method": "none", "provisional_individual_id": "new-1"},
    "H": {"decision": "not_compared", "method": "none"},
}  # fmt: skip


def ranked(with_sets=True):
    names = ["level", "query_id", "encounter_id", "rank", "individual_id", "score", "in_candidate_set", "best_query_crop_id", "best_gallery_crop_id"]  # fmt: skip
    rows = [dict(zip(names, r, strict=True)) for r in RANKED]
    for r in rows:
        r |= {"probability": None, "best_query_photo_id": r["best_query_crop_id"], "best_gallery_photo_id": r["best_gallery_crop_id"]}  # fmt: skip
    kept = pa.Table.from_pylist(rows)
    return kept if with_sets else kept.drop_columns("in_candidate_set")


def trial(**changes):
    novelty = conform("novelty", [{"encounter_id": e, "n_photos": 1, "n_photos_compared": 1, "n_calibration": 3, "evidence": ".",
                                   "status": "ok"} | v for e, v in VERDICTS.items()], "r")  # fmt: skip
    ids = [p[0] for p in PHOTOS]
    info = pa.table({"crop_id": ids, "photo_id": ids, "encounter_id": [p[1] for p in PHOTOS],
                     "individual_id": pa.array([GALLERY.get(p) for p in ids], pa.string())})  # fmt: skip
    scores = pa.table({"query_crop_id": [s[0] for s in SCORES], "gallery_crop_id": [s[1] for s in SCORES],
                       "purpose": ["identify"] * len(SCORES), "score": [s[2] for s in SCORES]})  # fmt: skip
    whole = {"trial": "closed", "gallery": GALLERY, "truth": TRUTH, "ranked": ranked(), "novelty": novelty, "scores": scores,
             "crops_info": info, "scored": {"p": 2, "q": 2}}  # fmt: skip
    return TrialResult(**(whole | changes))


def rows_of(one=None, crops=None):
    photos = pa.table({"photo_id": [p[0] for p in PHOTOS], "encounter_id": [p[1] for p in PHOTOS], "viewpoint": [p[2] for p in PHOTOS],
                       "taken_on": pa.array([p[3] and date.fromisoformat(p[3]) for p in PHOTOS], pa.date32()),
                       "extra": pa.array([p[4] for p in PHOTOS], pa.string())})  # fmt: skip
    rows = outcome_rows(one or trial(), PhotoFacts.of(photos, crops))
    assert conform("outcomes", rows, "r").num_rows == len(rows)
    return {(r["level"], r["query_id"]): r for r in rows}


def test_every_query_has_one_row_at_each_level():
    assert set(rows_of()) == {("encounter", e) for e in "EGH"} | {("photo", p) for p in "pqst"}


def test_rank_scores_and_crops():
    rows = rows_of()
    e, q, s, h = rows["encounter", "E"], rows["photo", "q"], rows["photo", "s"], rows["encounter", "H"]
    assert (e["rank"], e["correct"], e["score_right"], e["score_wrong"], e["found_crop_id"]) == (1, True, 0.5, 0.4, "a")
    assert (q["rank"], q["correct"], q["individual_id"], q["right_crop_id"]) == (2, False, "Ben", "a")
    assert (s["rank"], s["known"], s["correct"], s["score_wrong"]) == (None, True, False, 0.35)
    assert (h["known"], h["correct"], h.get("individual_id"), h["n_gallery_individuals"]) == (False, False, None, 3)


def test_average_precision_counts_what_the_shortlist_cut_as_never_found():
    rows = rows_of()
    assert rows["photo", "p"]["average_precision"] == pytest.approx(5 / 6)
    assert rows["photo", "q"]["average_precision"] == pytest.approx(7 / 12)
    assert rows["photo", "s"]["average_precision"] == 0.0
    assert "average_precision" not in rows["photo", "t"], "there is nothing of Zoe to retrieve"
    cut = rows_of(trial(cut={"p": 2}))
    assert cut["photo", "p"]["average_precision"] == pytest.approx(5 / 12)  # (1 + 2/3) over four instead of two
    assert cut["photo", "p"]["n_right_cut"] == 2 and cut["photo", "p"]["n_right_scored"] == 2


def test_verdicts_and_what_novelty_is_told_by():
    rows = rows_of()
    assert (rows["encounter", "E"]["decision"], rows["encounter", "E"]["novelty"]) == ("known", 0.05)
    assert rows["encounter", "G"]["novelty"] == -0.35, "without a likelihood the score must do"
    assert rows["encounter", "G"]["provisional_individual_id"] == "new-1"
    assert rows["encounter", "H"]["novelty"] == float("inf")


def test_candidate_sets_are_read_where_the_ranking_made_them():
    rows = rows_of()
    assert (rows["encounter", "E"]["in_candidate_set"], rows["encounter", "E"]["candidate_set_size"]) == (True, 2)
    assert (rows["encounter", "G"]["in_candidate_set"], rows["encounter", "G"]["candidate_set_size"]) == (False, 1)
    assert rows["encounter", "H"].get("in_candidate_set") is None
    assert all(r.get("in_candidate_set") is None for r in rows_of(trial(ranked=ranked(with_sets=False))).values())


def test_what_queries_are_told_apart_by():
    crops = pa.table({"photo_id": ["s", "s"], "viewpoint": ["right", "left"], "status": ["ok", "ok"]})
    rows = rows_of(crops=crops)
    e, p, s = rows["encounter", "E"], rows["photo", "p"], rows["photo", "s"]
    assert (e["viewpoint"], e["visibility"], e["days_between"], e["n_gallery_photos"]) == ("mixed", "good", 20, 2)
    assert (p["viewpoint"], p["visibility"]) == ("left", "poor")
    assert (s["viewpoint"], s["visibility"], s["days_between"]) == ("right", None, None)
    assert rows_of()["photo", "s"]["viewpoint"] == "unknown"


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0, "0"), (1, "1-30"), (30, "1-30"), (31, "31-365"), (365, "31-365"), (366, "366-1825"), (1825, "366-1825"), (1826, "1826+"),
     (None, "unknown")],
)  # fmt: skip
def test_day_bins(days, expected):
    assert day_bin(days) == expected


def test_other_bins():
    assert [photo_bin(n) for n in (1, 2, 3, 4, 7, 8, 15, 16)] == [
        "1",
        "2-3",
        "2-3",
        "4-7",
        "4-7",
        "8-15",
        "8-15",
        "16+",
    ]
    assert gallery_sizes(12) == [2, 5, 10] and gallery_sizes(2) == []
