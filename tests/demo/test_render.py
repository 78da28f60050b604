"""Pictures of heads and the exact way between them."""

import cv2
import numpy as np
import pytest

from resight.demo.render import correspondences, make_view, render_head
from resight.demo.scene import Look
from resight.demo.shape import surface_point
from resight.demo.skin import skin_texture
from resight.status import Viewpoint

SIZE = (471, 313)


def view(animal: int = 3, viewpoint: Viewpoint = Viewpoint.LEFT, **pose):
    return make_view(animal, viewpoint, **({"head_px": 200.0, "size_wh_px": SIZE} | pose))


def colours_at(rgb: np.ndarray, xy_px: np.ndarray) -> np.ndarray:
    smooth = cv2.GaussianBlur(rgb, (0, 0), 1.0).astype(np.float32)
    points = xy_px.astype(np.float32)
    return cv2.remap(smooth, points[None, :, 0], points[None, :, 1], cv2.INTER_LINEAR)[0].mean(axis=1)


def test_pixel_to_skin_and_back():
    camera = view(yaw_deg=20, roll_deg=10, tilt_deg=-15)
    xy = np.stack(np.meshgrid(np.arange(0, 471, 9.0), np.arange(0, 313, 9.0)), -1).reshape(-1, 2)
    xyz, hit = camera.surface_at(xy)
    assert hit.sum() > 300
    np.testing.assert_allclose(camera.project(xyz[hit])[0], xy[hit], atol=0.02)
    assert camera.visible(xyz[hit & (xyz[:, 0] > 0)]).mean() > 0.97


def test_far_side_is_hidden_and_sides_face_the_right_way():
    left = surface_point(view().shape, np.array([0.4]), np.array([-np.pi / 2]))
    right = surface_point(view().shape, np.array([0.4]), np.array([np.pi / 2]))
    assert view(viewpoint=Viewpoint.LEFT).visible(left)[0] and not view(viewpoint=Viewpoint.LEFT).visible(right)[0]
    assert view(viewpoint=Viewpoint.RIGHT).visible(right)[0] and not view(viewpoint=Viewpoint.RIGHT).visible(left)[0]
    snout, neck = np.array([[0.99, -0.05, 0.0]]), np.array([[0.0, 0.0, 0.0]])
    camera = view(viewpoint=Viewpoint.LEFT)
    assert camera.project(snout)[0][0, 0] < camera.project(neck)[0][0, 0]


def test_same_view_corresponds_with_itself():
    xy_a, xy_b = correspondences(view(), view(), step_px=15)
    assert len(xy_a) > 50
    np.testing.assert_allclose(xy_a, xy_b, atol=0.02)


def test_opposite_sides_share_little():
    there = len(correspondences(view(), view(yaw_deg=10), step_px=10)[0])
    across = len(correspondences(view(), view(viewpoint=Viewpoint.RIGHT), step_px=10)[0])
    assert across < 0.1 * there


def test_corresponding_pixels_show_the_same_skin_and_another_animal_does_not():
    one, two = view(), view(yaw_deg=18, tilt_deg=25, head_px=170.0)
    xy_a, xy_b = correspondences(one, two, step_px=4)
    a = colours_at(render_head(3, one).rgb, xy_a)
    same = np.corrcoef(a, colours_at(render_head(3, two).rgb, xy_b))[0, 1]
    shifted = np.corrcoef(a, colours_at(render_head(3, two).rgb, xy_b + np.array([9, 5])))[0, 1]
    other = np.corrcoef(a, colours_at(render_head(4, two).rgb, xy_b))[0, 1]
    assert same > 0.9
    assert max(shifted, other) < same - 0.25


def test_mask_is_the_head_and_lies_within_the_animal():
    render = render_head(3, view(), Look(1, 2, 3))
    assert render.rgb.shape == (313, 471, 3) and render.mask.shape == (313, 471)
    assert not np.any(render.mask & ~render.body_mask)
    _, _, width, height = cv2.boundingRect(render.mask.astype(np.uint8))
    assert width == pytest.approx(200, rel=0.1) and height == pytest.approx(0.65 * 200, rel=0.15)


def test_skin_is_for_life_and_its_sides_differ():
    skin_texture.cache_clear()
    first = skin_texture(11)
    skin_texture.cache_clear()
    np.testing.assert_array_equal(first, skin_texture(11))
    # crown in the middle row: left side above, right side below; compared on temple and cheek only
    left, right = first[330:480, 750:1050], first[::-1][330:480, 750:1050]
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] < 0.6
    assert not np.array_equal(first, skin_texture(12))


def test_look_changes_the_picture_and_repeats_exactly():
    pictures = [render_head(3, view(), Look(1, 2, shot)).rgb for shot in (3, 3, 4)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize("viewpoint", [Viewpoint.TOP, Viewpoint.FRONT])
def test_other_viewpoints_show_a_head(viewpoint):
    assert render_head(3, view(viewpoint=viewpoint)).mask.mean() > 0.05


def test_head_outside_the_picture_gives_an_empty_mask():
    assert not render_head(3, view(centre_xy_px=(5000.0, 5000.0))).mask.any()
