"""The survey's files say what the pictures show, and the metadata does not give the answers away."""

import csv
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from resight.demo.survey import SurveyTruth, render_survey

SMALL = {"seed": 3, "n_individuals": 3, "n_new": 1, "photos_per_encounter": 2, "size_px": (471, 313)}


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> SurveyTruth:
    return render_survey(tmp_path_factory.mktemp("demo") / "a survey", **SMALL)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_counts_and_names(survey):
    # 3 animals x 2 gallery encounters x 2 photos, and 4 animals x 1 query encounter x 2 photos
    assert len(survey.photos) == 12 + 8 and len(survey.queries) == 8
    assert len({photo.individual_id for photo in survey.photos if photo.is_new}) == 1
    assert len({photo.file for photo in survey.photos}) == 20
    assert {Path(photo.file).suffix for photo in survey.photos} == {".JPG", ".jpg"}
    assert all(" " in photo.file for photo in survey.photos)
    assert (
        len(
            {Path(p.file).parent for p in survey.queries}
            & {Path(p.file).parent for p in survey.photos if not p.is_query}
        )
        == 0
    )


def test_metadata_labels_the_gallery_only(survey):
    metadata, truth = rows_of(survey.folder / "metadata.csv"), rows_of(survey.folder / "truth.csv")
    queries = {photo.file for photo in survey.queries}
    assert len(metadata) == 20
    assert all((row["individual_id"] == "") == (row["file"] in queries) for row in metadata)
    names = {row["individual_id"] for row in metadata if row["individual_id"]}
    assert {row["file"] for row in truth} == queries
    assert all((row["is_new"] == "true") == (row["individual_id"] not in names) for row in truth)
    assert not any(name.lower() in row["encounter_id"].lower() + row["file"].lower() for row in truth for name in names)


def test_an_encounter_is_one_animal_on_one_day(survey):
    for encounter in {photo.encounter_id for photo in survey.photos}:
        photos = [photo for photo in survey.photos if photo.encounter_id == encounter]
        assert len({(p.individual_id, p.taken_at.date()) for p in photos}) == 1
        assert {p.viewpoint.value for p in photos} == {"left", "right"}


def test_exif_says_when_where_and_which_way_up(survey):
    turned = 0
    for photo in survey.photos:
        with Image.open(survey.folder / photo.file) as image:
            exif = image.getexif()
            assert exif.get_ifd(0x8769)[0x9003] == photo.taken_at.strftime("%Y:%m:%d %H:%M:%S")
            degrees, minutes, seconds = exif.get_ifd(0x8825)[2]
            assert float(degrees) + float(minutes) / 60 + float(seconds) / 3600 == pytest.approx(
                photo.place[1], abs=1e-4
            )
            assert f"{exif[0x010F]} {exif[0x0110]}" == "Resight Renderer"
            turned += exif[0x0112] != 1
            assert ImageOps.exif_transpose(image).size == (471, 313)
    assert 0 < turned < 20


def test_outline_lies_on_the_head_of_the_upright_photo(survey):
    coco = json.loads((survey.folder / "annotations.coco.json").read_text())
    images = {image["id"]: image for image in coco["images"]}
    views = {photo.file: photo.view for photo in survey.photos}
    heads = [one for one in coco["annotations"] if one["category_id"] == 1]
    assert len(images) == len(heads) == 20
    for head in heads:
        polygon = np.array(head["segmentation"][0]).reshape(-1, 2)
        xyz = np.array([[0.45, 0.0, 0.0]])
        middle = views[images[head["image_id"]]["file_name"]].project(xyz)[0][0]
        assert cv2.pointPolygonTest(polygon.astype(np.float32), tuple(map(float, middle)), False) > 0
        assert polygon.min() >= 0 and polygon[:, 0].max() < 471 and polygon[:, 1].max() < 313


def test_outline_matches_the_stored_picture_also_where_it_is_turned(survey):
    photo = next(p for p in survey.photos if p.exif_orientation in (6, 8))
    from resight.demo.render import render_head

    with Image.open(survey.folder / photo.file) as image:
        upright = np.asarray(ImageOps.exif_transpose(image), np.float32)
    assert np.abs(upright - render_head(photo.individual_seed, photo.view, photo.look).rgb).mean() < 8


def test_same_seed_same_bytes_other_seed_other_animals(survey, tmp_path):
    again = render_survey(tmp_path / "again", **SMALL)
    assert digests(again.folder) == digests(survey.folder)
    few = SMALL | {"n_individuals": 1, "n_new": 0, "gallery_encounters": 1, "seed": 4}
    other = render_survey(tmp_path / "other", **few)
    assert not set(digests(other.folder).values()) & set(digests(survey.folder).values())


def test_progress_and_bad_numbers(tmp_path):
    seen = []
    few = SMALL | {"n_individuals": 1, "n_new": 0, "gallery_encounters": 1}
    render_survey(tmp_path, **few, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(ValueError, match="names for"):
        render_survey(tmp_path, n_individuals=100)
    with pytest.raises(ValueError, match="negative"):
        render_survey(tmp_path, n_new=-1)
