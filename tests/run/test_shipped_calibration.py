"""What a score has meant at other places belongs to the matcher that it was measured with."""

from resight.plugins.registry import SCORES
from resight.run.setups import shipped_calibration
from resight.settings import settings_from
from resight.weights.registry import WEIGHTS

TURTLE = {"extract": {"kind": "sift"}, "score": {"name": "snorm_inliers"}}


def with_weights(name: str, geometry: str = "affine", **more: object) -> dict[str, object]:
    match = {"kind": "lightglue", "weights": name, "families": ["sift"], "verify": {"model": geometry}}
    return TURTLE | {"match": match} | more


def test_a_matcher_with_a_curve_of_its_own_gets_it_and_others_the_common_one() -> None:
    first, second, own = (
        shipped_calibration(settings_from(with_weights(name)))
        for name in ("lightglue-sift-turtle", "lightglue-sift-turtle-2", "mine.safetensors")
    )
    assert first == own == SCORES["snorm_inliers"].shipped
    assert second is not None and second != first


def test_graded_matches_mean_something_else_than_counted_ones() -> None:
    """The same network under another geometry gives other scores, so its curve is another one."""
    counted, graded, plain = (
        shipped_calibration(settings_from(with_weights("lightglue-sift-turtle-2", geometry)))
        for geometry in ("affine", "affine-graded", "homography")
    )
    assert counted != graded and plain == SCORES["snorm_inliers"].shipped != graded
    mine = shipped_calibration(settings_from(with_weights("models/weights/mine-sift.safetensors", "affine-graded")))
    assert mine == graded, "weights that were trained further are read by what grades mean, not by what numbers mean"


def test_a_score_that_was_measured_nowhere_has_none_with_any_matcher() -> None:
    asked = with_weights("lightglue-sift-turtle-2", score={"name": "mean"})
    assert shipped_calibration(settings_from(asked)) is None


def test_every_matcher_that_a_score_was_measured_with_is_known() -> None:
    named = {name for score in SCORES.values() for (name, _), _ in score.shipped_by_matcher if name}
    assert named and named <= set(WEIGHTS)
