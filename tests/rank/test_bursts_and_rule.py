"""Bursts count once, and the rule is chosen on gallery encounters."""

from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from resight.rank.bursts import moments
from resight.rank.params import RankParams
from resight.rank.rule import choose_rule
from resight.rank.stage import rank_all

START = datetime(2026, 6, 1, 9, 30)


def info(*rows):
    """(crop, photo, encounter, individual, viewpoint, seconds after the start or None)."""
    columns = {
        n: pa.array([r[k] for r in rows], pa.string())
        for k, n in enumerate(("crop_id", "photo_id", "encounter_id", "individual_id", "viewpoint"))
    }
    taken = [None if r[5] is None else START + timedelta(seconds=r[5]) for r in rows]
    return pa.table(columns | {"taken_at": pa.array(taken, pa.timestamp("us"))})


def table(rows, purpose="identify"):
    names = {"query_crop_id": [r[0] for r in rows], "gallery_crop_id": [r[1] for r in rows]}
    return pa.table(names | {"purpose": [purpose] * len(rows), "score": [float(r[2]) for r in rows]})


QUERY = (
    ("a", "A", "E", None, "left", 0), ("b", "B", "E", None, "left", 9), ("c", "C", "E", None, "left", 18),
    ("d", "D", "E", None, "right", 10), ("e", "E1", "E", None, "left", 40), ("f", "F", "E", None, "left", None),
)  # fmt: skip


def test_a_burst_is_one_side_in_quick_succession():
    found = moments(info(*QUERY), 10)
    assert found == {"A": "A", "B": "A", "C": "A", "D": "D", "E1": "E1", "F": "F"}
    both = info(*QUERY[:2], ("b'", "B", "E", None, "right", 9), QUERY[3])
    assert moments(both, 10) == {"A": "A", "B": "B", "D": "D"}, "a photo whose crops show two sides is in no burst"
    assert moments(info(*QUERY), 8)["B"] == "B" and moments(info(*QUERY), 0)["B"] == "B"


def test_a_burst_votes_once_and_its_photos_are_still_counted():
    crops = info(*QUERY[:3], QUERY[4], ("x", "X", "x1", "Ada", "left", None), ("y", "Y", "y1", "Ben", "left", None))
    rows = [("a", "x", 0.6), ("b", "x", 0.5), ("c", "x", 0.4), ("e", "x", 0.1), ("a", "y", 0.2), ("e", "y", 0.6)]
    got = {
        r["individual_id"]: r
        for r in rank_all(table(rows), crops, RankParams(rule="mean_max")).to_pylist()
        if r["level"] == "encounter"
    }
    assert got["Ada"]["score"] == pytest.approx((0.6 + 0.1) / 2) and got["Ben"]["score"] == pytest.approx(0.4)
    assert (got["Ada"]["n_photos"], got["Ada"]["n_pairs"]) == (4, 2)
    every = rank_all(table(rows), crops, RankParams(rule="mean_max", burst_seconds=0))
    assert every.to_pylist()[0]["score"] == pytest.approx((0.6 + 0.5 + 0.4 + 0.1) / 4)


def test_a_burst_in_the_gallery_is_one_photo_for_the_two_best():
    crops = info(
        QUERY[0],
        ("x", "X", "x1", "Ada", "left", 0),
        ("x'", "X'", "x1", "Ada", "left", 3),
        ("w", "W", "x1", "Ada", "left", 99),
    )
    rows = [("a", "x", 0.9), ("a", "x'", 0.8), ("a", "w", 0.1)]
    assert rank_all(table(rows), crops, RankParams(rule="mean_top2"))["score"].to_pylist() == pytest.approx([0.5, 0.5])


def test_log_mean_exp_over_the_gallery_by_hand():
    import math

    crops = info(QUERY[0], QUERY[4], ("x", "X", "x1", "Ada", "left", None), ("w", "W", "x2", "Ada", "left", None))
    rows = [("a", "x", math.log(3)), ("a", "w", math.log(1)), ("e", "x", math.log(8))]
    got = rank_all(table(rows), crops, RankParams(rule="mean_lme")).to_pylist()[0]
    assert got["score"] == pytest.approx((math.log(2) + math.log(8)) / 2)


