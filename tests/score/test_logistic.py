"""The one logistic regression: on paper, and against scipy's general minimisers."""

import numpy as np
import pytest
from scipy.optimize import minimize

from resight.score import logistic


def unpenalised(x, y):
    zeros = np.zeros(x.shape[1])
    return logistic.fit(x, y, np.ones(len(y)), logistic.CoefficientPrior(zeros, zeros, zeros > 0))


def test_one_yes_or_no_feature_gives_the_log_odds_of_its_two_groups():
    # x = 0: 1 of 4 genuine, log odds -log 3; x = 1: 3 of 4, log odds log 3, which is 2 log 3 more.
    x = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float64)[:, None]
    a, (b,) = unpenalised(x, np.array([1, 0, 0, 0, 1, 1, 1, 0], bool))
    assert (a, b) == pytest.approx((-np.log(3), 2 * np.log(3)), abs=1e-9)


def test_a_row_of_weight_two_is_two_rows():
    x, y = np.array([[0.0], [1.0], [2.0], [1.5]]), np.array([False, True, True, False])
    zeros = np.zeros(1)
    once = logistic.fit(x, y, np.array([2.0, 1, 1, 1]), logistic.CoefficientPrior(zeros, zeros + 0.5, zeros > 0))
    twice = logistic.fit(
        x[[0, 0, 1, 2, 3]], y[[0, 0, 1, 2, 3]], np.ones(5), logistic.CoefficientPrior(zeros, zeros + 0.5, zeros > 0)
    )
    assert once[0] == pytest.approx(twice[0], abs=1e-9) and once[1] == pytest.approx(twice[1], abs=1e-9)


def test_an_overwhelming_prior_is_what_comes_out():
    x, y = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 3 == 0
    prior = np.array([0.7, -0.2])
    _, beta = logistic.fit(x, y, np.ones(50), logistic.CoefficientPrior(prior, np.full(2, 1e9), np.zeros(2, bool)))
    np.testing.assert_allclose(beta, prior, atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_it_finds_what_scipy_finds_with_and_without_bounds(seed):
    rng = np.random.default_rng(seed)
    n_features = 1 + seed % 5
    y = np.arange(200) < 5 + 8 * seed
    x = rng.normal(size=(200, n_features)) + y[:, None] * rng.normal(0, 2, n_features)
    weight, prior = rng.uniform(0.1, 2, 200), np.abs(rng.normal(0, 1, n_features))
    precision, monotone = rng.uniform(0.1, 5, n_features), rng.random(n_features) < 0.5

    def loss(theta):
        eta = theta[0] + x @ theta[1:]
        return np.sum(weight * (np.logaddexp(0, eta) - y * eta)) + np.sum(precision * (theta[1:] - prior) ** 2) / 2

    bounds = [(None, None), *((0, None) if m else (None, None) for m in monotone)]
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000}
    best = minimize(loss, np.zeros(1 + n_features), method="L-BFGS-B", bounds=bounds, options=options)
    intercept, beta = logistic.fit(x, y, weight, logistic.CoefficientPrior(prior, precision, monotone))
    assert loss(np.append(intercept, beta)) <= best.fun + 1e-9
    np.testing.assert_allclose(np.append(intercept, beta), best.x, atol=2e-4)
    assert (beta[monotone] >= 0).all()


def test_a_coefficient_held_at_nought_leaves_the_others_as_if_it_were_not_there():
    rng = np.random.default_rng(3)
    y = np.arange(80) < 30
    x = np.column_stack([rng.normal(size=80) + y, rng.normal(size=80) - 2 * y])
    zeros = np.zeros(2)
    a, (kept, held) = logistic.fit(
        x, y, np.ones(80), logistic.CoefficientPrior(zeros, zeros + 1, np.array([True, True]))
    )
    alone_a, (alone,) = logistic.fit(
        x[:, :1], y, np.ones(80), logistic.CoefficientPrior(zeros[:1], zeros[:1] + 1, np.array([True]))
    )
    assert held == 0.0 and (a, kept) == pytest.approx((alone_a, alone), abs=1e-9)
