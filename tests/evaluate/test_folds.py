"""Who asks whom when something is left out of the gallery."""

from datetime import date

import pyarrow as pa
import pytest

from resight.evaluate.folds import leave_animals_out, leave_encounters_out, open_rounds, pairs_of
from resight.pairs.cohort import Cohort

PHOTOS = [
    ("a1", "A1", "Ada", "2010-06-01"), ("a2", "A2", "Ada", "2010-06-01"), ("a3", "A3", "Ada", "2012-06-01"), ("a4", "A3", "Ada", "2012-06-01"),
    ("b1", "B1", "Ben", "2010-06-01"), ("c1", "C1", "Cleo", "2010-06-01"), ("d1", "D1", "Dora", "2010-06-01"),
]  # fmt: skip
TABLE = pa.table({"photo_id": [p[0] for p in PHOTOS], "encounter_id": [p[1] for p in PHOTOS],
                  "taken_on": [date.fromisoformat(p[3]) for p in PHOTOS]})  # fmt: skip
NAMES = {p[0]: p[2] for p in PHOTOS}
ADA = {p: n for p, n in NAMES.items() if n == "Ada"}


def cohort(truth, gallery, leave_one_out=False):
    return Cohort(frozenset(truth), frozenset(gallery), gallery, truth, evaluating=True, leave_one_out=leave_one_out)


def test_every_encounter_asks_all_but_its_own_day():
    folds = leave_encounters_out(cohort(ADA, NAMES, leave_one_out=True), TABLE)
    assert [sorted(t.queries) for t in folds] == [["a1"], ["a2"], ["a3", "a4"]]
    assert sorted(folds[0].gallery) == ["a3", "a4", "b1", "c1", "d1"], "a2 is of the same animal and day"
    assert sorted(folds[2].gallery) == ["a1", "a2", "b1", "c1", "d1"], "others of that day stay"
    assert all(not t.queries & t.gallery and set(t.labels) == t.gallery for t in folds)


def test_every_animal_is_left_out_of_a_gallery_once():
    whole = cohort({"a3": "Ada", "b1": "Ben"}, {"a1": "Ada", "c1": "Cleo", "d1": "Dora"})
    rounds = open_rounds(whole, 0.25, seed=0)
    groups = [group for _, group in rounds]
    assert sorted(name for group in groups for name in group) == ["Ada", "Ben", "Cleo", "Dora"]
    for one, group in rounds:
        assert not set(one.labels.values()) & group and set(one.labels) == one.gallery
        assert one.queries == whole.queries, "everybody asks every gallery"
    assert rounds == open_rounds(whole, 0.25, seed=0) and groups != [g for _, g in open_rounds(whole, 0.25, seed=1)]
    assert [len(g) for _, g in open_rounds(whole, 0.5, seed=0)] == [2, 2]


def test_where_one_encounter_is_left_out_the_left_out_animals_ask_alone():
    for one, group in open_rounds(cohort(ADA | {"b1": "Ben"}, NAMES, leave_one_out=True), 0.25, seed=0):
        assert set(one.truth.values()) <= group and not one.queries & one.gallery and not one.leave_one_out
    (only,) = leave_animals_out(cohort(ADA, NAMES, leave_one_out=True))
    assert (
        set(only.truth.values()) == {"Ada"} and sorted(only.gallery) == ["b1", "c1", "d1"] and only.queries == set(ADA)
    )


def pairs(*rows):
    return pa.table({k: [r[i] for r in rows] for i, k in enumerate(("query_photo_id", "gallery_photo_id", "purpose"))})


def kept(table):
    return sorted(zip(*(table[c].to_pylist() for c in table.column_names), strict=True))


def test_the_pairs_of_a_smaller_gallery():
    table = pairs(("q", "a1", "identify"), ("q", "b1", "identify"), ("x", "b1", "identify"), ("a1", "b1", "calibrate"), ("b1", "c1", "calibrate"),
                  ("q", "q2", "unknown"), ("q", "x", "unknown"))  # fmt: skip
    small = cohort({"q": "Ada", "q2": "Ada"}, {"b1": "Ben", "c1": "Cleo"})
    assert kept(pairs_of(table, small)) == [("b1", "c1", "calibrate"), ("q", "b1", "identify")]


def test_where_one_encounter_is_left_out_the_others_pairs_calibrate():
    table = pairs(*[(q, g, "identify") for q in ("a1", "b1", "c1") for g in ("a1", "b1", "c1") if q != g])
    fold = cohort({"a1": "Ada"}, {"b1": "Ben", "c1": "Cleo"})
    got = kept(pairs_of(table, fold, frozenset(["b1"])))
    assert got == [("a1", "b1", "identify"), ("a1", "c1", "identify"), ("b1", "c1", "calibrate")]


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_two_animals_leave_one_each(share):
    rounds = open_rounds(cohort({"a3": "Ada"}, {"a1": "Ada", "b1": "Ben"}), share, seed=0)
    assert sorted(len(one.gallery) for one, _ in rounds) == [1, 1]
