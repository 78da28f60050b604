"""Two runs on the same queries, worked out by hand."""

import itertools

import numpy as np
import pytest
from evaluate_helpers import new, outcome, photo, table

from resight.evaluate.bootstrap import difference_interval
from resight.evaluate.metrics import weighted_mean
from resight.evaluate.paired import compare, level_comparison
from resight.store.tables import conform


def ranks(*given, **more):
    return [outcome(f"e{k}", animal, rank, **more) for k, (animal, rank) in enumerate(given)]


OLD = ranks(("Ada", 1), ("Ada", 2), ("Ben", 1), ("Cleo", 1), ("Cleo", 3))
NEW = ranks(("Ada", 1), ("Ada", 1), ("Ben", 2), ("Cleo", 1), ("Cleo", 2))


def test_gained_and_lost_by_hand():
    found = compare(table(OLD), table(NEW), draws=50).levels[0]
    assert (found.n, found.old_right, found.new_right, found.gained, found.lost) == (5, 3, 3, 1, 1)
    assert found.p_value == 1.0


def test_mcnemar_by_hand():
    # Five gained, none lost: two-sided 2 * (1/2)^5; four and one: 2 * (1 + 5) / 32
    assert level_comparison("photo", [False] * 5, [True] * 5).p_value == pytest.approx(2 / 32)
    assert level_comparison("photo", [False] * 4 + [True], [True] * 4 + [False]).p_value == pytest.approx(12 / 32)
    assert level_comparison("photo", [True, False], [True, False]).p_value == 1.0


def test_differences_of_every_metric_by_hand():
    rows = {r["metric"]: r for r in compare(table(OLD), table(NEW), draws=200).differences}
    # top 1: 3/5 both; top 3: 5/5 both
    assert rows["top1_encounter"]["difference"] == 0 and rows["top3_encounter"]["difference"] == 0
    assert (rows["top1_encounter"]["n_gained"], rows["top1_encounter"]["n_lost"]) == (1, 1)
    better = {r["metric"]: r for r in compare(table(OLD), table(ranks(*[("Ada", 1)] * 2, ("Ben", 1), ("Cleo", 1), ("Cleo", 3))), draws=200).differences}  # fmt: skip
    one = better["top1_encounter"]
    assert (one["old_value"], one["new_value"], one["difference"]) == (pytest.approx(3 / 5), pytest.approx(4 / 5), pytest.approx(1 / 5))  # fmt: skip
    assert one["ci_low"] <= 1 / 5 <= one["ci_high"] and one["ci_low"] >= 0


def test_gained_and_lost_beside_a_difference_are_of_what_it_counts():
    """In view of all encounters Ada's second one was right before; by itself it is only now."""
    seen_with_others = [row | {"correct": True} if row["query_id"] == "e1" else row for row in OLD]
    found = compare(table(seen_with_others), table(NEW), draws=50)
    row = {r["metric"]: r for r in found.differences}["top1_encounter"]
    assert row["difference"] * row["n"] == pytest.approx(row["n_gained"] - row["n_lost"])
    assert (row["n_gained"], row["n_lost"]) == (1, 1)
    assert (found.levels[0].old_right, found.levels[0].gained, found.levels[0].lost) == (4, 0, 1)


def test_novelty_differences_pair_new_and_known():
    def judged(statistic):
        return [outcome("e", "Ada", 1, novelty=0.3, p_new=0.3, decision="known"), outcome("f", "Ben", 1, novelty=0.3, p_new=0.3, decision="known"),
                new("e", "Ada", novelty=statistic, p_new=statistic, decision="new"), new("f", "Ben", novelty=0.4, p_new=0.4, decision="unsure")]  # fmt: skip

    rows = {r["metric"]: r for r in compare(table(judged(0.1)), table(judged(0.9)), draws=50).differences}
    # .1 loses to both known ones, .4 beats both: 1/2; then all are told apart
    assert rows["novelty_auroc"]["difference"] == pytest.approx(1 / 2)


