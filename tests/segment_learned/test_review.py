"""The contact sheet: everything is there, the least certain first, and outlines lie where the head is."""

import re

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from resight.report.segment_review import render_review
from resight.segment.base import Region
from resight.segment.cropper import cut, tidy
from resight.segment.params import CropParams
from resight.segment.rows import SCHEMA, empty_row, frame_columns, region_row
from resight.segment.store import crop_path, write_crop
from resight.status import CropStatus, Viewpoint

SIZE = (313, 471)


def crop_row(workspace, photo_id, confidence, rotation=0.0):
    rgb = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    outline = ((100.0, 200.0), (160.0, 200.0), (160.0, 240.0), (100.0, 240.0))
    region = Region(
        "head", (100.0, 200.0, 60.0, 40.0), (outline,), viewpoint=Viewpoint.LEFT, confidence=confidence,
        upright_rotation_rad=rotation, segmenter="head-finder",
    )  # fmt: skip
    region = tidy(region, SIZE)
    crop = cut(rgb, region, CropParams())
    path = crop_path(workspace.stage_dir("segment", "f"), f"{photo_id}crop")
    write_crop(path, crop.rgb, crop.mask)
    row = region_row(f"{photo_id}crop", photo_id, "f", region)
    return row | frame_columns(crop.frame) | {"path": workspace.relative(path)}


@pytest.fixture
def page(workspace):
    names = {"a": "sure.jpg", "b": "unsure <one>.jpg", "c": "nothing here.png", "d": "rejected.jpg", "e": "gone.jpg"}
    photos = workspace.root / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 30), (10, 60, 90)).save(photos / names["c"])
    rows = [
        crop_row(workspace, "a", 0.93),
        crop_row(workspace, "b", 0.41, rotation=1.5),
        empty_row("c", "f", CropStatus.NO_HEAD, "the segmenter found nothing"),
        empty_row("d", "f", CropStatus.PHOTO_REJECTED, "too small"),
        crop_row(workspace, "e", 0.6) | {"path": "store/segment/f/crops/no/no.png"},
    ]
    table = pa.table({"photo_id": list(names), "uri": [f"photos/{name}" for name in names.values()]})
    return lambda **options: render_review(workspace, table, pa.Table.from_pylist(rows, schema=SCHEMA), **options)


def test_everything_is_there_and_the_least_certain_comes_first(page):
    html = page()
    captions = re.findall(r"<b>(.*?)</b>", html)
    assert captions == ["no head found", "photo not usable", "head, left, 41%", "crop missing", "head, left, 93%"]
    assert "unsure &lt;one&gt;.jpg" in html and "turned by 86°" in html
    assert "5 photos:" in html and "3 head by head-finder" in html


def test_no_more_pictures_than_asked_for_and_the_page_says_so(page):
    html = page(most=3)
    assert html.count("<li") == 3 and "2 more" in html


def test_outlines_lie_in_the_crop(page, workspace):
    html = page()
    sizes = [tuple(map(int, m)) for m in re.findall(r'viewBox="0 0 (\d+) (\d+)"', html)]
    points = [
        np.array([tuple(map(float, p.split(","))) for p in m.split()]) for m in re.findall(r'points="(.*?)"', html)
    ]
    assert len(points) == 2
    width, height = sizes[-1]
    assert points[-1].min() > 0 and (points[-1].max(0) < (width, height)).all()
    assert np.ptp(points[-1], axis=0) == pytest.approx(
        (120, 80), abs=0.2
    )  # twice the photo's pixels: the most that is enlarged
    assert np.ptp(points[0], axis=0)[1] > np.ptp(points[0], axis=0)[0]  # turned upright


def test_the_page_repeats_itself(page):
    assert page() == page()
