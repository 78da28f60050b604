"""Lines and curves against cases worked out by hand."""

import re

import numpy as np
import pytest

from resight.report.data import MatchedPoints
from resight.report.drawings import LINES_SHOWN, draw_curve, draw_pair, pair_cdf
from resight.report.pictures import EmbeddedCrop, EmbeddedCrops, faded


def numbers(path: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?\d+\.?\d*", path)]


def test_cdf_of_a_pair():
    # 6 matches of 10 + 10 keypoints: 12 confidences of 20, so 8 zeros; bins (0, .5] and (.5, 1] hold 4 and 2 matches
    edges, cdf = pair_cdf({"confidence_histogram": [4, 2], "n_keypoints_query": 10, "n_keypoints_gallery": 10})
    np.testing.assert_allclose(edges, [0, 0.5, 1])
    np.testing.assert_allclose(cdf, [8 / 20, 16 / 20, 1.0])


@pytest.mark.parametrize(
    "row",
    [{"confidence_histogram": None, "n_keypoints_query": 5}, {"confidence_histogram": [1], "n_keypoints_query": None}],
)
def test_no_cdf_of_a_pair_that_was_not_matched(row):
    assert pair_cdf(row) is None


def test_lines_start_and_end_on_the_points():
    # crops 200 x 100 and 100 x 200 (width x height), both drawn 400 high: scales 4 and 2; the second begins at 200 * 4 + 10
    query, gallery = EmbeddedCrop("a", 200, 100, ""), EmbeddedCrop("b", 100, 200, "")
    points = MatchedPoints(np.array([[10.0, 20.0]]), np.array([[30.0, 40.0]]), np.array([0.95]), np.array([True]))
    drawing = draw_pair(query, gallery, points)
    assert drawing.width == 200 * 4 + 10 + 100 * 2
    assert [lines.level for lines in drawing.lines] == [4]
    assert numbers(drawing.lines[0].path) == [42, 82, 871, 81]


def test_only_points_that_fit_have_lines_the_strongest_of_them():
    n = 2 * (LINES_SHOWN + 30)
    confidence = np.linspace(0.01, 1.0, n)
    inlier = np.arange(n) % 2 == 0
    points = MatchedPoints(np.zeros((n, 2)), np.ones((n, 2)), confidence, inlier)
    drawing = draw_pair(EmbeddedCrop("a", 10, 10, ""), EmbeddedCrop("b", 10, 10, ""), points)
    assert (drawing.n_shown, drawing.n_all) == (LINES_SHOWN, n)
    assert sum(lines.path.count("M") for lines in drawing.lines) == LINES_SHOWN
    assert drawing.lines[0].level > 0, "the weakest 30 that fit are gone"
    few = MatchedPoints(np.zeros((n, 2)), np.ones((n, 2)), confidence, np.arange(n) == 3)
    (lines,) = draw_pair(EmbeddedCrop("a", 10, 10, ""), EmbeddedCrop("b", 10, 10, ""), few).lines
    assert (lines.path.count("M"), lines.level) == (1, 0), "a strong match that fits nothing takes no place"


@pytest.mark.parametrize("tried", [True, False])
def test_where_no_matches_fit_one_pattern_there_are_no_lines(tried: bool):
    points = MatchedPoints(np.zeros((3, 2)), np.ones((3, 2)), np.full(3, 0.5), np.zeros(3, bool), tried)
    drawing = draw_pair(EmbeddedCrop("a", 9, 9, ""), EmbeddedCrop("b", 9, 9, ""), points)
    assert (drawing.lines, drawing.n_shown, drawing.n_all, drawing.tried) == ([], 0, 3, tried)


def test_curve_fits_its_box_and_shades_only_what_lies_below_the_null():
    edges = np.linspace(0, 1, 5)
    pair, null = np.array([0.86, 0.9, 0.95, 0.99, 1.0]), np.array([0.9, 0.96, 1.0, 1.0, 1.0])
    curve = draw_curve((edges, pair), (edges, null))
    left, top, right, bottom = curve.box
    for path in (curve.pair, curve.null, curve.above):
        xy = np.array(numbers(path)).reshape(-1, 2)
        assert xy[:, 0].min() >= left - 0.1 and xy[:, 0].max() <= right + 0.1
        assert xy[:, 1].min() >= top - 0.1 and xy[:, 1].max() <= bottom + 0.1
    assert curve.y_ticks[0][1] == "85 %" and curve.y_ticks[-1][1] == "100 %"
    swapped = np.array(numbers(draw_curve((edges, null), (edges, pair)).above)).reshape(-1, 2)
    np.testing.assert_allclose(swapped[:5], swapped[5:][::-1])  # a pair above the null shades nothing


def test_pictures_keep_their_shape_and_are_read_once():
    reads = []

    def read(crop_id: str) -> np.ndarray:
        reads.append(crop_id)
        return np.zeros((471, 313, 3), np.uint8)

    pictures = EmbeddedCrops(read, 120)
    first, again = pictures.of("a"), pictures.of("a")
    assert first is again and reads == ["a"] and (first.width_px, first.height_px) == (313, 471)
    assert pictures.of(None) is None and len(pictures.all) == 1


def test_mask_pales_what_is_not_the_animal():
    crop = np.dstack([np.full((4, 6, 3), 200, np.uint8), np.repeat([[255], [255], [0], [0]], 6, 1).astype(np.uint8)])
    out = faded(crop)
    assert out.shape == (4, 6, 3) and (out[:2] == 200).all() and (out[2:] < 200).all()
