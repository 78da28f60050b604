"""Large photos are looked at by way of smaller copies, all others as they are."""

import numpy as np
import pytest

from resight.segment.kinds.annotations import AnnotationsParams
from resight.segment.kinds.auto import AutoParams
from resight.segment.kinds.head_finder import HeadFinderParams
from resight.segment.kinds.sam import SamParams
from resight.segment.learned import copies
from resight.segment.learned.copies import Copies
from resight.segment.rows import input_digest


def steps(width: int, height: int) -> np.ndarray:
    """Rises by 1 from row to row and from column to column, up to 250."""
    y, x = np.mgrid[:height, :width]
    return np.repeat(((x + y) % 251)[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize(("scale", "n_px"), [(1.0, 1), (0.51, 1), (0.25, 2), (0.13, 2), (0.125, 4), (0.03, 16)])
def test_a_copy_is_twice_as_large_as_what_is_made_from_it(scale: float, n_px: int) -> None:
    photo = np.zeros((2000, 3001, 3), np.uint8)
    copy, factor = Copies(photo).for_scale(scale)
    assert factor == n_px and copy.shape == (2000 // n_px, 3001 // n_px, 3)
    assert factor == 1 or SMALLEST <= copy.shape[1] / (3001 * scale) < 2 * SMALLEST + 1


SMALLEST = 1.99  # a column is left out


def test_a_pixel_of_a_copy_is_the_mean_of_those_that_it_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "LARGE_PX", 100)
    rgb = steps(121, 83)
    copy, n_px = Copies(rgb).for_scale(0.125)
    assert n_px == 4 and copy.shape == (20, 30, 3)
    means = rgb[:80, :120].reshape(20, 4, 30, 4, 3).mean(axis=(1, 3))
    whole = rgb[:80, :120].reshape(20, 4, 30, 4, 3).max(axis=(1, 3)) < 250  # where the steps do not begin again
    assert np.abs(copy - means)[whole].max() <= 1


def test_photos_that_are_not_large_are_looked_at_as_they_are() -> None:
    rgb = steps(2999, 20)
    copy, n_px = Copies(rgb).for_scale(0.01)
    assert copy is rgb and n_px == 1


def test_only_large_photos_that_the_network_looks_at_are_segmented_again() -> None:
    def digest(params, width: int) -> str:
        return input_digest(params.reads, [], "unknown", params.ways(width, 2000))

    for params in (HeadFinderParams(), AutoParams(), SamParams()):
        assert digest(params, 2999) == input_digest(params.reads, [], "unknown") != digest(params, 3000)
    for params in (AnnotationsParams(), AutoParams(otherwise="whole"), SamParams(boxes="annotations")):
        assert digest(params, 6000) == input_digest(params.reads, [], "unknown")
