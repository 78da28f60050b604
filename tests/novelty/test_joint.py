"""Who is who, all encounters at once: against sums over all forests, written out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from resight.decisions.names import provisional_id
from resight.novelty import joint
from resight.novelty.cluster import cluster
from resight.novelty.decide import posterior as posterior_alone
from resight.novelty.draws import drawn_names
from resight.novelty.forest import Forbidden, Forest, draw_allowed, draw_by_turns
from resight.novelty.joint import Evidence, joint_posterior
from resight.novelty.model import LOGISTIC, NoveltyModel
from resight.novelty.params import NoveltyParams

PARAMS = NoveltyParams()
Draw = Callable[[Forest, Forbidden, int, np.random.Generator], np.ndarray]


def all_forests(forest: Forest) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every way in which the nodes can hang on nodes and roots, as the animal of each node, with its weight."""
    n, k = len(forest.links), forest.n_animals
    for on in product(range(n + k + 1), repeat=n):
        animals = []
        for node in range(n):
            at, seen = node, set()
            while on[at] < n and at not in seen:
                seen.add(at)
                at = on[at]
            if on[at] < n:
                break  # a circle
            animals.append(on[at] - n if on[at] - n < k else k + at)
        if len(animals) == n:
            yield (
                tuple(animals),
                math.prod(forest.links[e, w] if w < n else forest.hang[e, min(w - n, k)] for e, w in enumerate(on)),
            )


def posterior(forest: Forest, forbidden: Forbidden | None = None) -> Counter[tuple[int, ...]]:
    """Probability of each assignment, by enumeration."""
    found: Counter[tuple[int, ...]] = Counter()
    for animals, weight in all_forests(forest):
        refused = forbidden and (
            any(animals[a] == animals[b] for a, b in forbidden.apart)
            or any(animals[e] == g for e, g in forbidden.never)
        )
        if not refused:
            found[animals] += weight
    total = sum(found.values())
    return Counter({animals: weight / total for animals, weight in found.items()})


