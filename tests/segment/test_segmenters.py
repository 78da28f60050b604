"""Every segmenter keeps the same contract; each does what its name says."""

import cv2
import numpy as np
import pytest

from resight.ingest.annotation import Annotation
from resight.plugins import registry
from resight.segment.base import Photo, Segmenter
from resight.segment.cropper import cut, tidy
from resight.segment.kinds.annotations import AnnotationSegmenter, AnnotationsParams
from resight.segment.kinds.auto import AutoParams, AutoSegmenter
from resight.segment.kinds.grabcut import GrabCutParams, GrabCutSegmenter, fill_holes, main_component
from resight.segment.params import CropParams
from resight.status import CropStatus, Viewpoint
from resight.weights.store import WeightStore

WIDTH, HEIGHT = 313, 471
CENTER, AXES = (150, 250), (70, 110)
HEAD = Annotation("head", (120.0, 130.0, 60.0, 80.0), viewpoint=Viewpoint.LEFT)
BODY = Annotation("body", (80.0, 140.0, 140.0, 220.0))


def rendered_photo(*annotations):
    """A patterned brown ellipse on noisy blue water that grows darker towards the corners."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    water = np.array([30, 110, 150]) * (1 - 0.35 * (x**2 + y**2))[..., None]
    animal = cv2.ellipse(np.zeros((HEIGHT, WIDTH), np.uint8), CENTER, AXES, 0, 0, 360, 1, -1).astype(bool)
    cells = cv2.resize(rng.integers(0, 2, (40, 27)).astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    water[animal] = np.where(cells[animal, None], [150, 110, 60], [90, 60, 30])
    rgb = (water + rng.normal(0, 3, water.shape)).clip(0, 255).astype(np.uint8)
    return Photo("p", rgb, annotations=annotations), animal


def runnable():
    """Segmenters whose weights come with the package, or that need none."""
    store = WeightStore(allow_download=False)
    return [p for p in registry.SEGMENTERS.values() if all(store.available(name) for name in p().weight_names())]


@pytest.mark.parametrize("params", runnable(), ids=lambda p: p.model_fields["kind"].default)
@pytest.mark.parametrize("annotations", [(), (HEAD, BODY)], ids=["bare", "outlined"])
def test_contract(params, annotations):
    photo, _ = rendered_photo(*annotations)
    before = photo.rgb.copy()
    segmenter = params().build(WeightStore())
    assert isinstance(segmenter, Segmenter)
    found, again = segmenter.find(photo), params().build(WeightStore()).find(photo)
    assert found == again
    assert np.array_equal(photo.rgb, before)
    assert found or segmenter.nothing_found in {CropStatus.NO_ANNOTATION, CropStatus.NO_HEAD}
    for region in found:
        x, y, width, height = region.bbox_xywh_px
        assert x >= 0 and x + width <= WIDTH and y >= 0 and y + height <= HEIGHT and min(width, height) > 0
        assert region.part in {"head", "body", "whole"} and region.segmenter
        assert 0 <= region.confidence <= 1
        crop = cut(photo.rgb, tidy(region, (WIDTH, HEIGHT)), CropParams())
        assert crop.rgb.shape[:2] == crop.mask.shape and crop.mask.any()


def test_annotations_give_all_outlines_of_the_part_and_no_other():
    second = Annotation("head", (10.0, 10.0, 50.0, 40.0), viewpoint=Viewpoint.TOP)
    photo, _ = rendered_photo(BODY, HEAD, second)
    found = AnnotationSegmenter(AnnotationsParams(part="head")).find(photo)
    assert [(r.bbox_xywh_px, r.viewpoint) for r in found] == [(HEAD.bbox_xywh_px, "left"), (second.bbox_xywh_px, "top")]
    assert [r.part for r in AnnotationSegmenter(AnnotationsParams(part="body")).find(photo)] == ["body"]


def test_an_outline_partly_outside_is_clipped_and_one_outside_is_dropped():
    outline = (((280.0, 100.0), (350.0, 100.0), (350.0, 180.0), (280.0, 180.0)),)
    photo, _ = rendered_photo(
        Annotation("head", (280.0, 100.0, 70.0, 80.0), outline), Annotation("head", (400.0, 9.0, 9.0, 9.0))
    )
    (found,) = AnnotationSegmenter(AnnotationsParams()).find(photo)
    assert found.bbox_xywh_px == (280.0, 100.0, 33.0, 80.0)


def test_grabcut_finds_the_animal():
    photo, animal = rendered_photo()
    (found,) = GrabCutSegmenter(GrabCutParams()).find(photo)
    outline = np.array(found.polygons_xy_px[0]) - 0.5
    filled = cv2.fillPoly(np.zeros((HEIGHT, WIDTH), np.uint8), [np.round(outline).astype(np.int32)], 1).astype(bool)
    assert (filled & animal).sum() / (filled | animal).sum() > 0.85


def test_grabcut_finds_nothing_in_plain_water():
    photo = Photo("p", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    segmenter = GrabCutSegmenter(GrabCutParams())
    assert segmenter.find(photo) == []
    assert segmenter.nothing_found == CropStatus.NO_HEAD


def test_grabcut_calls_a_small_find_nothing(monkeypatch):
    photo, animal = rendered_photo()
    monkeypatch.setattr("resight.segment.kinds.grabcut.MIN_AREA_FRACTION", 1.2 * animal.mean())
    assert GrabCutSegmenter(GrabCutParams()).find(photo) == []


@pytest.mark.parametrize(
    ("otherwise", "bare", "outlined"), [("whole", ["whole"], ["annotations"]), ("skip", [], ["annotations"])]
)
def test_auto_takes_outlines_where_there_are_some(otherwise, bare, outlined):
    segmenter = AutoSegmenter(AutoParams(otherwise=otherwise), WeightStore())
    assert [r.segmenter for r in segmenter.find(rendered_photo()[0])] == bare
    assert [r.segmenter for r in segmenter.find(rendered_photo(BODY)[0])] == bare
    assert [r.segmenter for r in segmenter.find(rendered_photo(HEAD)[0])] == outlined


def test_the_main_piece_is_large_and_central():
    mask = np.zeros((100, 200), bool)
    mask[5:30, 5:30] = True
    mask[45:65, 85:110] = True
    assert np.array_equal(np.argwhere(main_component(mask)).min(axis=0), [45, 85])
    mask[5:40, 5:60] = True
    assert np.array_equal(np.argwhere(main_component(mask)).min(axis=0), [5, 5])
    assert not main_component(np.zeros((5, 7), bool)).any()


def test_holes_are_filled_and_bays_are_not():
    mask = np.ones((7, 9), bool)
    mask[3, 3] = False
    mask[0:3, 6] = False
    filled = fill_holes(mask)
    assert filled[3, 3]
    assert np.array_equal(np.argwhere(~filled), [[0, 6], [1, 6], [2, 6]])
