"""Padding, size, mask and identity of crops."""

import math

import cv2
import numpy as np
import pytest

from resight.errors import WorkspaceError
from resight.segment.base import Region
from resight.segment.cropper import crop_id, cut, tidy
from resight.segment.geometry import CropFrame, transform
from resight.segment.masks import fill_polygons, grow, inside_photo, polygons_of
from resight.segment.params import CropParams
from resight.segment.store import has_crop, read_crop, what_is_wrong, write_crop

WIDTH, HEIGHT = 313, 471
RGB = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def crop_of(region, rgb=RGB, **params):
    return cut(rgb, tidy(region, (rgb.shape[1], rgb.shape[0])), CropParams(**params))


def test_a_crop_at_full_size_holds_the_photos_own_pixels():
    crop = crop_of(
        Region("head", (100.0, 200.0, 80.0, 60.0)), pad_fraction=0.25, head_side_px=120, mask_grow_fraction=0
    )
    assert np.array_equal(crop.rgb, RGB[180:280, 80:200])
    expected = np.zeros((100, 120), bool)
    expected[20:80, 20:100] = True
    assert (crop.mask != expected).mean() < 0.035  # the line itself counts as inside


def test_beyond_the_frame_the_edge_is_repeated_and_masked_out():
    crop = crop_of(
        Region("head", (0.0, 200.0, 80.0, 80.0)), pad_fraction=0.25, head_side_px=120, mask_grow_fraction=0.5
    )
    assert crop.rgb.shape == (120, 120, 3)
    assert not crop.mask[:, :20].any()
    assert crop.mask[60, 20:].all()
    assert np.array_equal(crop.rgb[:, :20], np.repeat(RGB[180:300, :1], 20, axis=1))


def test_a_small_region_is_enlarged_by_no_more_than_the_limit():
    crop = crop_of(Region("head", (100.0, 100.0, 20.0, 30.0)), pad_fraction=0, max_enlarge=2.0)
    assert crop.rgb.shape == (60, 40, 3)
    assert crop.frame.scale == 2.0


def test_a_large_region_is_brought_to_the_set_side():
    crop = crop_of(Region("head", (10.0, 10.0, 200.0, 400.0)), pad_fraction=0, head_side_px=100)
    assert crop.rgb.shape == (100, 50, 3)


def test_shrinking_averages_instead_of_skipping_pixels():
    checker = np.indices((HEIGHT, WIDTH)).sum(axis=0) % 2 * 255
    crop = crop_of(
        Region("whole", (0.0, 0.0, WIDTH, HEIGHT)),
        np.repeat(checker[..., None], 3, axis=2).astype(np.uint8),
        whole_side_px=150,
    )
    inner = crop.rgb[3:-3, 3:-3].astype(int)
    assert abs(inner.mean() - 127.5) < 3
    assert inner.std() < 20


def test_a_whole_photo_is_neither_padded_nor_enlarged():
    crop = crop_of(Region("whole", (0.0, 0.0, WIDTH, HEIGHT)))
    assert np.array_equal(crop.rgb, RGB)
    assert crop.mask.all()


def test_a_turned_region_is_wholly_inside_its_crop():
    outline = (((100.0, 100.0), (220.0, 160.0), (180.0, 260.0), (60.0, 200.0)),)
    region = Region("head", (0.0, 0.0, 0.0, 0.0), outline, upright_rotation_rad=2.0)
    crop = crop_of(region, mask_grow_fraction=0, pad_fraction=0.05)
    edge = np.concatenate([crop.mask[0], crop.mask[-1], crop.mask[:, 0], crop.mask[:, -1]])
    area = cv2.contourArea(np.array(outline[0], np.float32)) * crop.frame.scale**2
    assert not edge.any()
    assert abs(crop.mask.sum() / area - 1) < 0.02


def test_a_mask_wins_over_polygons_and_brings_its_box():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[300:340, 50:110] = True
    region = tidy(
        Region("head", (0.0, 0.0, 9.0, 9.0), (((0.0, 0.0), (9.0, 0.0), (9.0, 9.0)),), mask=mask), (WIDTH, HEIGHT)
    )
    assert region.bbox_xywh_px == (50.0, 300.0, 60.0, 40.0)
    crop = cut(RGB, region, CropParams(pad_fraction=0.25, head_side_px=90, mask_grow_fraction=0))
    expected = np.zeros((70, 90), bool)
    expected[15:55, 15:75] = True
    assert np.array_equal(crop.mask, expected)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\(313, 471\).*\(471, 313\)"):
        tidy(Region("head", (0.0, 0.0, 9.0, 9.0), mask=np.ones((WIDTH, HEIGHT), bool)), (WIDTH, HEIGHT))