def drawn_forest(seed: int, n: int = 4, k: int = 2) -> Forest:
    rng = np.random.default_rng(seed)
    links = np.triu(rng.gamma(0.5, 2.0, (n, n)) * (rng.random((n, n)) < 0.7), 1)
    return Forest(links + links.T, rng.gamma(0.7, 1.0, (n, k + 1)) + 1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_are_the_sums_over_all_forests(seed: int) -> None:
    forest = drawn_forest(seed)
    exact = np.zeros((4, 3))
    for animals, p in posterior(forest).items():
        for node, animal in enumerate(animals):
            exact[node, min(animal, 2)] += p
    np.testing.assert_allclose(forest.marginals(), exact, atol=1e-12)


def test_draws_come_as_often_as_they_are_probable() -> None:
    forest, n = drawn_forest(5), 40_000
    drawn = Counter(map(tuple, forest.draw(n, np.random.default_rng(1)).tolist()))
    exact = posterior(forest)
    assert set(drawn) <= set(exact)
    for animals, p in exact.items():
        assert abs(drawn[animals] / n - p) < 5 * math.sqrt(p * (1 - p) / n) + 1e-4, animals


@pytest.mark.parametrize("draw", [draw_allowed, draw_by_turns])
@pytest.mark.parametrize("forbidden", [Forbidden(), Forbidden([(0, 2)], [(1, 0)]), Forbidden([(0, 1), (1, 2)])])
def test_draws_come_close_and_nothing_forbidden_is_drawn(forbidden: Forbidden, draw: Draw) -> None:
    forest = drawn_forest(6)
    drawn = draw(forest, forbidden, 2000, np.random.default_rng(2))
    exact = posterior(forest, forbidden)
    assert set(map(tuple, drawn.tolist())) <= set(exact)
    states, p = np.array(list(exact)), np.array(list(exact.values()))
    for node in range(4):
        for animal in range(2):
            assert (drawn[:, node] == animal).mean() == pytest.approx(p @ (states[:, node] == animal), abs=0.05)
        for other in range(node):
            together = p @ (states[:, node] == states[:, other])
            assert (drawn[:, node] == drawn[:, other]).mean() == pytest.approx(together, abs=0.05)


def test_one_rejection_among_many_encounters_is_no_walk_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 linked encounters: by turns they would take minutes."""

    def by_turns(*_: object) -> np.ndarray:
        raise AssertionError("nothing improbable is asked for")

    monkeypatch.setattr("resight.novelty.forest.draw_by_turns", by_turns)
    drawn = draw_allowed(drawn_forest(7, 200, 5), Forbidden([(3, 4)], [(0, 1)]), 100, np.random.default_rng(1))
    assert drawn.shape == (100, 200)
    assert not (drawn[:, 3] == drawn[:, 4]).any() and not (drawn[:, 0] == 1).any()


@pytest.mark.parametrize("draw", [draw_allowed, draw_by_turns])
def test_a_strong_link_takes_no_longer_and_the_pair_hangs_by_either(draw: Draw) -> None:
    """A link of e^20: walks to and fro between the two would never end, and by turns the pair would hang by the first for ever."""
    links = np.array([[0.0, math.exp(20)], [math.exp(20), 0.0]])
    forest = Forest(links, np.array([[60.0, 0.1, 0.2], [0.4, 0.4, 0.2]]))
    drawn = draw(forest, Forbidden(never=[(1, 1)]), 500, np.random.default_rng(3))
    assert (drawn[:, 0] == drawn[:, 1]).mean() > 0.98
    assert (drawn[:, 1] == 0).mean() == pytest.approx(60.4 / 60.8, abs=0.02)


def evidence(**given: object) -> Evidence:
    """Two animals Ada and Bo of the gallery, scores as log likelihood ratios."""
    facts: dict[str, object] = {"nodes": list("efgh"), "animals": ["Ada", "Bo"], "scores": {}}
    return Evidence(**(facts | given))  # type: ignore[arg-type]


MODEL = NoveltyModel(LOGISTIC, epsilon=None, slope=1.0, log_score_range=(-9.0, 9.0))


def test_by_themselves_encounters_have_the_probabilities_that_they_had_alone() -> None:
    joint = joint_posterior(evidence(scores={"e": {"Ada": 3.0, "Bo": -2.0}}), MODEL, PARAMS)
    weight = np.array([0.4 * math.exp(3), 0.4 * math.exp(-2), 0.2])
    np.testing.assert_allclose(joint.probability[0], weight / weight.sum())
    np.testing.assert_allclose(joint.probability[1], [0.4, 0.4, 0.2])
    assert joint.groups == [["e"], ["f"], ["g"], ["h"]]


def test_the_number_of_pairs_behind_a_score_counts_together_as_it_does_alone() -> None:
    """Bo scores more than Ada, and is the best of forty pairs."""
    model = replace(MODEL, missed=0.1, crowding=0.7, usual_pairs=4.0)
    scores, n_pairs = {"Ada": 3.0, "Bo": 3.5}, {"Ada": 1, "Bo": 40}
    together = joint_posterior(evidence(scores={"e": scores}, n_pairs={"e": n_pairs}), model, PARAMS).beliefs()["e"]
    counts = np.array(list(n_pairs.values()))
    each, new, _ = posterior_alone(np.array(list(scores.values())), 2, model, PARAMS.prior_new, counts)
    assert [*together.animals.values(), together.new] == pytest.approx([*each, new])
    assert each[0] > 2 * each[1], "without the number of pairs Bo would come first"
    few, many = (joint.pair_ratio(np.array([3.0]), np.array([n]), model, False) for n in (1, 40))
    assert few is not None and many is not None and few[0] > many[0] + 1


def test_two_that_are_surely_one_animal_never_carry_two_names() -> None:
    """e alone is Ada, f alone could be Bo; together both are Ada."""
    scores = {"e": {"Ada": 5.0, "Bo": -2.0}, "f": {"Ada": 0.0, "Bo": 1.0}}
    alone = joint_posterior(evidence(scores=scores), MODEL, PARAMS).beliefs()
    assert max(alone["f"].animals, key=lambda a: alone["f"].animals[a]) == "Bo"
    joint = joint_posterior(evidence(scores=scores, log_ratio={("f", "e"): 15.0}), MODEL, PARAMS)
    both = joint.beliefs()
    assert both["e"].animals["Ada"] > 0.9 and both["f"].animals["Ada"] > 0.9
    assert both["f"].animals["Ada"] == pytest.approx(both["e"].animals["Ada"], abs=1e-4)
    assert joint.groups[0] == ["e", "f"] and both["e"].partners == ("f",)


def test_what_people_say_wins_over_ties() -> None:
    scores = {"e": {"Ada": 5.0, "Bo": -2.0}, "f": {"Ada": 0.0, "Bo": 1.0}}
    tied = {"scores": scores, "log_ratio": {("e", "f"): 15.0}}
    refused = joint_posterior(evidence(**tied, never=[("f", "Ada")]), MODEL, PARAMS)
    e, f = (refused.nodes.index(node) for node in "ef")
    assert not (refused.draws[:, f] == 0).any() and refused.probability[f, 0] == 0
    assert (refused.draws[:, e] == refused.draws[:, f]).mean() > 0.9, "nobody says that they are two animals"
    two = joint_posterior(evidence(**tied, apart=[("f", "e")]), MODEL, PARAMS)
    assert not (two.draws[:, e] == two.draws[:, f]).any() and ["e", "f"] not in two.groups


def test_a_pair_that_speaks_against_one_animal_is_no_link() -> None:
    scores = {"e": {"Ada": 5.0}}
    without = joint_posterior(evidence(scores=scores), MODEL, PARAMS)
    against = joint_posterior(evidence(scores=scores, log_ratio={("e", "f"): -1.0}), MODEL, PARAMS)
    np.testing.assert_array_equal(without.probability, against.probability)


def test_a_pair_of_unknown_encounters_has_the_odds_of_its_ratio_and_prior() -> None:
    """Nobody in the gallery, two encounters, one of two with another animal a priori: odds are twice c times the ratio, c = 1/2."""
    joint = joint_posterior(
        Evidence(["e", "f"], [], {}, log_ratio={("e", "f"): math.log(4)}), MODEL, NoveltyParams(draws=20_000)
    )
    assert (joint.draws[:, 0] == joint.draws[:, 1]).mean() == pytest.approx(4 / 5, abs=0.015)


def test_shares_of_the_draws_are_the_probabilities_and_the_same_evidence_gives_the_same_draws() -> None:
    scores = {"e": {"Ada": 2.0, "Bo": 1.0}, "f": {"Ada": 0.0, "Bo": 1.0}, "h": {"Ada": -2.0, "Bo": -2.0}}
    given = evidence(scores=scores, log_ratio={("e", "f"): 3.0, ("g", "h"): 4.0})
    joint, again = (joint_posterior(given, MODEL, PARAMS) for _ in range(2))
    np.testing.assert_array_equal(joint.draws, again.draws)
    table = drawn_names(joint, {"g": "new-g", "h": "new-g"})
    rows = table.to_pylist()
    assert len(rows) == 4 * PARAMS.draws and {row["draw"] for row in rows} == set(range(1, PARAMS.draws + 1))
    shares = Counter((row["encounter_id"], row["individual_id"]) for row in rows)
    for node, belief in joint.beliefs().items():
        known = sum(shares[node, animal] for animal in belief.animals)
        for animal, p in belief.animals.items():
            assert shares[node, animal] / PARAMS.draws == pytest.approx(p, abs=0.06)
        assert 1 - known / PARAMS.draws == pytest.approx(belief.new, abs=0.06)


def test_in_one_draw_equal_names_are_one_animal() -> None:
    joint = joint_posterior(evidence(animals=[], log_ratio={("e", "f"): 2.0, ("f", "g"): 2.0}), MODEL, PARAMS)
    joint = type(joint)(joint.nodes, joint.animals, joint.probability, joint.draws, [["e", "f", "g"], ["h"]])
    table = drawn_names(joint, dict.fromkeys("efg", provisional_id("f")))
    names = np.array(table["individual_id"].to_pylist()).reshape(-1, 4)
    one, same = joint.draws[:, :, None] == joint.draws[:, None, :], names[:, :, None] == names[:, None, :]
    np.testing.assert_array_equal(one, same)
    assert pa.types.is_string(table.schema.field("individual_id").type)


def test_groups_are_joined_by_the_mean_of_their_pairs() -> None:
    together = np.array([[1, 0.95, 0.7, 0], [0.95, 1, 0.86, 0], [0.7, 0.86, 1, 0], [0, 0, 0, 1]])
    assert cluster(together, (), 0.8) == [[0, 1], [2], [3]], "the mean of .7 and .86 is .78"
    assert cluster(together, (), 0.77) == [[0, 1, 2], [3]]
    assert cluster(together, [(2, 0)], 0.77) == [[0, 1], [2], [3]], "two animals of one photo, not even through a third"
    assert cluster(np.empty((0, 0)), (), 0.8) == []


def test_what_the_shortlist_left_out_is_less_likely_and_together_as_alone() -> None:
    model, animals = replace(MODEL, kept=0.9), ["Ada", "Bo", "Cy", "Dee", "Eli"]
    given = evidence(animals=animals, scores={"e": {"Ada": 3.0, "Bo": -2.0}}, left_out={"e": ["Cy", "Dee", "Ada"]})
    belief = joint_posterior(given, model, PARAMS).beliefs()["e"]
    each, new, others = posterior_alone(np.array([3.0, -2.0]), 5, model, PARAMS.prior_new, n_left_out=2)
    assert [belief.animals["Ada"], belief.animals["Bo"], belief.new] == pytest.approx([*each, new])
    assert belief.animals["Cy"] == belief.animals["Dee"] < belief.animals["Eli"]
    assert belief.animals["Cy"] + belief.animals["Dee"] + belief.animals["Eli"] == pytest.approx(others)


def naive_groups(together, apart, least):
    """Average linkage as it is defined, looking through all pairs of groups each time."""
    mean = np.array(together, float)
    np.fill_diagonal(mean, -np.inf)
    for a, b in apart:
        mean[a, b] = mean[b, a] = -np.inf
    groups = [[node] for node in range(len(mean))]
    while len(groups) > 1:
        a, b = sorted(int(k) for k in np.unravel_index(int(mean.argmax()), mean.shape))
        if not mean[a, b] >= least:
            break
        n_a, n_b = len(groups[a]), len(groups[b])
        mean[a] = mean[:, a] = (n_a * mean[a] + n_b * mean[b]) / (n_a + n_b)
        mean[a, a] = -np.inf
        mean = np.delete(np.delete(mean, b, 0), b, 1)
        groups[a] = sorted(groups[a] + groups.pop(b))
    return sorted(groups)


@pytest.mark.parametrize("values", [2, 5, 1000])
def test_groups_are_those_of_looking_through_all_pairs_also_where_many_are_equal(values):
    rng = np.random.default_rng(values)
    for _ in range(60):
        n = int(rng.integers(0, 30))
        together = rng.integers(0, values, (n, n)) / (values - 1)
        together = np.maximum(together, together.T)
        apart = [(a, b) for a, b in rng.integers(0, max(n, 1), (3, 2)).tolist() if a != b]
        for least in (0.0, 0.4, 0.9):
            assert cluster(together, apart, least) == naive_groups(together, apart, least)


@pytest.mark.parametrize(("n_draws", "n"), [(0, 3), (40, 0), (1, 1), (40, 25)])
def test_two_are_as_often_together_as_they_are_in_the_draws(n_draws, n, monkeypatch):
    draws, seen = np.random.default_rng(n).integers(0, 7, (n_draws, n)), []
    monkeypatch.setattr(joint, "cluster", lambda together, *_: seen.append(together) or [])
    joint._groups(draws, (), 0.5)
    expected = [[sum(draws[:, a] == draws[:, b]) / max(n_draws, 1) for b in range(n)] for a in range(n)]
    assert seen[0].tolist() == expected
