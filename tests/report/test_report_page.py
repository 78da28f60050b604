"""What people find on the page, and that the page needs nothing else."""

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from resight.errors import WorkspaceError
from resight.report.cards import shown_verdicts
from resight.report.data import ReportData
from resight.report.page import render_report
from resight.report.params import ReportParams
from resight.report.words import photo_path
from resight.store.tables import conform, empty_table

VOID = {"meta", "input", "br", "link", "img", "hr"}


class Page(HTMLParser):
    """Text, attributes, and whether every tag is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += " " + data


def page(data: ReportData, **params) -> Page:
    return Page(render_report(data, ReportParams(**params)))


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_tags_are_closed_and_ids_are_unique_and_found(data):
    made = page(data)
    assert made.open == []
    assert len(made.ids) == len(set(made.ids))
    targets = {
        value[1:] for _, key, value in made.attributes if key == "href" and value.startswith("#") and len(value) > 1
    }
    assert targets and targets <= set(made.ids)


def test_nothing_is_fetched_and_nothing_runs(data):
    html = render_report(data, ReportParams())
    made = Page(html)
    links = [(tag, value) for tag, key, value in made.attributes if key in {"href", "src", "srcset", "action"}]
    assert all(
        value.startswith(("#", "data:image/jpeg;base64,")) or (tag == "a" and value.startswith("file:///"))
        for tag, value in links
    )
    assert (
        "url(" not in html.replace("url(#dot", "")
        and "@import" not in html
        and "<script" not in html
        and "http" not in html
    )


def test_each_photo_is_a_link_by_its_path_and_one_without_a_head_is_shown(data, tmp_path):
    shown = replace(data, root=tmp_path, read_photo=lambda photo_id: np.full((90, 120, 3), 99, np.uint8))
    made = page(shown)
    links = {value for tag, key, value in made.attributes if tag == "a" and key == "href" and value.startswith("file:")}
    assert links == {
        (tmp_path / row["uri"]).as_uri() for row in data.photos.to_pylist() if row["photo_id"] != "bad"
    } | {"file:///field%20season/broken%20%3Ci%3E.JPG"}
    moving = page(replace(shown, folder=tmp_path / "runs" / "r"))
    moved = {value for tag, key, value in moving.attributes if tag == "a" and key == "href" and value[0] != "#"}
    assert moved == {link.replace(f"{tmp_path.as_uri()}/", "../../") for link in links} and any(
        value.startswith("file:///field%20season") for value in moved
    ), "photos of the workspace are linked from the page, others where they are"
    pictures = render_report(shown, ReportParams()).count("data:image/jpeg")
    assert pictures == 7 and "no head" in squeezed(made.text), "of the encounter without a crop the photo itself"
    gone = replace(shown, read_photo=_gone)
    assert "picture missing" in squeezed(page(gone).text)


def _gone(photo_id: str) -> np.ndarray:
    raise WorkspaceError(f"{photo_id} is gone")


def test_names_are_escaped(data):
    html = render_report(data, ReportParams())
    assert "<b>x</b>" not in html and "&lt;b&gt;x&lt;/b&gt;" in html
    assert "broken <i>" not in html and "broken &lt;i&gt;" in html
    assert "<b>x</b>" in Page(html).text


def test_each_crop_is_embedded_once(data):
    html = render_report(data, ReportParams())
    # 3 gallery crops and 3 query crops, each of which is shown several times
    assert html.count("data:image/jpeg") == 6
    assert html.count('href="#crop0"') >= 3


def test_new_comes_first_then_doubtful_then_known(data):
    made = page(data)
    kinds = [value.split()[1] for tag, key, value in made.attributes if tag == "article" and key == "class"]
    assert kinds == ["new", "unsure", "not_compared", "known"]
    groups = [value.split()[1] for tag, key, value in made.attributes if key == "class" and value.startswith("group ")]
    assert groups == kinds


def test_sentences_say_what_happened(data):
    text = squeezed(page(data).text)
    assert (
        "8 photos, of which 1 could not be used; 4 encounters to identify: 1 new, 1 unsure, 1 not compared, 1 known."
        in text
    )
    assert "Night of 3 June 2026" in text
    assert "New animal, for now new-2026-001 92 % new" in text
    assert "Perhaps <b>x</b> 50 %, or new: 35 %" in text
    assert "Because of q-known & more." in text
    assert "broken <i>.JPG ends too early; copy it again." in text
    assert "some-net (licence unknown, 01234567)" in text


def test_an_unsure_animal_that_is_rather_new_is_not_named(data):
    rows = data.novelty.to_pylist()
    for row in rows:
        if row["decision"] == "unsure":
            row.update(probability=0.2, p_new=0.7)
    text = squeezed(
        page(
            replace(
                data, novelty=conform("novelty", [{k: v for k, v in r.items() if k != "run_id"} for r in rows], "r")
            )
        ).text
    )
    assert "Perhaps a new animal 70 %, or <b>x</b>: 20 %" in text


def test_counts_that_do_not_agree_are_marked(data):
    html = render_report(data, ReportParams())
    assert html.count("differs from in") == 1 and html.count('<tr class="broken">') == 1


def test_cap_is_said(data):
    made = page(data, max_encounters=2)
    assert sum(tag == "article" and key == "id" for tag, key, _ in made.attributes) == 2
    assert "This page shows 2 of 4 encounters; the tables hold all of them." in squeezed(made.text)
    assert "1 more in the tables." in squeezed(made.text)
    assert "This page shows" not in page(data).text


def test_a_night_shows_its_own_encounters_and_some_of_those_that_are_open_from_before():
    first_night = {f"old{i:02d}": date(2026, 6, 1) for i in range(30)} | {
        "new1": date(2026, 6, 4),
        "new2": date(2026, 6, 4),
    }
    photos = pa.table({"encounter_id": list(first_night), "first_night": pa.array(first_night.values(), pa.date32())})
    novelty = pa.table({"encounter_id": list(first_night), "decision": ["unsure"] * 32, "probability": [0.5] * 32})

    def shown(night, **more):
        return [r["encounter_id"] for r in shown_verdicts(novelty, photos, night, ReportParams(**more))]

    assert shown("2026-06-04") == ["new1", "new2", *(f"old{i:02d}" for i in range(5))]
    assert shown("2026-06-04", earlier_encounters=3) == ["new1", "new2", "old00", "old01", "old02"]
    assert shown("2026-06-04", max_encounters=1) == ["new1"]
    assert len(shown("2026-06-05")) == 30 + 2, "a night without photos of its own shows what is open"


@pytest.mark.parametrize("candidates", [0, 1, 3])
def test_candidates_drawn(data, candidates):
    html = render_report(data, ReportParams(candidates=candidates))
    assert html.count('<div class="pair">') == 3 * candidates
    assert ("Further candidates" in html) == (candidates < 3)


def test_a_candidate_is_small(data):
    few, many = (len(render_report(data, ReportParams(candidates=k))) for k in (1, 3))
    assert (many - few) / 6 < 60_000


def test_missing_pieces_are_said_not_hidden(data):
    def gone(crop_id: str) -> np.ndarray:
        raise WorkspaceError(f"{crop_id} is missing")

    text = squeezed(page(replace(data, read_crop=gone)).text)
    assert "picture missing" in text and "A picture of this pair is missing" in text
    text = squeezed(page(replace(data, matches={}, null=None)).text)
    assert "No matches are stored for this pair." in text and "too few gallery pairs" in text


def test_accuracy_with_intervals(data):
    rows = [
        {"metric": "top1_photo", "stratum": "all", "value": 0.8, "ci_low": 0.7, "ci_high": 0.9, "n": 86, "unit": "share", "protocol": "time aware"},
        {"metric": "ece_encounter", "stratum": "all", "value": None, "n": 0, "unit": "score", "protocol": "time aware"},
        {"metric": "top1_photo", "stratum": "viewpoint=left", "value": 0.75, "n": 40, "unit": "share", "protocol": "time aware"},
    ]  # fmt: skip
    text = squeezed(page(replace(data, accuracy=conform("accuracy", rows, "r"))).text)
    assert "right animal first (top 1) per photo 80.0 % 70.0 % to 90.0 % 86" in text.replace("\xa0", " ")
    assert "viewpoint=left" in text and "Protocol: time aware" in text
    assert "Accuracy" not in page(data).text


def test_empty_run(data):
    names = ("crops", "pairs", "scores", "identifications", "novelty", "photos")
    text = squeezed(page(replace(data, **{name: empty_table(name) for name in names}, matches={})).text)
    assert "0 photos; there was nothing to identify." in text


def test_same_data_same_page(data):
    assert render_report(data, ReportParams()) == render_report(data, ReportParams())


def test_every_picture_has_a_text(data):
    made = page(data)
    assert sum(key == "role" and value == "img" for _, key, value in made.attributes) == sum(key == "aria-label" and bool(value) for tag, key, value in made.attributes if tag == "svg")  # fmt: skip


def test_likely_verdicts_ask_for_a_confirmation(data):
    likely = {"unsure": "likely", "new": "likely_new"}
    rows = [r | {"decision": likely.get(r["decision"], r["decision"])} for r in data.novelty.to_pylist()]
    plain = [{k: v for k, v in r.items() if k != "run_id"} for r in rows]
    text = squeezed(page(replace(data, novelty=conform("novelty", plain, "r"))).text)
    assert "Likely <b>x</b> 50 %; please confirm" in text and "please confirm: too few animals are known" in text
    assert "Likely a new animal, for now new-2026-001 92 % new" in text
    assert "4 encounters to identify: 1 likely new, 1 likely, 1 not compared, 1 known." in text


def test_photos_are_named_by_path_and_what_is_open_from_before_says_so(data):
    text = squeezed(page(data).text)
    assert "2026-06-03 bay/q-known 1.JPG" in text and "from before" not in text
    rows = data.photos.to_pylist()
    for row in rows:
        row["first_night"] = date(2026, 5, 1) if row["photo_id"] in ("q-new", "q-none") else row["first_night"]
    later = replace(data, photos=pa.Table.from_pylist(rows, schema=data.photos.schema))
    made = page(later)
    text = squeezed(made.text)
    assert "2 encounters to identify: 1 unsure, 1 known. 2 more from before are open: 1 new, 1 not compared." in text
    kinds = [value.split()[1] for tag, key, value in made.attributes if tag == "article" and key == "class"]
    assert kinds == ["unsure", "known", "new", "not_compared"], "tonight's first"
    assert (
        text.index("Tonight ")
        < text.index("1 Please look")
        < text.index("Open from before")
        < text.index("1 New animals")
    )


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("photos/dive 4/DSC_0187.JPG", "dive 4/DSC_0187.JPG"),
        ("archive/2.jpg", "archive/2.jpg"),
        ("/media/card/dive 4/2.jpg", "dive 4/2.jpg"),
        ("s3://bucket/season/dive 4/2.jpg", "dive 4/2.jpg"),
        ("D:\\season\\dive 4\\2.jpg", "D:/season/dive 4/2.jpg"),
    ],
)
def test_photo_path(uri: str, path: str):
    assert photo_path(uri) == path


def test_a_pair_without_a_fitting_pattern_has_no_lines_and_says_so(data):
    none = {pair: replace(points, inlier=np.zeros(len(points.inlier), bool)) for pair, points in data.matches.items()}
    made = page(replace(data, matches=none))
    assert "No matches fit one pattern, so no lines are drawn." in squeezed(made.text)
    assert not [
        value
        for tag, key, value in made.attributes
        if tag == "path" and key == "class" and re.fullmatch("c[0-4]", value)
    ]


def test_a_photo_that_left_its_encounter_is_named_on_both_cards(data):
    rows = data.photos.to_pylist()
    kept, left = [r for r in rows if r["encounter_id"] in set(data.novelty["encounter_id"].to_pylist())][:2]
    left["voted_out_of"] = kept["encounter_id"]
    text = squeezed(page(replace(data, photos=pa.Table.from_pylist(rows, schema=data.photos.schema))).text)
    assert f"1 photo was taken out, because it seems to show another animal: {photo_path(left['uri'])}." in text
    assert f"By folder or time this belongs to {kept['encounter_id']}" in text
    assert "taken out" not in page(data).text
