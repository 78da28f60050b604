"""Where a crop lies in its photo; outlines at the frame's edge."""

import math

import cv2
import numpy as np
import pytest

from resight.segment.base import Region
from resight.segment.cropper import cut, tidy
from resight.segment.geometry import clip_polygon, clip_region, crop_to_photo, photo_to_crop, rotation_matrix
from resight.segment.params import CropParams
from resight.segment.rows import frame_columns, region_row

WIDTH, HEIGHT = 313, 471


def row_and_crop(rgb, region, **params):
    tidied = tidy(region, (rgb.shape[1], rgb.shape[0]))
    crop = cut(rgb, tidied, CropParams(**params))
    return region_row("c", "p", "f", tidied) | frame_columns(crop.frame), crop


def photo_with_dots(points, sigma=3.0):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    grey = sum(220 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in points)
    return np.repeat(grey[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)


def centroid_near(grey, xy, radius):
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    weight = grey.astype(float) * ((x - xy[0]) ** 2 + (y - xy[1]) ** 2 < radius**2)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("rotation", [0.0, 0.7, -2.5])
@pytest.mark.parametrize("side", [64, 150, 640])
def test_a_dot_in_the_crop_maps_onto_the_dot_in_the_photo(rotation, side):
    dots = np.array([[120.0, 200.0], [180.0, 260.0], [110.0, 270.0]])
    rgb = photo_with_dots(dots)
    region = Region("head", (80.3, 150.7, 140.1, 160.4), upright_rotation_rad=rotation)
    row, crop = row_and_crop(rgb, region, head_side_px=side)
    for dot in dots:
        seen = centroid_near(crop.rgb[..., 0], photo_to_crop(dot[None], row)[0], 12 * row["crop_scale"])
        assert np.abs(crop_to_photo(seen[None], row)[0] - dot).max() < 0.1


def test_there_and_back_is_the_identity():
    region = Region("body", (40.0, 33.0, 200.0, 300.0), upright_rotation_rad=1.1)
    row, _ = row_and_crop(np.zeros((HEIGHT, WIDTH, 3), np.uint8), region)
    points = np.array([[0.0, 0.0], [312.0, 470.0], [17.25, 400.5]])
    assert np.allclose(crop_to_photo(photo_to_crop(points, row), row), points, atol=1e-9)


def test_the_turn_is_counter_clockwise_as_the_picture_is_seen():
    assert np.allclose(rotation_matrix(math.pi / 2) @ [1, 0], [0, -1])
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.circle(rgb, (250, 235), 15, (255, 255, 255), -1)
    _, crop = row_and_crop(rgb, Region("head", (20.0, 200.0, 260.0, 70.0), upright_rotation_rad=math.pi / 2))
    y, x = np.argwhere(crop.rgb[..., 0] > 200).mean(axis=0)
    assert crop.rgb.shape[0] > crop.rgb.shape[1]
    assert y < crop.rgb.shape[0] / 4
    assert abs(x - crop.rgb.shape[1] / 2) < 10


def test_crop_scale_is_crop_pixels_per_photo_pixel():
    row, crop = row_and_crop(
        np.zeros((HEIGHT, WIDTH, 3), np.uint8), Region("head", (50.0, 50.0, 100.0, 80.0)), pad_fraction=0.1
    )
    assert row["crop_scale"] == 2.0
    assert (row["crop_width_px"], row["crop_height_px"]) == (240, 200) == crop.rgb.shape[1::-1]


def test_clipping_a_triangle_by_hand():
    clipped = clip_polygon(((-10.0, 10.0), (10.0, 10.0), (10.0, 30.0)), (100, 100))
    assert sorted(clipped) == [(0.0, 10.0), (0.0, 20.0), (10.0, 10.0), (10.0, 30.0)]


def test_clipping_leaves_what_lies_inside_and_drops_what_lies_outside():
    square = ((1.0, 1.0), (5.0, 1.0), (5.0, 5.0), (1.0, 5.0))
    assert clip_polygon(square, (100, 50)) == square
    assert clip_polygon(tuple((x + 200, y) for x, y in square), (100, 50)) == ()


def test_a_region_half_outside_keeps_its_inner_half():
    clipped = clip_region(Region("head", (-50.0, 400.0, 100.0, 100.0)), (WIDTH, HEIGHT))
    assert clipped is not None
    assert clipped.bbox_xywh_px == (0.0, 400.0, 50.0, 71.0)


def test_a_region_outside_is_nothing():
    outline = (((400.0, 10.0), (450.0, 10.0), (420.0, 60.0)),)
    assert clip_region(Region("head", (400.0, 10.0, 50.0, 50.0), outline), (WIDTH, HEIGHT)) is None
    assert clip_region(Region("head", (313.0, 10.0, 50.0, 50.0)), (WIDTH, HEIGHT)) is None


def test_the_box_of_a_region_is_the_bounds_of_its_outline():
    outline = (((10.0, 20.0), (60.0, 25.0), (30.0, 90.0)), ((100.0, 40.0), (110.0, 40.0)))
    clipped = clip_region(Region("head", (0.0, 0.0, 300.0, 300.0), outline), (WIDTH, HEIGHT))
    assert clipped is not None
    assert clipped.bbox_xywh_px == (10.0, 20.0, 50.0, 70.0)
    assert len(clipped.polygons_xy_px) == 1