def test_growing_reaches_as_far_as_said_in_all_directions():
    mask = np.zeros((41, 61), bool)
    mask[20, 30] = True
    y, x = np.indices(mask.shape)
    assert np.array_equal(grow(mask, 5), np.hypot(y - 20, x - 30) <= 5)
    assert not grow(np.zeros((5, 7), bool), 3).any()


def test_overlapping_polygons_are_joined_not_cancelled():
    square = np.array([[10.0, 10.0], [30.0, 10.0], [30.0, 30.0], [10.0, 30.0]])
    assert fill_polygons([square, square + 5], (50, 60))[20, 20]


def test_polygons_of_a_mask_fill_to_the_mask():
    mask = cv2.circle(np.zeros((90, 70), np.uint8), (30, 40), 22, 1, -1).astype(bool)
    (polygon,) = polygons_of(mask, tolerance_px=0.5)
    again = fill_polygons([np.array(polygon) - 0.5], (70, 90))
    assert (again ^ mask).sum() < 0.06 * mask.sum()


def test_the_identity_follows_photo_settings_and_geometry():
    region = Region("head", (10.0, 20.0, 30.0, 40.0))
    mask = np.zeros((HEIGHT, WIDTH), bool)
    ids = {
        crop_id("p", "f", region),
        crop_id("q", "f", region),
        crop_id("p", "g", region),
        crop_id("p", "f", Region("head", (10.01, 20.0, 30.0, 40.0))),
        crop_id("p", "f", Region("head", (10.0, 20.0, 30.0, 40.0), upright_rotation_rad=0.1)),
        crop_id("p", "f", Region("head", (10.0, 20.0, 30.0, 40.0), mask=mask)),
        crop_id("p", "f", Region("head", (10.0, 20.0, 30.0, 40.0), mask=~mask)),
    }
    assert len(ids) == 7
    assert all(len(one) == 20 and set(one) <= set("0123456789abcdef") for one in ids)


@pytest.mark.parametrize("center_xy", [(150.0, 100.0), (2.0, 100.0), (299.0, 1.0), (400.0, 300.0)])
@pytest.mark.parametrize("turn_rad", [0.0, math.pi / 2, 0.7])
def test_a_crop_pixel_is_inside_where_its_centre_lies_in_the_photo(center_xy, turn_rad):
    frame = CropFrame(center_xy, turn_rad, 0.8, (40, 25))
    x, y = np.meshgrid(np.arange(40), np.arange(25))
    in_photo = transform(frame.inverse(), np.stack([x.ravel(), y.ravel()], 1))
    expected = ((in_photo >= -0.5) & (in_photo <= np.array([300, 200]) - 0.5)).all(axis=1).reshape(25, 40)
    assert np.array_equal(inside_photo(frame, (300, 200)), expected)


def test_a_stored_crop_reads_back_bit_by_bit_with_its_colours_outside_the_mask(workspace):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[100:200, 50:70] = True
    write_crop(workspace.root / "a" / "b.png", RGB, mask)
    rgb, read = read_crop(workspace, "a/b.png")
    assert np.array_equal(rgb, RGB) and rgb.dtype == np.uint8
    assert np.array_equal(read, mask) and read.dtype == bool


def test_a_crop_of_an_earlier_version_reads_as_one_of_now(workspace):
    """Earlier versions searched for repetitions; what they wrote stays."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[100:200, 50:70] = True
    write_crop(workspace.root / "now.png", RGB, mask)
    before = np.dstack([RGB[..., ::-1], np.where(mask, 255, 0).astype(np.uint8)])
    cv2.imwrite(str(workspace.root / "before.png"), before, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    now, earlier = (read_crop(workspace, f"{name}.png") for name in ("now", "before"))
    assert all(np.array_equal(a, b) for a, b in zip(now, earlier, strict=True))


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_missing_or_damaged_crop_says_which(workspace, content):
    if content is not None:
        (workspace.root / "x.png").write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"x\.png"):
        read_crop(workspace, "x.png")


def test_no_bit_of_a_crop_can_turn_without_notice(workspace):
    path = workspace.root / "store" / "x.png"
    write_crop(path, RGB[:20, :30], np.ones((20, 30), bool))
    whole = path.read_bytes()
    assert what_is_wrong(whole) == ""
    for at in range(len(whole)):
        turned = bytearray(whole)
        turned[at] ^= 1 << at % 8
        assert what_is_wrong(bytes(turned)), at
        assert what_is_wrong(whole[:at]), at


def test_a_damaged_crop_is_set_aside(workspace):
    path = workspace.root / "store" / "x.png"
    write_crop(path, RGB, np.ones(RGB.shape[:2], bool))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(WorkspaceError, match="cut short"):
        read_crop(workspace, "store/x.png")
    assert not path.exists() and not has_crop(workspace, "store/x.png")
    assert len(list((workspace.store / "quarantine").glob("*-x.png"))) == 1
