"""Photo to crop and back is nowhere lossy, whatever the turn and the scale."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from resight.segment.base import Region
from resight.segment.geometry import CropFrame, box_polygon, crop_to_photo, frame_for, photo_to_crop, transform

angles_rad = st.floats(-math.pi, math.pi)
points_px = st.lists(st.tuples(st.floats(-2000, 8000), st.floats(-2000, 8000)), min_size=1, max_size=8).map(np.array)


@st.composite
def crop_rows(draw: st.DrawFn) -> dict[str, float]:
    """What a row of the table ``crops`` says about where its crop lies."""
    return {
        "bbox_x_px": draw(st.floats(-100, 6000)),
        "bbox_y_px": draw(st.floats(-100, 6000)),
        "bbox_width_px": draw(st.floats(1, 4000)),
        "bbox_height_px": draw(st.floats(1, 4000)),
        "upright_rotation_rad": draw(angles_rad),
        "crop_scale": draw(st.floats(0.02, 8)),
        "crop_width_px": draw(st.integers(1, 2000)),
        "crop_height_px": draw(st.integers(1, 2000)),
    }


@given(crop_rows(), points_px)
def test_there_and_back(row: dict[str, float], xy_px: np.ndarray) -> None:
    np.testing.assert_allclose(crop_to_photo(photo_to_crop(xy_px, row), row), xy_px, atol=1e-6)
    np.testing.assert_allclose(photo_to_crop(crop_to_photo(xy_px, row), row), xy_px, atol=1e-6)


@given(crop_rows(), points_px)
def test_lengths_grow_by_the_scale_and_the_centre_stays_the_centre(row: dict[str, float], xy_px: np.ndarray) -> None:
    frame = CropFrame.of_row(row)
    in_crop = photo_to_crop(xy_px, row)
    lengths = np.linalg.norm(in_crop - in_crop[0], axis=1)
    np.testing.assert_allclose(lengths, frame.scale * np.linalg.norm(xy_px - xy_px[0], axis=1), atol=1e-6)
    centre = transform(frame.matrix(), np.array(frame.center_xy) - 0.5)
    np.testing.assert_allclose(centre[0], np.array(frame.size_wh_px) / 2 - 0.5, atol=1e-6)


@given(crop_rows(), points_px, st.integers(1, 4))
def test_a_finer_crop_shows_the_same_place(row: dict[str, float], xy_px: np.ndarray, factor: int) -> None:
    frame = CropFrame.of_row(row)
    coarse, fine = transform(frame.matrix(), xy_px), transform(frame.finer(factor).matrix(), xy_px)
    np.testing.assert_allclose(fine, factor * (coarse + 0.5) - 0.5, atol=1e-5)


@given(
    st.integers(20, 4000), st.integers(20, 4000), angles_rad, st.floats(0, 0.5), st.sampled_from([64, 320, 640]), st.data()
)  # fmt: skip
def test_the_whole_region_is_in_its_crop(
    width: int, height: int, angle_rad: float, pad: float, side_px: int, data: st.DataObject
) -> None:
    x, y = data.draw(st.floats(0, width - 10)), data.draw(st.floats(0, height - 10))
    box = (x, y, data.draw(st.floats(5, width - x)), data.draw(st.floats(5, height - y)))
    region = Region("head", box, upright_rotation_rad=angle_rad)
    frame = frame_for(region, (width, height), pad, side_px, max_enlarge=2.0)
    assert 1 <= max(frame.size_wh_px) <= side_px and frame.scale <= 2
    corners = transform(frame.matrix(), np.array(box_polygon(box)) - 0.5) + 0.5
    assert (corners >= -1).all() and (corners <= np.array(frame.size_wh_px) + 1).all(), "to the rounding of the size"
