"""Nearest neighbours, ratio test, geometry."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from resight.extract.base import Features
from resight.match.base import Matcher, PairMatch
from resight.match.kinds.nearest import NearestMatcher, NearestParams
from resight.match.params import VerifyParams
from resight.match.verify import inliers

Planted = Callable[..., tuple[Features, Features, np.ndarray]]
NO_GEOMETRY = VerifyParams(model="none")


def of(descriptors: list[list[float]], dtype: type = np.float32) -> Features:
    n = len(descriptors)
    zeros = np.zeros(n, np.float32)
    xy = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    return Features(xy, np.array(descriptors, dtype).reshape(n, -1 if n else 8), zeros, zeros, zeros, (313, 471))


def matcher(ratio: float = 0.85, verify: VerifyParams = NO_GEOMETRY) -> NearestMatcher:
    return NearestMatcher(NearestParams(ratio=ratio, verify=verify))


def triples(match: PairMatch) -> list[tuple[int, int, float]]:
    return list(zip(match.index_a.tolist(), match.index_b.tolist(), match.confidence.tolist(), strict=True))


def test_ratio_in_both_directions_by_hand() -> None:
    a, b = of([[0.0], [10.0]]), of([[1.0], [5.0]])
    # a0: 1 to b0, 5 to b1, ratio 0.2. b0: 1 to a0, 9 to a1, ratio 1/9. The larger one counts: 1 - 0.2.
    # a1: 5 to b1, 9 to b0, ratio 5/9. b1: 5 to a0 and 5 to a1, ratio 1: no match.
    match = matcher(ratio=1.0).match(a, b)
    assert triples(match) == [(0, 0, pytest.approx(0.8))]
    assert (match.n_a, match.n_b, match.n_matches, match.verified) == (2, 2, 1, False)


def test_the_threshold_keeps_its_own_value() -> None:
    a, b = of([[0.0], [100.0]]), of([[1.0], [-4.0]])  # ratio 1/4 from a0, 1/99 from b0
    assert triples(matcher(ratio=0.25).match(a, b)) == [(0, 0, 0.75)]
    assert triples(matcher(ratio=0.2499).match(a, b)) == []


def test_hamming_distance_for_binary_descriptors() -> None:
    a = of([[0b00000000, 0], [0b11111111, 0xFF]], np.uint8)
    b = of([[0b00000001, 0], [0b00001111, 0]], np.uint8)
    # a0: 1 bit to b0, 4 bits to b1: 1/4. b0: 1 bit to a0, 15 to a1: 1/15. a1 and b1 are not mutual nearest.
    assert triples(matcher().match(a, b)) == [(0, 0, 0.75)]


def test_equal_descriptors() -> None:
    exact = matcher().match(of([[0.0, 1], [1, 0]]), of([[1.0, 0], [0, 1]]))
    assert triples(exact) == [(0, 1, 1.0), (1, 0, 1.0)]
    doubled = matcher(ratio=1.0).match(of([[0.0, 1], [1, 0]]), of([[1.0, 0], [1, 0]]))
    assert triples(doubled) == [], "two equally near neighbours tell nothing apart"


@pytest.mark.parametrize(("n_a", "n_b"), [(0, 0), (0, 5), (5, 0), (1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_without_a_second_neighbour_there_is_no_match(n_a: int, n_b: int, dtype: type) -> None:
    values = np.arange(8 * 5).reshape(5, 8) % 7
    a, b = (of(values[:n].tolist() if n else [], dtype) for n in (n_a, n_b))
    match = matcher(ratio=1.0, verify=VerifyParams()).match(a, b)
    assert (match.n_a, match.n_b, match.n_matches, match.n_inliers, match.verified) == (n_a, n_b, 0, 0, True)


def test_planted_matches_are_found_and_others_are_not(planted: Planted) -> None:
    a, b, true = planted(200, 80, seed=3)
    match = matcher(verify=VerifyParams()).match(a, b)
    found = set(zip(match.index_a.tolist(), match.index_b.tolist(), strict=True))
    planted_pairs = {tuple(pair) for pair in true.tolist()}
    assert found >= planted_pairs
    right = np.array([pair in planted_pairs for pair in zip(match.index_a, match.index_b, strict=True)])
    assert match.confidence[right].min() > 0.5 > match.confidence[~right].max(initial=0.0)
    assert match.inlier[right].all()
    assert isinstance(matcher(), Matcher)


def test_a_match_that_is_no_inlier_keeps_its_confidence(planted: Planted) -> None:
    a, b, true = planted(200, 80, seed=3)
    b.xy_px[true[0, 1]] += [150, 200]
    match = matcher(verify=VerifyParams()).match(a, b)
    outlier = match.index_a == true[0, 0]
    assert outlier.sum() == 1
    assert not match.inlier[outlier].any()
    assert triples(match) == triples(matcher().match(a, b))


def test_swapping_mirrors_the_matches(planted: Planted) -> None:
    a, b, _ = planted(150, 40, seed=8)
    there, back = matcher(1.0).match(a, b), matcher(1.0).match(b, a)
    order = np.argsort(back.index_b)
    assert there.n_matches > 40
    np.testing.assert_array_equal(there.index_a, back.index_b[order])
    np.testing.assert_array_equal(there.index_b, back.index_a[order])
    np.testing.assert_array_equal(there.confidence, back.confidence[order])


def test_half_precision_descriptors_are_compared_in_single(planted: Planted) -> None:
    a, b, _ = planted(100, 50, seed=4)
    half = matcher().match(*(replace(f, descriptors=f.descriptors.astype(np.float16)) for f in (a, b)))
    rounded = [replace(f, descriptors=f.descriptors.astype(np.float16).astype(np.float32)) for f in (a, b)]
    assert triples(half) == triples(matcher().match(*rounded))


@pytest.mark.parametrize("model", ["homography", "fundamental"])
def test_geometry_separates_and_repeats(model: str) -> None:
    rng = np.random.default_rng(1)
    a = rng.uniform(0, 313, (60, 2))
    b = a @ np.array([[0.9, 0.1], [-0.1, 0.9]]) + [3, 5]
    b[40:] = rng.uniform(0, 313, (20, 2))
    params = VerifyParams(model=model, threshold_px=2.0)
    first = inliers(a, b, params)
    assert first[:40].all()
    assert first[40:].sum() <= 5
    for _ in range(3):
        inliers(rng.uniform(0, 313, (30, 2)), rng.uniform(0, 313, (30, 2)), params)  # other work in between
        np.testing.assert_array_equal(inliers(a, b, params), first)


@pytest.mark.parametrize(("model", "too_few"), [("homography", 4), ("fundamental", 7)])
def test_the_smallest_sample_proves_nothing(model: str, too_few: int) -> None:
    a = np.random.default_rng(2).uniform(0, 313, (30, 2))
    params = VerifyParams(model=model)
    assert not inliers(a[:too_few], a[:too_few] + 1, params).any()
    assert inliers(a, a + 1, params).all()
    assert not inliers(np.ones((30, 2)), np.ones((30, 2)), params).any(), "all in one point"
