"""The page: every row on it, best first, and the chart where the figures are."""

import pytest

from resight.compare import chart
from resight.compare.page import numbered, render_comparison, seconds


def test_all_rows_are_on_the_page_and_texts_are_escaped(make_row):
    rows = [
        make_row("good"),
        make_row("better", top1_encounter=0.9, note="trained <here>"),
        {"method": "poor", "title": "Poor", "family": "dense", "status": "missing_weights", "reason": "Get <it> & go."},
    ]
    page = render_comparison(rows, "/data/my <folder>", ["A note & more"], 7)
    assert page.index("<th>Better") < page.index("<th>Good") < page.index("<th>Poor")
    assert "trained &lt;here&gt;" in page and "Get &lt;it&gt; &amp; go." in page and "my &lt;folder&gt;" in page
    assert "weights missing" in page and "A note &amp; more" in page
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert page == render_comparison(rows, "/data/my <folder>", ["A note & more"], 7)


def test_a_page_without_any_figures(make_row):
    blank = {"method": "poor", "title": "Poor", "family": "dense", "status": "failed", "reason": "Why."}
    page = render_comparison([blank], "x", [], 1)
    assert "No method could be measured" in page and "<circle" not in page


def test_order_and_numbers(make_row):
    rows = [make_row("c"), make_row("a"), make_row("b", top1_photo=0.6), make_row("d", top1_encounter=None)]
    assert [(r["number"], r["method"]) for r in numbered(rows)] == [(1, "b"), (2, "a"), (3, "c"), (4, "d")]


def test_places_in_the_chart_by_hand(make_row):
    rows = numbered([
        make_row("fast", seconds_per_query=0.1, top1_photo=1.0), make_row("slow", seconds_per_query=10.0, top1_photo=0.0, top1_photo_low=None),
        make_row("half", seconds_per_query=1.0), make_row("unknown", seconds_per_query=None),
    ])  # fmt: skip
    drawn = chart.draw_chart(rows, "top1_photo", "x")
    by_title = {p.title: p for p in drawn.points}
    assert set(by_title) == {"Fast", "Slow", "Half"}
    left, right = chart.LEFT, chart.WIDTH - chart.RIGHT
    top, bottom = chart.TOP, chart.HEIGHT - chart.BOTTOM
    assert (by_title["Fast"].x, by_title["Fast"].y) == (left, top)
    assert (by_title["Slow"].x, by_title["Slow"].y) == (right, bottom) and by_title["Slow"].y_low == bottom
    half = by_title["Half"]
    assert (half.x, half.y) == pytest.approx(((left + right) / 2, (top + bottom) / 2))
    assert half.y_low - half.y == pytest.approx((bottom - top) / 4)
    assert [t for _, t in drawn.x_ticks] == ["0.1 s", "1 s", "10 s"]
    assert chart.draw_chart([r for r in rows if r["method"] == "unknown"], "top1_photo", "x") is None


def test_numbers_keep_away_from_points_and_from_each_other():
    places = [(200.0, 150.0), (203.0, 151.0), (206.0, 149.0)]
    labels = chart.place_labels(places)
    gaps = [((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5 for i, a in enumerate(labels) for b in labels[:i]]
    assert min(gaps) > 10
    (corner,) = chart.place_labels([(chart.WIDTH - chart.RIGHT - 2, chart.TOP + 2)])
    assert corner[0] < chart.WIDTH - chart.RIGHT and corner[1] > chart.TOP


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0123, "0.012"), (0.00005, "<0.001"), (1.25, "1.2"), (83.4, "83")]
)
def test_seconds(value, text):
    assert seconds(value) == text
