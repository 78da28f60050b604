"""An animal was met again only on another day that is known."""

from datetime import date

import numpy as np
import pyarrow as pa

from resight.novelty.calibration import calibrate
from resight.pairs.cohort import Cohort, met_on_another_day, pair_grids
from resight.pairs.params import PairsParams
from resight.rank.params import RankParams

DAY, LATER, YEARS = date(2024, 6, 1), date(2024, 6, 9), date(2026, 6, 1)
# Ada: twice on one day, once later, once years later; Ben: twice without a date.
PHOTOS = [
    ("a1", "Ada", DAY),
    ("a2", "Ada", DAY),
    ("a3", "Ada", LATER),
    ("a4", "Ada", YEARS),
    ("b1", "Ben", None),
    ("b2", "Ben", None),
]


def info():
    rows = [(p, p, f"e-{p}", name, day, "left", "ok", None) for p, name, day in PHOTOS]
    names = ("crop_id", "photo_id", "encounter_id", "individual_id", "taken_on", "viewpoint", "feature_status", "extra")
    columns = {n: [r[k] for r in rows] for k, n in enumerate(names)}
    return pa.table(columns | {"extra": pa.array(columns["extra"], pa.string())})


def grid():
    labels = {photo: name for photo, name, _ in PHOTOS}
    return pair_grids(info(), Cohort(frozenset(), frozenset(labels), labels), PairsParams(), 300)[1]


def test_pairs_of_one_animal_need_two_days_that_are_known():
    pairs = grid()
    endings, ending_of = (("planned", ""), *pairs.endings), pairs.of_queries(np.arange(len(pairs)))
    photos = [(q, g) for q in pairs.query_photos.to_pylist() for g in pairs.gallery_photos.to_pylist()]
    ends = {pair: endings[k] for pair, k in zip(photos, ending_of.ravel(), strict=True)}
    excluded = ("excluded_by_policy", "same_day")
    assert ends["a1", "a2"] == ends["a2", "a1"] == ends["b1", "b2"] == excluded
    assert ends["a1", "a3"] == ends["a1", "a4"] == ends["a1", "b1"] == ("planned", "")
    assert ends["a1", "a1"] == ("excluded_by_policy", "same_photo")


def test_rows_of_another_purpose_stay():
    table = pa.table(
        {
            "query_photo_id": ["a1"],
            "gallery_photo_id": ["a2"],
            "purpose": ["identify"],
            "status": ["scored"],
            "reason": [""],
        }
    )
    assert met_on_another_day(table, info()).equals(table)


def test_genuine_scores_are_kept_by_the_days_between():
    rows = grid().plan().pairs.to_pylist()
    scores = pa.table({"query_crop_id": [r["query_crop_id"] for r in rows], "gallery_crop_id": [r["gallery_crop_id"] for r in rows],
                       "purpose": [r["purpose"] for r in rows],
                       "score": [{("a1", "a3"): 7.0, ("a1", "a4"): 3.0}.get((r["query_photo_id"], r["gallery_photo_id"]), 1.0) for r in rows]})  # fmt: skip
    found = calibrate(scores, info(), RankParams(rule="max"))
    of_a1 = {gap: [row for row in found.genuine[gap].rows if row[0] == "e-a1"] for gap in found.genuine}
    assert of_a1 == {1: [("e-a1", "Ada", 1, 7.0)], 31: [("e-a1", "Ada", 1, 3.0)], 366: [("e-a1", "Ada", 1, 3.0)]}
    assert found.genuine[1].animals == {"Ada"}, "nobody knows that Ben was met on two days"
    assert not any(np.isinf(row[3]) for row in found.genuine[1].rows)
