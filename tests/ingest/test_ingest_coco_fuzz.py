"""COCO files with anything in any place: an outline or a file is ignored with a note, and the photos are rows all the same.

The files in ``coco_corpus`` once ended a run. RESIGHT_FUZZ says how many random variants are tried besides, 300 if it is not set.
"""

from __future__ import annotations

import copy
import json
import math
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from resight.ingest.coco import Frame, outlines_on, read_coco
from resight.ingest.notes import Notes

CORPUS = Path(__file__).parent / "coco_corpus"
VARIANTS = int(os.environ.get("RESIGHT_FUZZ", "300"))
WHERE = "photos/annotations.coco.json"
GOOD: dict[str, Any] = {
    "images": [
        {"id": 1, "file_name": "a.png", "width": 471, "height": 313, "identity": "t001", "date": "2014:06:24"},
        {"id": 2, "file_name": "b.png", "width": 313, "height": 471, "viewpoint": "left", "head_visibility": "good"},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [100, 40, 60, 20], "segmentation": [[100, 40, 160, 40, 160, 60]]},
        {"id": 2, "image_id": 2, "category_id": 2, "bbox": [10, 40, 60, 20], "segmentation": {"size": [313, 471], "counts": "61X12mN"}},
        {"id": 3, "image_id": 2, "category_id": 1, "segmentation": {"size": [3, 4], "counts": [5, 2, 5]}, "attributes": {"orientation": "left"}},
    ],
    "categories": [{"id": 1, "name": "head"}, {"id": 2, "name": "turtle"}],
}  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, 1e308, -1e308, 10**400, math.inf, -math.inf, math.nan, "", "x", "1", "\0", "\ud800", "../../x",
    "x" * 70_000, [], {}, [[]], [None], [1], [[1, 2, 3, 4, 5, 6]], [[[1, 2], [3, 4], [5, 6]]], ["a"] * 4, [math.nan] * 4, [1e7] * 4,
    [2**62, 2**62, 2**63], {"size": [3, 4], "counts": [2**63 - 1, 2**63 - 1, 14]}, {"size": [math.inf, 1], "counts": []}, {"counts": "~"},
    {"size": "ab", "counts": None}, {"id": 1}, [{"id": 1}, {"id": 1}], [[[[[[[[]]]]]]]],
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values in a JSON object."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def variant(seed: int) -> bytes:
    """The good file after one to four random changes: another value, a key less, an entry twice, a byte lost."""
    rng = random.Random(seed)
    content = {"all": copy.deepcopy(GOOD)}
    for _ in range(rng.randint(1, 4)):
        *path, last = rng.choice(places(content)[1:])
        parent: Any = content
        for key in path:
            parent = parent[key]
        change = rng.random()
        if change < 0.75:
            parent[last] = copy.deepcopy(rng.choice(ODD))
        elif change < 0.9 and len(path) > 0:
            del parent[last]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
    data = json.dumps(content["all"]).encode()
    if rng.random() < 0.1:
        cut = rng.randrange(len(data) + 1)
        data = data[:cut] + data[cut + 1 :]
    return data


def check(data: bytes) -> None:
    """Whatever is in the file, its rows fit the tables and its outlines are finite; the notes name the file."""
    notes = Notes()
    for image in read_coco(data, WHERE, notes):
        label = image.entry.label
        pa.array([*image.entry.names, label.individual_id, *label.extra.values()], pa.string())
        for orientation in (1, 6):
            for outline in outlines_on(image, Frame(471, 313, orientation), WHERE, notes):
                numbers = [
                    *outline.bbox_xywh_px,
                    *(v for polygon in outline.polygons_xy_px for point in polygon for v in point),
                ]
                assert np.isfinite(numbers).all() and min(outline.bbox_xywh_px[2:]) > 0
    for note in notes.sentences():
        assert note.startswith(WHERE) and note.encode("utf-8")


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*.json")), ids=lambda file: file.stem)
def test_files_that_once_ended_a_run(file: Path) -> None:
    check(file.read_bytes())


