"""A small bank of views of painted pictures."""

import cv2
import numpy as np
import pytest

from resight.train.matcher.bank import fill, read_bank
from resight.train.matcher.views import View2D, extractor, positions
from resight.train.matcher.warp import apply, draw_warp, place_keypoints


def painted(seed: int, size_wh=(313, 241)) -> np.ndarray:
    """Blobs of all sizes, unlike those of any other seed."""
    rng = np.random.default_rng(seed)
    picture = np.full((size_wh[1], size_wh[0], 3), 120, np.uint8)
    for _ in range(160):
        centre = (int(rng.integers(size_wh[0])), int(rng.integers(size_wh[1])))
        axes = tuple(int(n) for n in rng.integers(3, 22, 2))
        cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, rng.integers(0, 256, 3).tolist(), -1)
    return cv2.GaussianBlur(picture, (0, 0), 1.0)


def view_of(seed: int, number: int, animal: str = "", side: str = "left", most: int = 96) -> View2D:
    rgb = painted(seed)
    warp = draw_warp(np.random.default_rng([seed, number]), (rgb.shape[1], rgb.shape[0]), plain=number == 0)
    shown, mask = apply(warp, rgb, np.ones(rgb.shape[:2], bool))
    found = extractor(most).extract(shown, mask)
    placed = place_keypoints(warp, found.xy_px, found.scale_px, found.angle_rad, np.zeros(len(found), bool))
    return View2D(found.descriptors, positions(found), placed, f"s{seed}", animal, f"{animal} day", side, "head")


@pytest.fixture(scope="session")
def bank(tmp_path_factory):
    """Six pictures of three animals, three views each."""
    folder = tmp_path_factory.mktemp("bank")
    views = [view_of(seed, number, f"animal {seed % 3}") for seed in range(6) for number in range(3)]
    fill(folder, [("heads", len(views), views)], 96)
    return read_bank(folder)


@pytest.fixture(scope="session")
def paint():
    return painted


@pytest.fixture(scope="session")
def make_view():
    return view_of
