"""The accuracy page: what an analyst must find on it."""

import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from resight.evaluate.accuracy import Context, accuracy_rows
from resight.evaluate.curves import curve_rows
from resight.evaluate.history import Earlier
from resight.evaluate.paired import compare
from resight.report import accuracy_words
from resight.report.accuracy_data import AccuracyData
from resight.report.accuracy_page import render_accuracy
from resight.store.tables import conform

NAMES = ["Ada", "Ben", "<b>Cleo</b>", "Dora"]
CONTEXT = Context("time-aware", 0.2, seconds_per_query=0.5, draws=60)
WHEN = datetime(2026, 6, 4, 1, tzinfo=UTC)


def outcomes(wrong: set[int], trial_of_new: str = "without_own"):
    """24 encounters of four animals with a photo each; those in ``wrong`` are taken for the next animal. Odd ones are right sides."""
    rows = []
    for k in range(24):
        who, other, bad = NAMES[k % 4], NAMES[(k + 1) % 4], k in wrong
        base = {"round": 0, "query_id": f"e{k}", "encounter_id": f"e{k}", "true_individual_id": who, "viewpoint": "right" if k % 2 else "left",
                "visibility": "poor" if k % 2 else "good", "days_between": 20 if k < 12 else 800, "n_gallery_photos": 2, "n_gallery_individuals": 4,
                "n_right_scored": 2, "n_right_cut": 0, "query_crop_id": f"q{k}", "right_crop_id": f"g-{who}", "right_query_crop_id": f"q{k}"}  # fmt: skip
        found = {"known": True, "rank": 2 if bad else 1, "correct": not bad, "individual_id": other if bad else who, "score_right": 0.2 if bad else 0.6,
                 "score_wrong": 0.3, "probability": 0.7 if bad else 0.9, "found_crop_id": f"g-{other if bad else who}"}  # fmt: skip
        verdict = {"p_new": 0.1, "novelty": 0.1, "decision": "known"}
        unknown = {"known": False, "correct": False, "individual_id": other, "score_wrong": 0.3, "p_new": 0.9, "novelty": 0.9, "decision": "new",
                   "probability": 0.05, "provisional_individual_id": f"new-{who}"}  # fmt: skip
        rows += [base | found | verdict | {"trial": "closed", "level": "encounter"},
                 base | found | {"trial": "closed", "level": "photo", "query_id": f"p{k}", "average_precision": 0.5 if bad else 1.0},
                 base | unknown | {"trial": "without_own", "level": "encounter"}, base | unknown | {"trial": "open", "level": "encounter"}]  # fmt: skip
    return conform("outcomes", rows, "r")


