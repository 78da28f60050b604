"""The fitted tail against a distribution that is known."""

import numpy as np
import pytest
from scipy import stats

from resight.novelty.tail import fit_tail, tail_probability


def test_tail_probability_by_hand():
    # exponential (shape 0) with scale 2 above 5, a tenth lies above: .1 * exp(-(9 - 5) / 2)
    assert tail_probability(9.0, (0.0, 2.0, 5.0, 0.1)) == pytest.approx(0.1 * np.exp(-2))


def test_beyond_the_sample_the_tail_goes_on():
    x = np.random.default_rng(3).normal(size=2000)
    tail = fit_tail(x, [f"i{k}" for k in range(2000)])
    for level in (2.5, 3.5):
        assert tail_probability(level, tail) == pytest.approx(stats.norm.sf(level), rel=0.6)


def test_too_few_animals_have_no_tail():
    x = np.random.default_rng(3).normal(size=2000)
    assert fit_tail(x, [f"i{k % 49}" for k in range(2000)]) == ()
    assert fit_tail(x[:150], [f"i{k}" for k in range(150)]) == ()
