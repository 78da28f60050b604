"""The fusion: against arithmetic on paper, simulation, and animals that it has not seen."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.special import expit

from resight.errors import SettingsError
from resight.score import logistic
from resight.score.accepted import accept, accepted, evidence_name, replaced_fusions
from resight.score.calibrators import BETA, ISOTONIC, Calibrator, fit_calibrator
from resight.score.distribution import read_distributions
from resight.score.fusion import Fusion, Line, Prior, available, fold_of
from resight.score.learn import TrainingPairs, fit_fusion, log_loss_of, weights
from resight.score.prior import NOTHING, prior_for, prior_from, shipped

FEATURES = ("log_sum", "log_count_05")


def distributions(sums, counts):
    """Only what the two features look at."""
    import pyarrow as pa

    from resight.catalog import table

    schema = pa.schema([f.with_nullable(True) for f in table("pairs").schema])
    rows = [
        {
            "status": "scored", "n_keypoints_query": 500, "n_keypoints_gallery": 500, "n_matches": 1, "confidence_histogram": [0, 1],
            "confidence_sum": float(s), "n_above_05": int(c), "n_above_01": 1, "confidence_sum_squares": 0.0,
            "confidence_sum_above_half": 0.0, "confidence_max": 0.5, "log_likelihood_ratio": 0.0,
        }
        for s, c in zip(sums, counts, strict=True)
    ]  # fmt: skip
    return read_distributions(pa.Table.from_pylist(rows, schema=schema))


def world(n_animals, encounters, rng, gain=2.0):
    """Every encounter with every animal; pairs of one animal have ``gain`` higher log sums, counts are noise."""
    own, other, met, sums = [], [], [], []
    for a in range(n_animals):
        for e in range(encounters):
            for c in range(n_animals):
                own.append(f"i{a}")
                other.append(f"i{c}")
                met.append(f"i{a}-{e}")
                sums.append(np.expm1(abs(rng.normal(3 + gain * (a == c), 0.7))))
    d = distributions(sums, rng.integers(0, 4, len(sums)))
    return TrainingPairs(d, np.array(own), np.array(other), np.array(met))


FLAT = Prior(FEATURES, Line(0.0, (0.0, 0.0)), 0.0, "nothing")


def test_logistic_regression_solves_its_equations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 2)), rng.random(300) < 0.3
    x[:, 0] += y
    weight, prior, precision = rng.random(300) + 0.5, np.array([0.2, 0.0]), np.array([3.0, 1.0])
    a, b = logistic.fit(x, y, weight, logistic.CoefficientPrior(prior, precision, np.array([False, False])))
    rest = weight * (expit(a + x @ b) - y)
    assert rest.sum() == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(rest @ x + precision * (b - prior), 0, atol=1e-3)


def test_evidence_never_speaks_against_itself():
    x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([True, True, False, False])
    assert (
        logistic.fit(x, y, np.ones(4), logistic.CoefficientPrior(np.zeros(1), np.ones(1), np.array([True])))[1][0] == 0
    )
    assert (
        logistic.fit(x, y, np.ones(4), logistic.CoefficientPrior(np.zeros(1), np.ones(1), np.array([False])))[1][0] < 0
    )


def test_every_genuine_encounter_weighs_one_and_impostors_as_much_in_all():
    pairs = TrainingPairs(
        None,
        np.array(["A", "A", "A", "B", "A"]),
        np.array(["A", "A", "A", "C", "C"]),
        np.array(["a1", "a1", "a2", "b", "a1"]),
    )
    assert weights(pairs, np.ones(5, bool)).tolist() == [0.5, 0.5, 1.0, 1.0, 1.0]
    assert weights(pairs, np.array([1, 1, 0, 1, 1], bool)).tolist() == [0.5, 0.5, 0, 0.5, 0.5]


def test_what_comes_out_is_a_log_likelihood_ratio_whatever_the_share_of_genuine_pairs():
    # Two normals 2 apart with spread .7: the ratio is (x - 4) * 2 / .49.
    few, many = (fit_fusion(world(n, m, np.random.default_rng(1)), "logistic", FLAT) for n, m in ((8, 60), (25, 20)))
    d = distributions(np.expm1([3.5, 4.0, 4.5]), [1, 1, 1])
    for fusion in (few, many):
        np.testing.assert_allclose(fusion.log_ratio(d), np.array([-0.5, 0, 0.5]) * 2 / 0.49, atol=0.6)
    assert few.training["prior_genuine"] == pytest.approx(1 / 8) and many.training["prior_genuine"] == pytest.approx(
        1 / 25
    )


def test_without_genuine_pairs_the_prior_speaks_alone_and_more_of_them_outweigh_it():
    prior = Prior(FEATURES, Line(-1.0, (0.1, 1.5)), 10.0, "elsewhere")
    pairs = world(12, 3, np.random.default_rng(2))
    impostors = TrainingPairs(
        distributions(np.arange(1.0, 21), np.arange(20) % 3),
        np.array(["a"] * 20),
        np.array(["b"] * 20),
        np.array(["e"] * 20),
    )
    alone = fit_fusion(impostors, prior=prior)
    assert alone.line == prior.line and alone.training["prior"] == "elsewhere"
    fitted = fit_fusion(pairs, prior=prior)
    weak = fit_fusion(pairs, prior=Prior(FEATURES, prior.line, 1.0, ""))
    free = fit_fusion(pairs, prior=FLAT)
    for k in (0, 1):
        order = [one.line.coefficients[k] for one in (free, weak, fitted)]
        assert abs(order[1] - order[0]) < abs(order[2] - order[0]), "a stronger prior draws more"
    assert (
        fit_fusion(TrainingPairs(distributions([1.0], [0]), np.array(["a"]), np.array(["b"]), np.array(["e"]))) is None
    )


def test_an_animal_is_judged_by_the_fold_that_has_not_seen_it():
    pairs = world(12, 3, np.random.default_rng(3))
    fusion = fit_fusion(pairs, "logistic", FLAT)
    k = fold_of("i0")
    unseen = np.array([fold_of(i) != k for i in pairs.individuals])
    some = TrainingPairs(
        distributions(pairs.d.confidence_sum[unseen], pairs.d.n_above_05[unseen]),
        *(v[unseen] for v in (pairs.individuals, pairs.gallery_individuals, pairs.encounters)),
    )
    z = fusion.standardised(pairs.d)
    assert fusion.log_ratio(pairs.d, list(pairs.individuals))[0] == pytest.approx(fusion.folds[k](z)[0])
    assert fusion.log_ratio(pairs.d)[0] == pytest.approx(fusion.line(z)[0])
    assert fusion.folds[k] != fusion.line
    assert fit_fusion(some, "logistic", FLAT).line.coefficients[0] == pytest.approx(
        fusion.folds[k].coefficients[0], rel=0.15
    )


def test_good_evidence_has_a_lower_log_loss_than_none():
    pairs = world(12, 3, np.random.default_rng(5))
    fusion = fit_fusion(pairs)
    assert log_loss_of(fusion, pairs) < 0.5 * np.log(2) < np.log(2)
    assert fusion.training["held_out_log_loss"]["logistic"] == pytest.approx(log_loss_of(fusion, pairs), abs=1e-5)


def test_a_missing_feature_is_refused_and_only_complete_ones_are_used():
    pairs = world(6, 2, np.random.default_rng(0))
    assert available(pairs.d) == FEATURES  # no geometry, no votes
    fusion = fit_fusion(pairs)
    other = Fusion(("log_inliers",), (0.0,), (1.0,), Line(0, (1.0,)), (), Calibrator(), {})
    with pytest.raises(SettingsError, match="agree with one geometry"):
        other.log_ratio(pairs.d)
    assert Fusion.from_dict(json.loads(json.dumps(fusion.as_dict()))).fingerprint == fusion.fingerprint


def test_isotonic_by_hand():
    # Sorted: 0 0 1 0 1 1. Blocks (0 0), (1 0), (1 1); Laplace: 1/4, 2/4, 3/4; log odds -ln 3, 0, ln 3 at the blocks' centres.
    x, y = np.array([-3.0, -1, 0, 1, 2, 4]), np.array([0, 0, 1, 0, 1, 1], bool)
    fitted = fit_calibrator(ISOTONIC, x, y, np.ones(6))
    np.testing.assert_allclose(fitted.x, [-2, 0.5, 3])
    np.testing.assert_allclose(fitted.y, [-np.log(3), 0, np.log(3)], atol=1e-12)
    far = fitted(np.array([-50.0, -40.0, 40.0, 50.0]))
    assert np.isfinite(far).all() and (np.diff(far) > 0).all(), "ends are clipped and no order is lost"


def test_beta_by_hand_and_on_overconfident_odds():
    one = Calibrator(BETA, (2.0, 0.5, 0.1))
    p = 0.8
    assert one(np.array([np.log(4)]))[0] == pytest.approx(2 * np.log(p) - 0.5 * np.log(1 - p) + 0.1)
    rng = np.random.default_rng(1)
    true = rng.normal(0, 2, 4000)
    genuine = rng.random(4000) < expit(true)
    fitted = fit_calibrator(BETA, 3 * true, genuine, np.ones(4000))  # three times too sure
    before, after = (logistic.log_loss(v, genuine, np.ones(4000)) for v in (3 * true, fitted(3 * true)))
    assert after < 0.8 * before and after == pytest.approx(logistic.log_loss(true, genuine, np.ones(4000)), abs=0.01)
    assert Calibrator.from_dict(asdict(fitted)) == fitted


def test_rich_calibrators_wait_for_enough_genuine_pairs():
    small = fit_fusion(world(10, 3, np.random.default_rng(2)))
    assert set(small.training["held_out_log_loss"]) == {"logistic"}
    large = fit_fusion(world(12, 10, np.random.default_rng(2)))
    assert set(large.training["held_out_log_loss"]) == {"logistic", "beta"}
    best = min(large.training["held_out_log_loss"], key=large.training["held_out_log_loss"].get)
    assert large.calibrator.kind == best


def test_accepting_keeps_the_old_one_and_counts(workspace):
    evidence = evidence_name("match", "votes")
    one, other = (fit_fusion(world(8, 2, np.random.default_rng(k))) for k in (0, 1))
    assert accepted(workspace, evidence) is None and replaced_fusions(workspace) == []
    accept(workspace, evidence, one)
    assert accept(workspace, evidence, one).generation == 0 and replaced_fusions(workspace) == []
    assert accept(workspace, evidence, other).generation == 1
    assert accepted(workspace, evidence).fusion.fingerprint == other.fingerprint
    assert replaced_fusions(workspace) == [other.fingerprint]
    assert len(list((workspace.models / "fusion" / evidence).glob("*.json"))) == 3
    assert accepted(workspace, evidence_name("match 2", "votes")) is None


def test_the_shipped_prior_is_found_by_its_features_and_otherwise_all_count_the_same():
    for one in shipped()["priors"]:
        prior = prior_for(one["features"], one["matcher"])
        assert prior.line.coefficients == tuple(one["coefficients"]) and min(prior.line.coefficients) >= 0
    assert prior_from({"strength": 7, "priors": []}, ("log_sum", "log_inliers")).line == Line(0.0, (0.5, 0.5))


def test_where_a_feature_is_missing_the_prior_is_that_of_the_fewest_features_that_hold_the_others():
    def learned(matcher, **line):
        about = {"matcher": matcher, "source": f"bays of {matcher or 'all'}"}
        return about | {"features": [*line], "coefficients": [*line.values()], "intercept": -1.0}

    wide = learned("nearest", log_sum=0.1, log_inliers=0.2, relative_inliers=0.3, relative_sum=0.4)
    narrow = learned("nearest", log_sum=0.5, relative_inliers=0.6, relative_sum=0.7)
    content = {"strength": 7, "priors": [wide, learned("", log_sum=0.9, log_inliers=0.8), narrow]}
    prior = prior_from(content, ("relative_inliers", "log_sum"), "nearest")
    assert prior.line == Line(-1.0, (0.6, 0.5)) and prior.features == ("relative_inliers", "log_sum")
    assert prior.source == "bays of nearest, without relative_sum" and prior.strength == 7
    assert prior_from(content, ("log_inliers", "relative_inliers", "log_sum"), "nearest").line == Line(
        -1.0, (0.2, 0.3, 0.1)
    )
    assert prior_from(content, ("log_sum", "log_inliers"), "another").source == "bays of all"
    assert prior_from(content, ("log_sum", "log_votes"), "nearest").source == NOTHING, "no line holds votes"
    assert prior_from(content, ("log_sum",), "nearest").source == "bays of all, without log_inliers", "0.5 of 1.8"
    assert prior_from(content, ("log_inliers",), "another").source == NOTHING, "0.8 of 1.7"