def test_only_common_queries_count():
    more = [*NEW, outcome("e9", "Zoe", 1), photo("p", "Zoe", 1)]
    found = compare(table(OLD), table(more), draws=50)
    assert found.levels[0].n == 5 and found.levels[1].n == 0 and found.n_not_common == 1
    relabelled = [r | {"true_individual_id": "Somebody"} if r["query_id"] == "e0" else r for r in NEW]
    assert compare(table(OLD), table(relabelled), draws=50).levels[0].n == 4


def test_changes_say_who_was_found_before_and_now():
    old = [outcome("e", "Ada", 2, individual_id="Ben", probability=0.6, query_crop_id="x", found_crop_id="b"), outcome("f", "Ben", 1),
           outcome("g", "Cleo", 3, individual_id="Ada"), outcome("h", "Cleo", 1)]  # fmt: skip
    now = [outcome("e", "Ada", 1, probability=0.9, query_crop_id="x", found_crop_id="a"), outcome("f", "Ben", 2, individual_id="Ada"),
           outcome("g", "Cleo", 2, individual_id="Ben"), outcome("h", "Cleo", 1)]  # fmt: skip
    found = compare(table(old), table(now), draws=50)
    rows = {r["query_id"]: r for r in found.changes}
    assert {q: r["outcome"] for q, r in rows.items()} == {"e": "gained", "f": "lost", "g": "still_wrong"}
    assert (rows["e"]["old_individual_id"], rows["e"]["new_individual_id"], rows["e"]["old_crop_id"], rows["e"]["new_crop_id"]) == ("Ben", "Ada", "b", "a")  # fmt: skip
    assert found.changed == ("e", "f", "g")
    against = {"against_run_id": "before"}
    assert conform("changes", [r | against for r in found.changes], "r").num_rows == 3
    assert conform("accuracy_differences", [r | against for r in found.differences], "r").num_rows > 5


def test_not_worse_needs_both_levels_and_a_query():
    photos = [photo("p", "Ada", 1), photo("q", "Ben", 1)]
    worse = [photo("p", "Ada", 1), photo("q", "Ben", 2)]
    assert compare(table(OLD + photos), table(NEW + photos), draws=50).not_worse
    assert not compare(table(OLD + photos), table(NEW + worse), draws=50).not_worse
    nothing = compare(table([]), table([]), draws=50)
    assert not nothing.not_worse and "could not be compared" in nothing.sentence


def test_the_interval_of_a_difference_agrees_with_all_possible_draws():
    old, now = np.array([0.0, 1, 1, 0]), np.array([1.0, 1, 0, 1])
    names = ["Ada", "Ben", "Cleo", "Dora"]
    exact = [np.mean((now - old)[list(draw)]) for draw in itertools.product(range(4), repeat=4)]
    got = difference_interval((lambda w: weighted_mean(old, w), names), (lambda w: weighted_mean(now, w), names), draws=4000)  # fmt: skip
    assert got == pytest.approx(tuple(np.quantile(exact, [0.025, 0.975])), abs=0.03)


def test_rows_of_old_and_new_may_differ_but_animals_are_drawn_together():
    # Ada has two rows in the old run and one in the new; both are 1 for Ada and 0 for Ben, so the draws Ada-Ada and Ben-Ben
    # give 0, and the mixed ones 1/2 - 2/3. Were they drawn apart, differences of 1 would come up.
    old, now = np.array([1.0, 1, 0]), np.array([1.0, 0])
    low, high = difference_interval((lambda w: weighted_mean(old, w), ["Ada", "Ada", "Ben"]), (lambda w: weighted_mean(now, w), ["Ada", "Ben"]), draws=500)  # fmt: skip
    assert (low, high) == (pytest.approx(1 / 2 - 2 / 3), 0.0)


def test_the_table_of_two_shortlists_says_points_and_who_was_gained():
    from bench_verdicts import paired

    animals = ("Ada", "Ben", "Cleo", "Dan")
    old, now = (table(ranks(*zip(animals, of, strict=True))) for of in ((1, 2, 2, None), (1, 1, 1, 2)))
    lines = paired(old, now, ("votes", "union"), 0.2)
    assert lines[0] == "| union less votes | difference, points | gained and lost |"
    (first,) = [line for line in lines if line.startswith("| right at once, encounter")]
    assert "+50.0" in first and "of 4 | 2, 0 |" in first
