"""Corresponding points for the report."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from resight.environment import Environment
from resight.match.evidence import Evidence, evidence
from resight.match.kinds.nearest import NearestMatcher, NearestParams
from resight.run.setups import match_setup
from resight.settings import Settings, settings_from

Get = Callable[..., dict[tuple[str, str], Evidence]]


@pytest.fixture
def get(survey: Any, env: Environment, name_of: Any) -> Get:
    """Ask for pairs."""

    def call(pairs: list[tuple[str, str]], settings: Settings | None = None) -> Any:
        used = settings or Settings()
        return evidence(env, match_setup(used), name_of(used), pairs, survey.features)

    return call


def test_points_are_those_of_the_matches_strongest_first(get: Get, survey: Any) -> None:
    shown = get([("g2", "q1")])["g2", "q1"]
    a, b = survey.crops["g2"], survey.crops["q1"]
    match = NearestMatcher(NearestParams()).match(a, b)
    order = np.argsort(-match.confidence, kind="stable")
    assert match.n_matches >= 30
    np.testing.assert_array_equal(shown.xy_a_px, a.xy_px[match.index_a[order]])
    np.testing.assert_array_equal(shown.xy_b_px, b.xy_px[match.index_b[order]])
    np.testing.assert_array_equal(shown.confidence, match.confidence[order])
    np.testing.assert_array_equal(shown.inlier, match.inlier[order])
    assert shown.verified


def test_the_other_direction_swaps_the_points(get: Get) -> None:
    both = get([("g2", "q1"), ("q1", "g2")])
    np.testing.assert_array_equal(both["g2", "q1"].xy_a_px, both["q1", "g2"].xy_b_px)
    np.testing.assert_array_equal(both["g2", "q1"].xy_b_px, both["q1", "g2"].xy_a_px)
    np.testing.assert_array_equal(both["g2", "q1"].confidence, both["q1", "g2"].confidence)


def test_at_most_eighty(get: Get, survey: Any, planted: Any) -> None:
    survey.crops["q1"], survey.crops["g2"], _ = planted(200, 150, seed=9)
    shown = get([("q1", "g2")])["q1", "g2"]
    assert shown.xy_a_px.shape == shown.xy_b_px.shape == (80, 2)
    assert (np.diff(shown.confidence) <= 0).all()


def test_pairs_without_matches_have_no_points(get: Get, survey: Any, make_features: Any) -> None:
    survey.crops["q0"] = make_features(0, 0)
    shown = get([("q0", "g0")])["q0", "g0"]
    assert shown.xy_a_px.shape == (0, 2)
    assert shown.inlier.dtype == bool


def test_shown_twice_is_matched_once(get: Get, survey: Any) -> None:
    first = get([("q1", "g2"), ("q0", "g0")])
    loads = survey.loads
    again = get([("q0", "g0"), ("q1", "g2")])
    assert survey.loads == loads
    np.testing.assert_array_equal(first["q1", "g2"].xy_a_px, again["q1", "g2"].xy_a_px)
    get([("q1", "g2"), ("q2", "g0")])
    assert survey.loads == loads + 2
    get([("q1", "g2")], settings_from({"match": {"ratio": 0.5}}))
    assert survey.loads == loads + 4, "another setting is another result"


def test_a_pair_that_fails_is_left_out(get: Get, survey: Any) -> None:
    survey.broken = {"g0"}
    assert set(get([("q0", "g0"), ("q0", "g1")])) == {("q0", "g1")}


def test_no_pairs(get: Get, survey: Any) -> None:
    assert get([]) == {}
    assert survey.loads == 0
