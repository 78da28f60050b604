"""Outlines end up where the animal is in the upright photo, whatever program drew them."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resight.ingest.annotation import Annotation
from resight.ingest.decode import load_rgb
from resight.ingest.rle import rle_polygons, unpack_counts
from resight.ingest.stage import IngestResult
from resight.status import Viewpoint
from resight.store.workspace import Workspace

BOX = [100.0, 40.0, 60.0, 20.0]
RING = [[100.0, 40.0, 160.0, 40.0, 160.0, 60.0, 100.0, 60.0]]
CATEGORIES = [{"id": 1, "name": "head"}, {"id": 2, "name": "turtle"}, {"id": 3, "name": "flipper"}]
STORED = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def picture(boxes: tuple[list[float], ...] = ()) -> np.ndarray:
    """471 wide, 313 high, white in the boxes and black elsewhere."""
    rgb = np.zeros((313, 471, 3), np.uint8)
    for x, y, width, height in (map(int, box) for box in boxes):
        rgb[y : y + height, x : x + width] = 255
    return rgb


def outline(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 1, "category_id": 1, "bbox": BOX, "segmentation": RING} | changes


def image(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "file_name": "a.png", "width": 471, "height": 313} | changes


@pytest.fixture
def survey(
    workspace: Workspace, read_photos: Callable[..., IngestResult]
) -> Callable[..., tuple[IngestResult, tuple[Annotation, ...]]]:
    """Ingests one photo with one COCO file; gives back its outlines."""

    def make(
        images: list[Any],
        annotations: list[Any],
        *,
        orientation: int = 1,
        name: str = "annotations.coco.json",
        table: str = "",
    ) -> tuple[IngestResult, tuple[Annotation, ...]]:
        root = workspace.root / "photos"
        root.mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[0x112] = orientation
        stored = Image.fromarray(picture((BOX,)))
        stored = stored.transpose(STORED[orientation]) if orientation in STORED else stored
        stored.save(root / "a.png", exif=exif)
        (root / name).write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))
        if table:
            (root / "metadata.csv").write_text(table)
        result = read_photos("photos")
        return result, next(iter(result.annotations.values()), ())

    return make


def test_boxes_and_polygons(survey: Callable) -> None:
    both = [outline(), outline(category_id=2, segmentation=[]), outline(category_id=3)]
    result, found = survey([image(viewpoint="left")], both)
    ring = ((100.0, 40.0), (160.0, 40.0), (160.0, 60.0), (100.0, 60.0))
    assert found == (
        Annotation("head", tuple(BOX), (ring,), Viewpoint.LEFT),
        Annotation("body", tuple(BOX), (), Viewpoint.UNKNOWN),
    )
    assert result.photos.column("viewpoint").to_pylist() == ["left"]
    assert result.notes == ()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_coordinates_of_stored_pixels_are_turned(survey: Callable, workspace: Workspace, orientation: int) -> None:
    stored = np.asarray(Image.fromarray(picture((BOX,))).transpose(STORED[orientation]))[..., 0] > 0
    ys, xs = np.nonzero(stored)
    x, y, right, bottom = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
    drawn = outline(bbox=[x, y, right - x, bottom - y], segmentation=[[x, y, right, y, right, bottom, x, bottom]])
    result, found = survey([image(width=313, height=471)], [drawn], orientation=orientation)
    assert found[0].bbox_xywh_px == pytest.approx(BOX)
    assert sorted(found[0].polygons_xy_px[0]) == sorted(((100.0, 40.0), (160.0, 40.0), (160.0, 60.0), (100.0, 60.0)))
    rgb = load_rgb(result.photos.column("uri")[0].as_py(), 150, workspace.root)
    assert rgb[40:60, 100:160].min() == 255


def test_upright_coordinates_of_a_turned_photo_stay(survey: Callable) -> None:
    _, found = survey([image()], [outline()], orientation=6)
    assert found[0].bbox_xywh_px == tuple(BOX)


def test_drawn_on_a_copy_of_half_the_size(survey: Callable) -> None:
    half = outline(bbox=[50, 20, 30, 10], segmentation=[])
    _, found = survey([image(width=235, height=156)], [half])
    assert found[0].bbox_xywh_px == pytest.approx(BOX, rel=0.01)


def test_drawn_on_another_picture(survey: Callable) -> None:
    result, found = survey([image(width=313, height=471)], [outline()])
    assert found == ()
    assert "1 photos have another shape than the file says" in result.notes[0]


def test_broken_outlines_are_told_and_the_others_kept(survey: Callable) -> None:
    broken = [
        outline(bbox=None, segmentation=[]), outline(segmentation=[[1, 2, 3]]), outline(bbox=["a", 1, 2, 3]), "junk",
        outline(segmentation={"size": [313, 471], "counts": [5]}), outline(bbox=[1, 1, 0, 5], segmentation=[]), outline(image_id=99),
    ]  # fmt: skip
    result, found = survey([image()], [*broken, outline(bbox=None)])
    assert [one.bbox_xywh_px for one in found] == [tuple(BOX)]
    assert any("5 outlines are no polygons" in note for note in result.notes)
    assert any("1 annotations are not readable" in note for note in result.notes)


def test_outlines_for_missing_photos_and_broken_files_are_told(survey: Callable) -> None:
    result, _ = survey([image(), image(id=2, file_name="gone.png")], [outline(), outline(image_id=2)])
    assert "1 entries name photos that are not there (gone.png)" in result.notes[0]


@pytest.mark.parametrize("text", ["{", "[]", '{"images": 3}', '{"images": [1]}', "\xff"])
def test_no_coco_file(workspace: Workspace, read_photos: Callable[..., IngestResult], text: str) -> None:
    root = workspace.root / "photos"
    root.mkdir()
    Image.fromarray(picture()).save(root / "a.png")
    (root / "annotations.json").write_bytes(text.encode("latin-1"))
    result = read_photos("photos")
    assert result.annotations == {}
    assert "annotations.json is no COCO file" in result.notes[0]


def test_tables_beat_coco_files(survey: Callable) -> None:
    said = image(identity="t009", date="2014-06-24", viewpoint="left")
    result, _ = survey([said], [outline()], table="file,individual_id,viewpoint\na.png,Ada,right\n")
    row = result.photos.to_pylist()[0]
    assert (row["individual_id"], row["viewpoint"], row["taken_on"]) == ("Ada", "right", date(2014, 6, 24))


def test_seaturtleid_flavour(survey: Callable) -> None:
    head = outline(attributes={"orientation": "topleft"})
    flipper = outline(category_id=3, attributes={"orientation": "top", "position": "right"})
    said = image(path="data/images/a.png", file_name="a.png", identity="t001", date="2014:06:24")
    result, found = survey([said], [head, flipper, outline(category_id=2)], name="annotations.json")
    row = result.photos.to_pylist()[0]
    assert (row["individual_id"], row["taken_on"], row["viewpoint"]) == ("t001", date(2014, 6, 24), "left")
    assert [one.part for one in found] == ["head", "body"]


def runs_of(mask: np.ndarray) -> list[int]:
    """COCO run lengths: column by column, background first."""
    flat = mask.T.reshape(-1).astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    return ([0] if flat[0] else []) + np.diff([0, *edges, flat.size]).tolist()


def packed(runs: list[int]) -> str:
    """COCO's text form of run lengths."""
    text = ""
    for i, run in enumerate(runs):
        value, more = run - runs[i - 2] if i > 2 else run, True
        while more:
            bits, value = value & 31, value >> 5
            more = not (value == 0 and not bits & 16) and not (value == -1 and bits & 16)
            text += chr((bits | (32 if more else 0)) + 48)
    return text


