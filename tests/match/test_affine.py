"""Which matches agree with one affine map."""

import numpy as np
import pytest
from scipy.optimize import minimize

from resight.extract.base import Features
from resight.match.affine import PLACE, SIZE, TURN_RAD, Shapes, _fitted, affine_agreement
from resight.match.base import Matches
from resight.match.params import VerifyParams
from resight.match.verify import fit_of, inliers


def test_an_affine_map_is_found_among_wrong_matches_and_weak_ones_are_left_out():
    """20 of 30 matches follow one affine map; of these, two are too weak to be looked at."""
    rng = np.random.default_rng(5)
    a = rng.uniform(0, 600, (30, 2))
    b = a @ np.array([[0.8, -0.3], [0.35, 1.1]]).T + [40, -20]
    b[20:] = rng.uniform(0, 600, (10, 2))
    confidence = np.full(30, 0.9, np.float32)
    confidence[[3, 7]] = 0.05
    affine = VerifyParams(model="affine", threshold_px=4.0)
    assert inliers(a, b, affine, confidence)[:20].all()
    found = inliers(a, b, affine.model_copy(update={"min_confidence": 0.1}), confidence)
    assert found[:20].sum() == 18 and not found[[3, 7]].any() and found[20:].sum() <= 1
    assert not inliers(a[:3], b[:3], affine).any()  # three points fit any affine map
    assert not inliers(a[:20], b[:20] * [-1, 1], affine).any(), "a mirrored head is another one"
    assert not inliers(np.ones((30, 2)), np.ones((30, 2)), affine).any(), "all in one point"


@pytest.mark.parametrize("told", [True, False], ids=["sizes and turns", "positions alone"])
def test_the_affine_consensus_is_the_same_whoever_is_first_and_whatever_the_order(told: bool) -> None:
    """Noisy matches of a turned and stretched head among as many wrong ones, several at the edge of the threshold."""
    rng = np.random.default_rng(6)
    linear = np.array([[0.7, -0.5], [0.6, 0.9]])
    for _ in range(10):
        a = rng.uniform(0, 600, (60, 2))
        b = a @ linear.T + [40, -20] + rng.normal(0, 4, (60, 2))
        b[30:] = rng.uniform(0, 600, (30, 2))
        confidence = rng.uniform(0.1, 1, 60).astype(np.float32)
        turn = np.arctan2(linear[1, 0] - linear[0, 1], linear.trace()) + rng.normal(0, 0.1, 60)
        shapes = Shapes(np.exp(rng.normal(np.log(np.sqrt(np.linalg.det(linear))), 0.1, 60)), turn) if told else None
        back = Shapes(1 / shapes.zoom, -shapes.turn_rad) if shapes else None
        params = VerifyParams(model="affine", threshold_px=8.0)
        found = inliers(a, b, params, confidence, shapes)
        assert found[:30].sum() >= 24 and found[30:].sum() <= 3
        np.testing.assert_array_equal(inliers(b, a, params, confidence, back), found)
        order = rng.permutation(60)
        mixed = Shapes(shapes.zoom[order], shapes.turn_rad[order]) if shapes else None
        np.testing.assert_array_equal(inliers(a[order], b[order], params, confidence[order], mixed), found[order])


def test_sizes_and_turns_find_what_chance_misses() -> None:
    """Eight right matches of 200: three at once are drawn with a chance of 1 in 25,000; each alone tells where the head is."""
    rng = np.random.default_rng(7)
    a, b = rng.uniform(0, 600, (2, 200, 2))
    b[:8] = 0.5 * a[:8] @ np.array([[0.0, -1.0], [1.0, 0.0]]).T + [300, 100] + rng.normal(0, 1, (8, 2))
    zoom, turn = np.exp(rng.normal(0, 0.7, 200)), rng.uniform(-np.pi, np.pi, 200)
    zoom[:8], turn[:8] = 0.5, np.pi / 2
    params = VerifyParams(model="affine", threshold_px=5.0)
    assert inliers(a, b, params, None, Shapes(zoom, turn))[:8].all()
    assert inliers(a, b, params, None, Shapes(zoom, turn)).sum() <= 12


