"""The threshold that a query is shown is the smallest score with a p-value of at most alpha, however it is found."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import genpareto

from resight.novelty.model import NoveltyModel
from resight.novelty.tail import tail_probability
from resight.novelty.yardstick import QueryScores, Yardstick


def drawn(seed: int) -> tuple[NoveltyModel, QueryScores, random.Random]:
    """Animals with one to four encounters, some without a score, from up to eight photos each; and a query."""
    draw = random.Random(seed)
    n = draw.randint(5, 80)
    rows = [
        (
            f"e{a}.{e}",
            f"a{a}",
            photos,
            -np.inf if draw.random() < 0.1 else round(draw.gauss(0, 1), draw.choice([0, 1, 6])),
        )
        for a in range(n)
        for e in range(draw.randint(1, 4))
        for photos in (1, 2, 3, 4, 6, 8)[: draw.randint(1, 6)]
    ]
    numbers = (1, 2, 3, 4, 6, 8)[: draw.randint(1, 6)]  # a query has a score from each number of photos up to its own
    query = QueryScores(f"a{draw.randint(0, n + 3)}", dict.fromkeys(numbers, 0.0))
    return NoveltyModel("logistic", levels=Yardstick(tuple(sorted(rows))), n_animals=n), query, draw


@pytest.mark.parametrize("seed", range(60))
def test_the_threshold_is_where_the_p_value_reaches_alpha(seed: int) -> None:
    model, query, draw = drawn(seed)
    alpha, n_animals = draw.choice([0.05, 0.1, 0.3]), draw.choice([model.n_individuals, 3 * model.n_individuals])

    def p_value(score: float) -> float:
        return model.p_value(replace(query, best=dict.fromkeys(query.best, score)), n_animals)

    found = model.threshold(query, alpha, n_animals)
    if found is None:
        assert model.smallest_p_value(query.individual_id, n_animals) > alpha
        return
    steps = sorted({float(np.nextafter(row[3], np.inf)) for row in model.levels.rows})
    lower = [step for step in steps if step < found]
    assert p_value(found) <= alpha and (not lower or p_value(lower[-1]) > alpha)


@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.3])
def test_the_tail_is_the_generalised_pareto_distribution(shape: float) -> None:
    for x in np.linspace(-1, 6, 50).tolist():
        expected = 0.1 * genpareto.sf(x - 0.5, shape, scale=0.7)
        assert tail_probability(x, (shape, 0.7, 0.5, 0.1)) == pytest.approx(expected, rel=1e-12, abs=0)
