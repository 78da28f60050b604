"""Geometry of the two looks, with a network that knows the answer: red is head, green is body."""

import math

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from resight.segment.base import Photo
from resight.segment.kinds.head_finder import HeadFinderParams
from resight.segment.learned.copies import Copies
from resight.segment.learned.finder import HeadFinder
from resight.segment.learned.looks import look_close, look_wide
from resight.status import CropStatus, Viewpoint

WIDTH, HEIGHT = 313, 471
HEAD = (120, 300, 40, 30)
BODY = (60, 200, 150, 180)
STEADY = {"min_confidence": 0.3}


class Oracle(torch.nn.Module):
    """Reads head and body from the colours; the head it sees always lies as ``up_rad`` and ``view`` say.

    Pictures come in pairs, the second one mirrored.
    """

    def __init__(self, up_rad=0.0, view="left"):
        super().__init__()
        self.up_rad, self.view = up_rad, view

    def forward(self, rgb):
        cells = F.avg_pool2d(rgb, 4)
        maps = torch.zeros(len(rgb), 4, *cells.shape[2:])
        maps[:, 0] = (cells[:, 0] - 0.5) * 40
        maps[:, 1] = (cells[:, 1] - 0.5) * 40
        crown = math.pi / 2 - self.up_rad
        snout = crown + (math.pi / 2 if self.view == "left" else -math.pi / 2)
        y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in cells.shape[2:]), indexing="ij")
        views = torch.zeros(len(rgb), 6)
        for k in range(len(rgb)):
            mirror = -1 if k % 2 else 1
            for place, angle in ((2, snout), (3, crown)):
                maps[k, place] = 2.3 * (mirror * x * math.cos(angle) - y * math.sin(angle))
            views[k, :2] = 8.0  # a side; which one, the slopes tell
        return maps, views, torch.zeros(len(rgb), 2)


def painted(*heads, size=(WIDTH, HEIGHT), body=None):
    rgb = np.zeros((size[1], size[0], 3), np.uint8)
    if body:
        x, y, w, h = body
        rgb[y : y + h, x : x + w, 1] = 255
    for x, y, w, h in heads:
        rgb[y : y + h, x : x + w, 0] = 255
    return rgb


def finder(net=None, **settings):
    return HeadFinder(HeadFinderParams.model_validate(STEADY | settings), net or Oracle())


def close_to(box, other, px):
    return np.abs(np.array(box) - other).max() <= px


def test_the_wide_look_finds_head_and_body_where_they_are():
    seen = look_wide(Oracle(), Copies(painted(HEAD, body=BODY)), (384,), 4)
    assert close_to(seen.candidates[0].bbox_xywh_px, HEAD, 5)
    assert close_to(seen.bodies[0], BODY, 20)
    assert seen.candidates[0].confidence > 0.9


def test_a_large_photo_gives_the_box_in_its_own_pixels():
    rgb = painted((1200, 500, 160, 120), size=(2000, 1124))
    seen = look_wide(Oracle(), Copies(rgb), (384,), 4)
    assert close_to(seen.candidates[0].bbox_xywh_px, (1200, 500, 160, 120), 40)
    close = look_close(Oracle(), Copies(rgb), [(seen.candidates[0].bbox_xywh_px, 0.0)])[0]
    assert close_to(close.bbox_xywh_px, (1200, 500, 160, 120), 6)


@pytest.mark.parametrize("head", [(3201, 1503, 400, 300), (1201, 803, 2600, 1900), (5001, 3100, 60, 44)])
def test_in_24_megapixels_a_head_of_any_size_is_found_where_it_is(head):
    findings, _ = finder().look(painted(head, size=(6001, 3999)))
    assert close_to(findings[0].bbox_xywh_px, head, max(3, 0.04 * max(head[2:])))


@pytest.mark.parametrize("turn_deg", [0, 90, -90, 180, 37])
def test_the_outline_comes_back_from_a_turned_window(turn_deg):
    close = look_close(Oracle(), Copies(painted(HEAD)), [(HEAD, math.radians(turn_deg))])[0]
    assert close_to(close.bbox_xywh_px, HEAD, 5)


def test_the_angle_is_read_off_the_crown_and_adds_the_turn_of_the_window():
    close = look_close(Oracle(up_rad=0.3), Copies(painted(HEAD)), [(HEAD, 0.5)])[0]
    assert close.upright_rad == pytest.approx(0.8, abs=1e-2)
    assert close.upright_trust == pytest.approx(1.0, abs=1e-2)


def test_a_head_at_the_edge_of_the_photo_keeps_its_outline_inside():
    rgb = painted((0, 440, 50, 31))
    findings, _ = finder().look(rgb)
    x, y, w, h = findings[0].bbox_xywh_px
    assert x >= 0 and y + h <= HEIGHT and close_to((x, y, w, h), (0, 440, 50, 31), 3)


def test_views_of_the_picture_and_its_mirror_image_are_taken_together():
    findings, _ = finder(Oracle(view="right")).look(painted(HEAD))
    assert findings[0].viewpoint[0] == "right" and findings[0].viewpoint[1] > 0.95
    assert sum(findings[0].view_chances.values()) == pytest.approx(1, abs=1e-5)


def test_several_animals_give_several_regions_and_one_head_gives_one():
    photo = Photo("p", painted((20, 30, 40, 30), (220, 380, 60, 44)))
    found = finder().find(photo)
    assert sorted(round(r.bbox_xywh_px[0] / 10) for r in found) == [2, 22]
    assert all(r.part == "head" and r.viewpoint == Viewpoint.LEFT and r.segmenter == "head-finder" for r in found)
    assert len(finder(min_confidence_further=1.0).find(photo)) == 1  # the surest one stays


def test_no_head_is_no_region_unless_the_settings_say_otherwise():
    photo = Photo("p", painted(body=BODY))
    assert finder().find(photo) == [] and finder().nothing_found == CropStatus.NO_HEAD
    (body,) = finder(if_no_head="body").find(photo)
    assert body.part == "body" and close_to(body.bbox_xywh_px, BODY, 20) and body.segmenter == "head-finder:no-head"
    (whole,) = finder(if_no_head="whole").find(photo)
    assert whole.part == "whole" and whole.bbox_xywh_px == (0, 0, WIDTH, HEIGHT) and whole.confidence == 0
    assert finder(if_no_head="body").find(Photo("p", painted()))[0].part == "whole"


def test_the_body_is_given_where_it_is_asked_for():
    (body,) = finder(part="body").find(Photo("p", painted(HEAD, body=BODY)))
    assert body.part == "body" and close_to(body.bbox_xywh_px, BODY, 20)


@pytest.mark.parametrize(("up_deg", "kept"), [(30, 0.0), (100, math.radians(100))])
def test_only_heads_that_lie_far_off_are_turned(up_deg, kept, monkeypatch):
    monkeypatch.setattr("resight.segment.learned.finder.LOOK_AGAIN_DEG", 180)
    photo = Photo("p", painted(HEAD))
    net = Oracle(up_rad=math.radians(up_deg))
    (region,) = finder(net).find(photo)
    assert region.upright_rotation_rad == pytest.approx(kept, abs=1e-2)


def test_the_same_photo_gives_the_same_regions_and_is_left_alone():
    rgb = cv2.GaussianBlur(painted(HEAD, body=BODY), (0, 0), 2)
    before = rgb.copy()
    assert finder().find(Photo("p", rgb)) == finder().find(Photo("p", rgb))
    assert np.array_equal(rgb, before)