def test_random_variants() -> None:
    for seed in range(VARIANTS):
        try:
            check(variant(seed))
        except Exception as error:
            raise AssertionError(f"variant {seed} fails, keep it in {CORPUS}: {variant(seed)!r}") from error


def outlines_of(**changes: Any) -> tuple[list[tuple[str, int]], tuple[str, ...]]:
    """Names and numbers of outlines of the two photos after a change of the good file, and the notes."""
    notes = Notes()
    images = read_coco(json.dumps({**copy.deepcopy(GOOD), **changes}).encode(), WHERE, notes)
    drawn = [
        (i.entry.names[0], len(outlines_on(i, Frame(*(i.size_wh_px or (471, 313)), 1), WHERE, notes))) for i in images
    ]
    return drawn, notes.sentences()


def annotation(**changes: Any) -> dict[str, Any]:
    return {**GOOD["annotations"][0], **changes}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"bbox": "x"}, "1 outlines are no polygons"),
        ({"bbox": [True, 1, 2, 3]}, "1 outlines are no polygons"),
        ({"segmentation": ["123456"]}, "1 outlines are no polygons"),
        ({"segmentation": [[math.inf] * 6]}, "1 outlines are no polygons"),
        ({"image_id": []}, "1 annotations are not readable"),
        ({"image_id": True}, "1 annotations are not readable"),
        ({"category_id": []}, "1 annotations are not readable"),
        ({"category_id": {}}, "1 annotations are not readable"),
    ],
)
def test_a_broken_outline_is_ignored_and_the_others_are_kept(broken: dict[str, Any], words: str) -> None:
    drawn, notes = outlines_of(annotations=[annotation(**broken), annotation(id=9)])
    assert drawn == [("a.png", 1), ("b.png", 0)]
    assert len(notes) == 1 and notes[0].startswith(WHERE) and words in notes[0]


@pytest.mark.parametrize(
    "width", [math.inf, math.nan, 10**400, True, "wide", [], -5], ids=lambda width: repr(width)[:9]
)
def test_an_unreadable_size_costs_the_outlines_of_that_photo(width: Any) -> None:
    images = [{**GOOD["images"][0], "width": width}, {**GOOD["images"][0], "id": 2, "file_name": "b.png"}]
    drawn, notes = outlines_of(images=images, annotations=[annotation(), annotation(image_id=2)])
    if width == []:  # says nothing
        assert (drawn, notes) == ([("a.png", 1), ("b.png", 1)], ())
    else:
        assert drawn == [("a.png", 0), ("b.png", 1)]
        assert "1 photos have a width or height that is no number" in notes[0] and "a.png" in notes[0]


def test_two_photos_with_one_number_get_no_outlines() -> None:
    images = [GOOD["images"][0], {**GOOD["images"][1], "id": 1}, GOOD["images"][0]]
    drawn, notes = outlines_of(images=images, annotations=[annotation()])
    assert drawn == [("a.png", 0), ("b.png", 0)]
    assert "the image ids 1 stand for several photos" in notes[0]


def test_an_image_listed_twice_is_one() -> None:
    drawn, notes = outlines_of(images=[GOOD["images"][0]] * 2, annotations=[annotation()])
    assert (drawn, notes) == ([("a.png", 1)], ())


def test_a_category_that_is_head_and_body_is_neither() -> None:
    categories = [{"id": 1, "name": "head"}, {"id": 1, "name": "turtle"}]
    drawn, notes = outlines_of(categories=categories, annotations=[annotation()])
    assert drawn == [("a.png", 0), ("b.png", 0)]
    assert "the categories 1 stand for head and for something else" in notes[0]


def test_a_name_that_is_no_text_is_no_animal() -> None:
    notes = Notes()
    image = {**GOOD["images"][0], "identity": {"name": "Ada"}}
    (row,) = read_coco(json.dumps({**GOOD, "images": [image], "annotations": []}).encode(), WHERE, notes)
    assert row.entry.label.individual_id is None
    assert "identity of a.png" in notes.sentences()[0]
