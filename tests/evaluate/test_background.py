"""The control: what is painted over, and where keypoints may lie."""

import cv2
import numpy as np
import pyarrow as pa

from resight.evaluate.background import (
    EDGE_FRACTION,
    GROW_FRACTION,
    Outlines,
    background_fingerprint,
    blank_crops,
    paint_over,
)
from resight.ingest.annotation import Annotation
from resight.segment.block import SegmentSetup
from resight.segment.kinds.auto import AutoParams
from resight.segment.params import CropParams
from resight.segment.rows import SCHEMA, empty_row
from resight.segment.store import read_crop
from resight.status import CropStatus

BOX = ((100.0, 50.0), (200.0, 50.0), (200.0, 100.0), (100.0, 100.0))


def picture():
    """471 wide and 313 high: green, with a red animal where `BOX` is."""
    rgb = np.full((313, 471, 3), (20, 200, 40), np.uint8)
    rgb[50:100, 100:200] = (250, 10, 10)
    return rgb


def test_the_animal_gets_the_mean_colour_of_the_rest_and_nothing_else_changes():
    painted, left = paint_over(picture(), [BOX])
    assert (painted == (20, 200, 40)).all(), "no red is left"
    assert (painted[~left] == (20, 200, 40)).all() and left[0, 0]
    grown, edge = GROW_FRACTION * 100, (GROW_FRACTION + EDGE_FRACTION) * 100
    assert not left[int(50 - edge) + 1, 150] and left[int(50 - edge) - 2, 150]
    noisy = picture()
    noisy[:] = np.random.default_rng(0).integers(0, 255, noisy.shape, np.uint8)
    painted, _ = paint_over(noisy, [BOX])
    changed = np.flatnonzero((painted != noisy).any(axis=(1, 2)))
    assert changed.min() >= 50 - grown - 1 and changed.max() <= 100 + grown + 1
    assert np.ptp(painted[55:95, 105:195].reshape(-1, 3), axis=0).max() == 0, "flat inside"


def blanked(env, photos, crops, annotations):
    setup = SegmentSetup(AutoParams(), CropParams(), 100.0)
    return blank_crops(env, setup, background_fingerprint(setup.crop), photos, Outlines.of(crops, annotations))


def test_crops_of_painted_photos(workspace, env):
    cv2.imwrite(str(workspace.root / "one.png"), picture()[..., ::-1])
    photos = pa.table({"photo_id": ["one", "two"], "uri": ["one.png", "one.png"], "uris": [["one.png"], ["one.png"]], "width_px": [471, 471],
                       "height_px": [313, 313], "viewpoint": ["left", "left"]})  # fmt: skip
    crop = empty_row("one", "f", CropStatus.OK) | {"crop_id": "c", "part": "head", "viewpoint": "right", "bbox_x_px": 100.0, "bbox_y_px": 50.0,
                                                   "bbox_width_px": 50.0, "bbox_height_px": 50.0}  # fmt: skip
    body = Annotation("body", (100.0, 50.0, 100.0, 50.0))
    crops = pa.Table.from_pylist([crop], schema=SCHEMA)
    found, again = (blanked(env, photos, crops, {"one": (body,)}) for _ in range(2))
    (row,) = found.crops.to_pylist()
    assert again.crops.equals(found.crops)
    assert (found.n_without, found.n_head_only, found.n_failed) == (1, 0, 0), "nobody says where the animal of `two` is"
    assert (row["photo_id"], row["viewpoint"], row["segmenter"], row["part"]) == ("one", "right", "background", "whole")
    rgb, mask = read_crop(workspace, row["path"])
    assert rgb.shape[:2] == (row["crop_height_px"], row["crop_width_px"]) and rgb[..., 0].max() < 60, "no red is left"
    share = 1 - mask.mean()
    assert 5000 / (471 * 313) < share < 3 * 5000 / (471 * 313)
    assert found.crop == CropParams(mask_grow_fraction=0.0), "keypoints may not creep over the edge of the paint"


def test_an_animal_that_fills_the_photo_leaves_nothing_to_match(workspace, env):
    cv2.imwrite(str(workspace.root / "one.png"), picture())
    photos = pa.table({"photo_id": ["one"], "uri": ["one.png"], "uris": [["one.png"]], "width_px": [471], "height_px": [313], "viewpoint": ["left"]})  # fmt: skip
    nothing_cut = pa.Table.from_pylist([], schema=SCHEMA)
    found = blanked(env, photos, nothing_cut, {"one": (Annotation("head", (0, 0, 471, 313)),)})
    assert found.crops.num_rows == 0 and found.n_failed == 1