def test_packed_runs_worked_out_by_hand() -> None:
    # 6 -> '6'; 1 -> '1'; 40 = 8 + 1 * 32 -> 'X1'; then 3 - 1 = 2 -> '2' and 5 - 40 = -35 -> low 29 with more 'm', then -2 -> 'N'.
    assert unpack_counts(b"61X12mN").tolist() == [6, 1, 40, 3, 5]
    assert packed([6, 1, 40, 3, 5]) == "61X12mN"


def test_masks_become_polygons(survey: Callable) -> None:
    import cv2

    mask = np.zeros((313, 471), np.uint8)
    cv2.ellipse(mask, (200, 120), (90, 40), 30, 0, 360, 1, -1)
    mask[300:, 460:] = 1
    mask[0, 0] = 1
    runs = runs_of(mask)
    assert unpack_counts(packed(runs).encode()).tolist() == runs
    for counts in (runs, packed(runs)):
        redrawn = np.zeros_like(mask)
        for polygon in rle_polygons({"size": [313, 471], "counts": counts}, 1e6):
            cv2.fillPoly(redrawn, [np.rint(np.array(polygon)).astype(np.int32)], 1)
        assert (redrawn != mask).sum() < 0.02 * mask.sum()
    _, found = survey([image()], [outline(bbox=None, segmentation={"size": [313, 471], "counts": packed(runs)})])
    x, y, width, height = found[0].bbox_xywh_px
    assert (x + width, y + height) == (470, 312)


def test_mask_that_is_too_large_or_does_not_add_up() -> None:
    for segmentation in (
        {"size": [100_000, 100_000], "counts": [10_000_000_000]},
        {"size": [3, 4], "counts": [5, -1, 8]},
        {"size": [3, 4], "counts": "~"},
    ):
        with pytest.raises(ValueError):
            rle_polygons(segmentation, 1e6)
    assert rle_polygons({"size": [3, 4], "counts": [12]}, 1e6) == ()


def test_visibility_is_kept_unless_the_table_says_otherwise(survey: Callable) -> None:
    result, _ = survey([image(head_visibility="poor", note="blurred")], [outline()])
    assert result.photos["extra"].to_pylist() == ['{"head_visibility": "poor"}']
    result, _ = survey([image(head_visibility="poor")], [outline()], table="file,head_visibility,observer\na.png,good,Zoe\n")  # fmt: skip
    assert result.photos["extra"].to_pylist() == ['{"head_visibility": "good", "observer": "Zoe"}']
