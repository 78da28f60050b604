"""Columns of the pairs table, worked out by hand."""

import math

import numpy as np
import pytest

from resight.catalog import table
from resight.match.base import PairMatch
from resight.match.summary import SUMMARY_SCHEMA, summarise


def match_of(confidence: list[float], verified: bool = True, inlier: list[bool] | None = None) -> PairMatch:
    n = len(confidence)
    index = np.arange(n, dtype=np.int32)
    inside = np.array(inlier if inlier is not None else [False] * n, bool)
    return PairMatch(index, index, np.array(confidence, np.float32), inside, 10, 12, verified)


def test_by_hand() -> None:
    row = summarise(match_of([0.0625, 0.125, 0.5, 0.75, 1.0], inlier=[False, True, True, False, True]), bins=8)
    assert row == {
        "n_keypoints_a": 10,
        "n_keypoints_b": 12,
        "n_matches": 5,
        "n_inliers": 3,
        "agreement": None,
        # (0, 1/8] holds 0.0625 and its upper end 0.125; (3/8, 1/2] holds 0.5; (5/8, 3/4] 0.75; (7/8, 1] 1.0
        "confidence_histogram": [2, 0, 0, 1, 0, 1, 0, 1],
        "confidence_sum": 2.4375,
        "confidence_sum_squares": 0.0625**2 + 0.125**2 + 0.25 + 0.5625 + 1,
        "confidence_sum_above_half": 1.75,
        "confidence_max": 1.0,
        "n_above_01": 4,
        "n_above_05": 2,
        "log_likelihood_ratio": pytest.approx(-math.log(0.9375 * 0.875 * 0.5 * 0.25 * 1e-6), rel=1e-9),
    }


def test_nothing_matched() -> None:
    row = summarise(match_of([]), bins=64)
    assert row["confidence_histogram"] == [0] * 64
    assert [row[k] for k in ("n_matches", "n_inliers", "confidence_max", "n_above_01", "n_above_05")] == [0] * 5
    assert str([row["confidence_sum"], row["log_likelihood_ratio"]]) == "[0.0, 0.0]"


def test_inliers_are_missing_where_nobody_looked() -> None:
    assert summarise(match_of([0.4], verified=False), bins=8)["n_inliers"] is None


def test_order_of_matches_does_not_matter() -> None:
    confidence = np.random.default_rng(0).uniform(1e-6, 1, 500).tolist()
    assert summarise(match_of(confidence), bins=64) == summarise(match_of(confidence[::-1]), bins=64)


def test_sums_are_in_double_precision() -> None:
    confidence = np.random.default_rng(1).uniform(0, 1, 2000).astype(np.float32) + np.float32(1e-7)
    exact = math.fsum(float(c) for c in confidence.clip(max=1))
    assert summarise(match_of(confidence.clip(max=1).tolist()), bins=64)["confidence_sum"] == pytest.approx(
        exact, abs=1e-10
    )


@pytest.mark.parametrize("wrong", [0.0, 1.5, float("nan")])
def test_confidences_outside_their_range_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="confidences must be in"):
        summarise(match_of([0.5, wrong]), bins=8)


def test_columns_are_those_of_the_catalog() -> None:
    schema = table("pairs").schema
    for field in SUMMARY_SCHEMA:
        if not field.name.startswith("n_keypoints"):
            assert schema.field(field.name).type == field.type, field.name
