"""When a new model is refused, on invented outcomes."""

from evaluate_helpers import new, outcome, table

from resight.evaluate.paired import compare


def judged(named, called, probability=0.95, n=12, stranger_named=0):
    """``n`` encounters of 6 animals with their animal in the gallery and without: how many are named, and called new."""
    rows = []
    for k in range(n):
        animal = f"i{k % 6}"
        decision = "likely" if k < named else "unsure"
        rows.append(outcome(f"e{k}", animal, 1, decision=decision, probability=probability, p_new=1 - probability))
        verdict = "new" if k < called else "likely" if k < called + stranger_named else "unsure"
        rows.append(new(f"e{k}", animal, decision=verdict, probability=1 - probability, p_new=probability))
    return table(rows)


def test_a_model_that_ranks_the_same_and_calls_nobody_new_any_more_is_refused():
    verdict = compare(judged(10, 9), judged(10, 0), draws=20)
    assert not verdict.not_worse and verdict.worse_on == ("known named and new called new",)
    assert "it is worse on known named and new called new" in verdict.sentence


def test_a_model_that_names_new_animals_is_refused():
    verdict = compare(judged(10, 0), judged(10, 0, stranger_named=8), draws=20)
    assert verdict.worse_on == ("new animals given no name",)


def test_a_model_that_states_worse_probabilities_is_refused():
    rows = judged(10, 5).to_pylist()
    worse = [r | {"probability": 0.6 + 0.02 * int(r["true_individual_id"][1:])} if r["known"] else r for r in rows]
    verdict = compare(table(rows), table(worse), draws=20)
    assert verdict.worse_on == ("error of the probabilities",)


def test_chance_refuses_nobody():
    verdict = compare(judged(10, 6), judged(9, 5), draws=20)
    assert verdict.not_worse and "not worse on any of these" in verdict.sentence


def test_four_encounters_measure_nothing():
    verdict = compare(judged(4, 4, n=4), judged(4, 4, n=4), draws=20)
    assert verdict.too_few and not verdict.not_worse
    assert "Only 4 encounters are of animals that were met again, and 5 are needed" in verdict.sentence