def sided():
    """Every animal three times from the left, where it is right, and three times from the right, where it is wrong."""
    right = {k for k in range(24) if k // 4 % 2}
    rows = [
        r | {"viewpoint": "right" if int(r["query_id"][1:]) in right else "left"} for r in outcomes(right).to_pylist()
    ]
    return conform("outcomes", [{k: v for k, v in r.items() if k != "run_id"} for r in rows], "r")


def picture(crop_id: str) -> np.ndarray:
    return np.full((60, 90, 3), sum(crop_id.encode()) % 255, np.uint8)


def page(table=None, old=None, context=CONTEXT, **more) -> str:
    return render_accuracy(data(table, old, context, **more))


def data(table=None, old=None, context=CONTEXT, **more) -> AccuracyData:
    table = outcomes({1, 3, 5, 7}) if table is None else table
    crops = [f"q{k}" for k in range(24)] + [f"g-{n}" for n in NAMES]
    found = compare(old, table, draws=60) if old is not None else None
    run = {"run_id": "now", "flow": "accuracy", "night": date(2026, 6, 3), "status": "kept_aside", "started_at": WHEN, "ended_at": WHEN, "device": "cpu",
           "settings": "{}", "weights": "{}", "model_fingerprint": "m2", "resight_version": "0"}  # fmt: skip
    against = {"against_run_id": "before"}
    base = {
        "run": run, "accuracy": accuracy_rows(table, context), "outcomes": table.to_pylist(), "curves": curve_rows(table, context),
        "photos": pa.table({"photo_id": crops, "uri": [f"/x/{c} <1>.JPG" for c in crops], "taken_at": pa.nulls(28, pa.timestamp("us")), "taken_on": [WHEN.date()] * 28}),
        "crops": pa.table({"crop_id": crops, "photo_id": crops, "viewpoint": ["left"] * 28}), "read_crop": picture,
        "differences": [r | against for r in found.differences] if found else [], "changes": [r | against for r in found.changes] if found else [],
    }  # fmt: skip
    return AccuracyData(**(base | more))


def section(html: str, name: str) -> str:
    return re.search(rf'<section[^>]*aria-labelledby="{name}".*?</section>', html, re.S)[0]


def test_the_three_questions_are_answered_on_top():
    html = page(sided())
    top = html[: html.index("Headline figures")]
    assert "The right animal comes first for 12 of 24 encounters" in top
    assert "Heads seen from the right: 0\xa0% of 12" in top, "all mistakes are right sides"
    assert "no earlier run" in top


def test_worse_is_said_only_beyond_chance():
    assert accuracy_words.got_worse(data(old=outcomes(set())))[0] == "same", "four lost and none gained: p = 0.12"
    state, told = accuracy_words.got_worse(data(outcomes(set(range(0, 24, 2))), outcomes(set())))
    assert state == "worse" and told.startswith("Yes: 0 encounters gained, 12 lost of 24 (p = 0.00049)")
    assert accuracy_words.got_worse(data(outcomes(set()), outcomes(set(range(0, 24, 2)))))[0] == "better"


@pytest.mark.parametrize(("metric", "difference", "expected"), [("top1_photo", 0.2, "better"), ("ece_mixed", 0.2, "worse"), ("false_known_rate", -0.2, "better")])  # fmt: skip
def test_for_errors_less_is_better(metric, difference, expected):
    row = {"metric": metric, "difference": difference, "ci_low": difference - 0.1, "ci_high": difference + 0.1, "p_value_mcnemar": None}  # fmt: skip
    assert accuracy_words.verdict(row) == expected
    assert accuracy_words.verdict(row | {"ci_low": -0.3, "ci_high": 0.3}) == "same"


def test_a_leak_has_a_banner_and_no_headline():
    html = page(context=Context("role", 0.2, same_day_share=0.999, draws=60))
    assert 'class="leak"' in html and "99.9 % of the query photos" in html
    assert "Headline figures" not in html and "How good?" not in html


def test_groups_that_are_worse_are_marked():
    where = section(page(sided()), "where")
    (bad,) = {re.sub("<.*?>", " ", m).split()[0] for m in re.findall(r'group-line bad">(.*?)</div>', where, re.S) if "right" in m}  # fmt: skip
    assert bad == "right" and re.search(r'group-line"><span class="what-group">left', where)
    assert {"Side of the head", "How well the head is seen", "Days since the nearest gallery photo", "Animals in the gallery"} <= set(re.findall(r"<h3>(.*?)</h3>", where))  # fmt: skip


def test_four_mistakes_of_24_are_no_reason_to_call_a_kind_of_photo_bad():
    top = page()
    assert "No kind of photo stands out" in top and 'group-line bad"' not in top


def test_mistakes_and_changes_show_their_photos_and_texts_are_escaped():
    html = page(outcomes({1, 3}), outcomes({3, 5}))
    mistakes, changes = section(html, "mistakes"), section(html, "change")
    assert (
        mistakes.count("<article") == 2 and "mistaken for &lt;b&gt;Cleo&lt;/b&gt;" in mistakes and "<b>Cleo" not in html
    )
    assert mistakes.count("<use ") == 6, "query, wrong and right"
    assert changes.index("was right before") < changes.index("right now"), "what was lost comes first"
    assert len(re.findall(r'<symbol id="', html)) == len(set(re.findall(r'href="data:image/jpeg[^"]*"', html))) or html.count("<symbol") <= 28  # fmt: skip


def test_the_past_is_drawn_and_a_new_model_marked():
    earlier = [Earlier(f"r{k}", WHEN - timedelta(days=9 - k), "m1", {"top1_encounter": (0.5 + k / 10, 0.4, 0.9)}) for k in range(3)]  # fmt: skip
    html = page(earlier=earlier)
    assert "Over the runs so far" in html and "new model" in html and 'class="spark"' in html
    assert "Over the runs so far" not in page()


def test_every_metric_is_in_the_table_with_its_reason():
    html = section(page(), "all")
    for text in ("right animal first", "adjusted Rand index", "geometric mean of BAKS and BAUS", "the ranking made no candidate sets",
                 "not measured; --background-control measures it", "time per query"):  # fmt: skip
        assert text in html, text


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        assert tag not in {"script", "iframe", "link"}, "nothing runs and nothing is fetched"
        for name, value in attrs:
            if name in {"href", "src"}:
                assert value.startswith(("data:", "#")), value
        if tag not in {"meta", "br", "input", "hr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed_and_repeatable():
    earlier = [Earlier("r1", WHEN - timedelta(days=1), "m1", {"top1_encounter": (0.5, 0.4, 0.9)})]
    html = page(old=outcomes({2, 9}), earlier=earlier)
    tags = Tags()
    tags.feed(html)
    assert tags.open == [] and "NaN" not in html and ">nan" not in html and ">None" not in html
    assert html == page(old=outcomes({2, 9}), earlier=earlier)


def test_nothing_to_measure_is_a_page_too():
    html = page(conform("outcomes", [], "r"))
    assert "no animal was photographed in two encounters" in html