def gallery(n_animals, winner):
    """Each animal met three times; ``max`` or ``mean_max`` finds it."""
    rows, crops = [], []
    for k in range(n_animals):
        for e in range(3):
            crops += [(f"{k}-{e}-{p}", f"{k}-{e}-{p}", f"{k}-{e}", f"i{k}", "left", None) for p in range(2)]
    right, wrong = ((0.9, 0.0), (0.6, 0.6)) if winner == "max" else ((0.6, 0.6), (0.9, 0.0))
    for k in range(n_animals):
        for e in range(3):
            for p in range(2):
                rows.append((f"{k}-{e}-{p}", f"{k}-{(e + 1) % 3}-0", right[p]))
                rows.append((f"{k}-{e}-{p}", f"{(k + 1) % n_animals}-0-0", wrong[p]))
    return table(rows, "calibrate"), info(*crops)


@pytest.mark.parametrize("winner", ["max", "mean_max"])
def test_the_rule_that_finds_most_gallery_encounters_is_chosen(winner):
    scores, crops = gallery(10, winner)
    chosen = choose_rule(scores, crops, RankParams(), is_ratio=False)
    assert (chosen.params.rule == "max") == (winner == "max"), "mean_top2 sees here what mean_max sees"
    assert chosen.right[winner] == 1 and chosen.right[{"max": "mean_max", "mean_max": "max"}[winner]] == 0
    assert (chosen.n_encounters, chosen.n_individuals) == (30, 10)


def test_a_rule_that_fails_single_photos_is_not_chosen_for_its_clearer_encounters():
    """The right animal has three gallery photos of which one fits, the wrong one has one: the mean of two pairs is fair to neither."""
    rows, crops = [], []
    for k in range(10):
        for e in range(3):
            crops += [(f"{k}-{e}-{p}", f"{k}-{e}-{p}", f"{k}-{e}", f"i{k}", "left", None) for p in range(3)]
    for k in range(10):
        for e in range(3):
            for p in range(3):
                other = f"{k}-{(e + 1) % 3}"
                rows += [(f"{k}-{e}-{p}", f"{other}-{g}", 0.9 if g == p else 0.0) for g in range(3)]
                rows.append((f"{k}-{e}-{p}", f"{(k + 1) % 10}-0-0", 0.8 if p == 0 else 0.1))
    chosen = choose_rule(table(rows, "calibrate"), info(*crops), RankParams(), is_ratio=False)
    assert chosen.right == {"max": 1, "mean_top2": 1, "mean_max": 1}
    assert chosen.right_photos == {"max": 1, "mean_top2": pytest.approx(2 / 3), "mean_max": 1}
    assert chosen.params.rule != "mean_top2" and "mean_top2 100% and 67%" in chosen.sentence


def test_where_no_photo_has_two_candidates_encounters_alone_choose():
    """As with a list of one place for each photo: each is compared with its own animal or with another one, never with both."""
    rows, crops = [], []
    for k in range(10):
        for e in range(3):
            name, own, other = f"{k}-{e}", f"{k}-{(e + 1) % 3}", f"{(k + 1) % 10}-0"
            crops += [(f"{name}-{p}", f"{name}-{p}", name, f"i{k}", "left", None) for p in range(4)]
            scored = [(own, 0.6), (own, 0.6), (other, 0.7), (other, 0.1)]
            rows += [(f"{name}-{p}", f"{of}-{p}", score) for p, (of, score) in enumerate(scored)]
    chosen = choose_rule(table(rows, "calibrate"), info(*crops), RankParams(), is_ratio=False)
    assert chosen.right == {"max": 0, "mean_top2": 1, "mean_max": 1} and chosen.right_photos == {}
    assert chosen.params.rule == "mean_top2" and "10 animals (max 0%, mean_top2 100%, " in chosen.sentence


def test_with_few_animals_there_is_a_default_and_it_says_so():
    scores, crops = gallery(9, "mean_max")
    chosen = choose_rule(scores, crops, RankParams(), is_ratio=False)
    assert (
        chosen.params.rule == "max"
        and "too few animals were met again to choose another one (27 gallery encounters of 9 animals)"
        in chosen.sentence
    )
    assert choose_rule(scores, crops, RankParams(), is_ratio=True).params.rule == "mean_max"
    assert choose_rule(scores, crops, RankParams(rule="mean_top2"), is_ratio=True).params.rule == "mean_top2"
    with pytest.raises(ValueError, match="settled"):
        rank_all(scores, crops, RankParams())
