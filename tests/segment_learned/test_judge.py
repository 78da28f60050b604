"""Measures, against cases worked out by hand."""

import math

import numpy as np
import pytest
from finding_measures import box_iou, confusion, fit_confidence, judge, table

from resight.segment.learned.finder import Finding
from resight.segment.learned.network import VIEWS
from resight.train.segmenter.samples import OutlinedPhoto

SQUARE = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))


def sample(view="left", visibility="good"):
    head = np.array(SQUARE)
    return OutlinedPhoto(
        "a",
        "t1",
        "zakynthos",
        np.zeros((471, 313, 3), np.uint8),
        head,
        (0, 0, 50, 50),
        VIEWS.index(view),
        0.1,
        visibility,
        (313, 471),
    )


def finding(shift=0.0, view="left", confidence=0.9):
    chances = dict.fromkeys(VIEWS, 0.0) | {view: 0.8, "none": 0.2}
    polygon = tuple((x + shift, y) for x, y in SQUARE)
    return Finding(
        (shift, 0.0, 10.0, 10.0), (polygon,), (0.0, 0.0, 50.0, 25.0), chances, 0.1 + math.pi / 2, 1.0, confidence
    )


def test_overlap_of_boxes():
    assert box_iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 10, 10), (20, 0, 10, 10)) == 0


def test_a_finding_is_compared_with_the_truth():
    one = judge(sample(), finding(shift=5.0))
    assert one.box_iou == pytest.approx(1 / 3) and one.mask_iou == pytest.approx(1 / 3, abs=0.01)
    assert one.body_iou == pytest.approx(0.5) and one.upright_error_deg == pytest.approx(90)
    assert one.head_fraction == pytest.approx(10 / 471) and one.left_over_right == pytest.approx(0.8)
    nothing = judge(sample(), None)
    assert nothing.box_iou == 0 and nothing.confidence == 0 and nothing.found_view == "none"


def test_the_table_counts_heads_and_sides():
    judged = [
        judge(sample("left"), finding()),
        judge(sample("right"), finding()),  # found, wrong side
        judge(sample("top", "poor"), finding(confidence=0.1)),  # found, not sure
        judge(sample("left", "fair"), None),
    ]
    rows = {row["group"]: row for row in table(judged, 0.5)}
    everything = rows["all"]
    assert everything["heads"] == 4 and everything["found"] == 0.5 and everything["found_at_any_confidence"] == 0.75
    assert everything["side_right"] == 0.5 and everything["view_right"] == 0.5
    assert rows["good and fair"]["heads"] == 3 and rows["poor"]["found"] == 0
    assert confusion(judged)["right"]["left"] == 1 and sum(confusion(judged)["left"].values()) == 1


def test_the_confidence_weighs_what_tells_and_balances_in_the_middle():
    evidence = [(x, noise) for x in (-2.0, -1.0, 1.0, 2.0) for noise in (-1.0, 1.0)]
    right = [x > 0 for x, _ in evidence]
    intercept, (telling, idle) = fit_confidence(evidence, right)
    assert intercept == pytest.approx(0, abs=1e-9) and idle == pytest.approx(0, abs=1e-9)  # by symmetry
    assert telling > 0.5
    shifted, _ = fit_confidence([(x + 3, noise) for x, noise in evidence], right)
    assert shifted == pytest.approx(-3 * telling)