def test_the_fitted_plane_is_the_one_nearest_to_both_photos_points() -> None:
    """Against a search: no other affine map has a smaller sum of squared distances in both photos together."""
    rng = np.random.default_rng(8)
    a = rng.uniform(0, 100, (12, 2))
    b = a @ np.array([[1.1, 0.3], [-0.2, 0.8]]).T + rng.normal(0, 3, (12, 2))
    points = np.concatenate([a, b], axis=1)
    plane = _fitted(points, np.ones((1, 12)))

    def cost(values: np.ndarray) -> float:
        linear, shift = values[:4].reshape(2, 2), values[4:]
        off = b - a @ linear.T - shift
        return float(np.einsum("ni,ij,nj->", off, np.linalg.inv(np.eye(2) + linear @ linear.T), off))

    start = np.r_[np.linalg.lstsq(np.c_[a, np.ones(12)], b, rcond=None)[0][:2].T.ravel(), 0, 0]
    best = minimize(cost, start, method="BFGS").fun
    assert plane.distances(points).sum() / 2 == pytest.approx(best, rel=1e-5)


class TestAgreement:
    """24 matches of a head that is turned by 170 degrees and half as large again, all on one map."""

    turned, zoom, px = np.deg2rad(170.0), 1.5, 8.0

    def matches(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Shapes]:
        rng = np.random.default_rng(9)
        a = rng.uniform(0, 600, (24, 2))
        cos, sin = self.zoom * np.cos(self.turned), self.zoom * np.sin(self.turned)
        b = a @ np.array([[cos, -sin], [sin, cos]]).T + [900, 900]
        told = Shapes(np.full(24, self.zoom), np.full(24, self.turned - 2 * np.pi))  # a whole turn less says the same
        return a, b, rng.uniform(0.1, 1, 24), told

    def test_what_fits_entirely_counts_as_much_as_it_is_sure(self) -> None:
        a, b, confidence, told = self.matches()
        for shapes in (told, None):
            found = affine_agreement(a, b, confidence, np.ones(24, bool), self.px, shapes)
            assert found == pytest.approx(np.sqrt(confidence).sum())

    @pytest.mark.parametrize("off", ["place", "size", "direction"])
    def test_a_match_that_fits_less_counts_less(self, off: str) -> None:
        """One match that fixes no map is off by one standard deviation, then by very much."""
        a, b, confidence, told = self.matches()
        agree, whole = np.arange(24) < 23, np.sqrt(confidence)
        for times, left in ((1.0, np.exp(-0.5)), (-1.0, np.exp(-0.5)), (20.0, 0.0)):
            moved, zoom, turn = b.copy(), told.zoom.copy(), told.turn_rad.copy()
            if (
                off == "place"
            ):  # a point that is off by d lies d / sqrt(1 + zoom^2) from the plane, and twice the square of that counts
                moved[23, 0] += times * PLACE * self.px * np.sqrt((1 + self.zoom**2) / 2)
            elif off == "size":
                zoom[23] *= np.exp(times * SIZE)
            else:
                turn[23] += np.pi if times > 5 else times * TURN_RAD
            found = affine_agreement(a, moved, confidence, agree, self.px, Shapes(zoom, turn))
            assert found == pytest.approx(whole[:23].sum() + left * whole[23], rel=1e-6)

    def test_it_is_the_same_whichever_photo_comes_first(self) -> None:
        rng = np.random.default_rng(11)
        a, b, confidence, told = self.matches()
        b += rng.normal(0, 5, b.shape)
        told = Shapes(told.zoom * np.exp(rng.normal(0, 0.2, 24)), told.turn_rad + rng.normal(0, 0.3, 24))
        agree = rng.uniform(0, 1, 24) < 0.7
        there = affine_agreement(a, b, confidence, agree, self.px, told)
        back = affine_agreement(b, a, confidence, agree, self.px, Shapes(1 / told.zoom, -told.turn_rad))
        assert 0 < there < np.sqrt(confidence).sum() and back == pytest.approx(there, rel=1e-9)

    def test_detectors_without_sizes_are_graded_by_place_alone(self) -> None:
        a, b, confidence, _ = self.matches()
        ends = [
            Features(xy.astype(np.float32), np.zeros((24, 1), np.float32), np.zeros(24, np.float32), np.zeros(24, np.float32), np.ones(24, np.float32), (900, 900))
            for xy in (a, b)
        ]  # fmt: skip
        matches = Matches(np.arange(24), np.arange(24), confidence.astype(np.float32))
        fit = fit_of(*ends, matches, VerifyParams(model="affine-graded", threshold_px=8.0))
        assert fit.inlier.all() and fit.agreement == pytest.approx(np.sqrt(confidence).sum(), rel=1e-4)
        assert fit_of(*ends, matches, VerifyParams(model="affine", threshold_px=8.0)).agreement is None

    def test_without_a_map_nothing_agrees(self) -> None:
        a, b, confidence, told = self.matches()
        assert affine_agreement(a, b, confidence, np.zeros(24, bool), self.px, told) == 0.0
