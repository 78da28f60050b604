"""Candidate sets by hand and against simulation."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from resight.novelty.model import NoveltyModel
from resight.novelty.sets import Days, candidate_set
from resight.novelty.yardstick import QueryScores, Yardstick

DAY = date(2026, 6, 1)


def yardstick(rows):
    """(animal, score) of encounters of one photo each."""
    return Yardstick(tuple((f"e{k}", animal, 1, score) for k, (animal, score) in enumerate(rows)))


def query(**scores):
    return QueryScores(max(scores, key=scores.get), {1: max(scores.values())}, {1: scores})


def days(gaps, asked=DAY):
    """The query is of ``asked``; each animal was met so many days before, or nobody knows when."""
    met = {name: ((asked - timedelta(gap)).toordinal(),) for name, gap in gaps.items() if gap is not None}
    return Days({"E": frozenset([asked.toordinal()])}, met)


OWN = [("Ada", 4.0), ("Ada", 8.0), ("Ben", 2.0), ("Cleo", -np.inf)]
NEAR = days({"A": 5, "B": 5, "C": 5})


def test_candidate_set_by_hand():
    # Ada scores herself 4 and 8 (half a vote each), Ben 2, Cleo was shortlisted out. A = 1: only Cleo's is below: (1 + 1) / 4;
    # C = 5: Cleo, Ben and half of Ada: (1 + 2.5) / 4. Coverage .5 asks for more than .5.
    model = NoveltyModel("logistic", genuine={1: yardstick(OWN)})
    asked = query(A=1.0, B=2.0, C=5.0)
    assert candidate_set("E", asked, model, NEAR, 0.5).members == ("B", "C")
    # three animals of which one was left out can promise no more than 2 / 4, whatever is wanted: no set holds who is not listed
    found = candidate_set("E", asked, model, NEAR, 0.75)
    assert (found.members, found.coverage) == (("B", "C"), 0.5)
    assert candidate_set("E", asked, model.without("Ada"), NEAR, 0.9).coverage == pytest.approx(1 / 3)
    # listed all three, they promise 3 / 4, and one alone nothing
    everybody = NoveltyModel("logistic", genuine={1: yardstick([*OWN[:3], ("Cleo", 0.5)])})
    found = candidate_set("E", asked, everybody, NEAR, 0.9)
    assert (found.members, found.coverage) == (("A", "B", "C"), 0.75)
    nothing = candidate_set("E", asked, everybody.without("Ada").without("Ben"), NEAR, 0.9)
    assert (nothing.members, nothing.coverage) == (None, None)


def test_a_set_can_be_empty_and_has_a_size_then():
    model = NoveltyModel("logistic", genuine={1: yardstick(OWN)})
    assert candidate_set("E", query(A=-9.0, B=-8.0), model, NEAR, 0.4).members == ()


def test_animals_met_years_ago_are_judged_by_animals_met_again_after_years():
    # After days everybody scores 8 and more, after years 2: a score of 3 is poor for A, met last week, and good for B.
    after_days = yardstick([(f"i{k}", 8.0 + k) for k in range(9)])
    after_years = yardstick([(f"i{k}", 2.0 + k / 9) for k in range(9)])
    model = NoveltyModel("logistic", genuine={1: after_days, 31: after_years, 366: after_years})
    asked = query(A=3.0, B=3.0)
    found = candidate_set("E", asked, model, days({"A": 7, "B": 800}), 0.9)
    assert (found.members, found.coverage, found.n_unexcluded) == (("B",), 0.9, 0)
    # a day that nobody knows counts as years
    assert candidate_set("E", asked, model, days({"A": 7, "B": None}), 0.9).members == ("B",)


def test_who_cannot_be_judged_is_in_the_set_and_counted():
    model = NoveltyModel("logistic", genuine={1: yardstick([(f"i{k}", 8.0) for k in range(9)]), 366: yardstick([])})
    found = candidate_set("E", query(A=3.0, B=3.0), model, days({"A": 7, "B": 800}), 0.9)
    assert (found.members, found.n_unexcluded) == (("B",), 1)


def test_scores_count_from_as_many_photos():
    # From one photo everybody scores 2 and more, from three 8: the query's 3 from one photo is fine, its 5 from three is not.
    rows = tuple((f"e{k}", f"i{k}", n, score) for k in range(9) for n, score in ((1, 2.0), (2, 5.0), (3, 8.0)))
    model = NoveltyModel("logistic", genuine={1: Yardstick(rows)})
    alone = QueryScores("A", {1: 3.0}, {1: {"A": 3.0}})
    more = QueryScores("A", {1: 3.0, 2: 4.0, 3: 5.0}, {1: {"A": 3.0}, 2: {"A": 4.0}, 3: {"A": 5.0}})
    assert candidate_set("E", alone, model, days({"A": 3}), 0.9).members == ("A",)
    assert candidate_set("E", more, model, days({"A": 3}), 0.9).members == ()


def test_sets_keep_their_promise_on_animals_that_were_not_seen():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(600):
        level = rng.normal(size=20)  # an animal's encounters are alike: animals, not encounters, are exchangeable
        own = yardstick([(f"i{k}", s) for k in range(19) for s in level[k] + rng.normal(size=1 + k % 4)])
        asked = query(A=level[19] + rng.normal())
        held += candidate_set("E", asked, NoveltyModel("logistic", genuine={1: own}), days({"A": 3}), 0.8).members == (
            "A",
        )
    assert 0.78 < held / 600 < 0.90


def test_days_to_the_nearest_meeting():
    rows = [("E", None, DAY), ("E", None, DAY + timedelta(1)), ("g1", "A", DAY - timedelta(10)), ("g2", "A", DAY + timedelta(4)),
            ("g3", "B", None)]  # fmt: skip
    names = ("encounter_id", "individual_id", "taken_on")
    found = Days.of(pa.table({n: [r[k] for r in rows] for k, n in enumerate(names)}))
    assert (found.between("E", "A"), found.between("E", "B"), found.between("F", "A")) == (3, None, None)
    assert Days.of(pa.table({"encounter_id": ["E"]})).between("E", "A") is None
