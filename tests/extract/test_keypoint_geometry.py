"""Pixel centres, scales and angles: what the numbers mean, checked on pictures whose answer is known."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resight.extract.base import Extractor, Features
from resight.extract.kinds.aliked import AlikedParams
from resight.extract.kinds.xfeat import XFeatParams
from resight.extract.select import keep, wrap
from resight.weights.store import WeightStore

Build = Callable[[str], Extractor]
HEIGHT, WIDTH = 313, 471
SIFT_LIKE = ["sift", "sift-kornia", "dog-hardnet"]
# Nowhere symmetric to the pixel grid: equal neighbours would be no strict maximum.
SPOTS = [(60.1, 70.3), (203.4, 91.2), (333.2, 222.75), (400.3, 57.6), (129.15, 250.9)]


def spots(points: list[tuple[float, float]], sigma: float) -> np.ndarray:
    """Bright Gaussian spots."""
    return grey_picture(sum(110 * spot(point, sigma) for point in points) + 60)


def slope_with_spots() -> np.ndarray:
    """Brighter downwards, with faint spots along row 150. A slope alone has no DoG response; it only turns the spots."""
    y, _ = np.mgrid[:HEIGHT, :WIDTH]
    return grey_picture(127 + 1.4 * (y - 150) + sum(18 * spot((x + 0.3, 150.2), 4.0) for x in range(40, WIDTH, 45)))


def spot(point: tuple[float, float], sigma: float) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * sigma**2))


def grey_picture(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


def nearest(features: Features, point: tuple[float, float]) -> int:
    return int(np.square(features.xy_px - point).sum(axis=1).argmin())


@pytest.mark.parametrize("case", SIFT_LIKE)
@pytest.mark.parametrize("sigma", [2.5, 4.0, 9.0])
def test_a_spot_is_found_where_it_is_and_as_large_as_it_is(case: str, sigma: float, build: Build) -> None:
    features = build(case).extract(spots(SPOTS, sigma), None)
    for point in SPOTS:
        i = nearest(features, point)
        np.testing.assert_allclose(features.xy_px[i], point, atol=0.12)
        # A DoG of ratio 2^(1/3) answers a spot of sigma s most at 0.89 s.
        assert features.scale_px[i] == pytest.approx(0.89 * sigma, rel=0.06)


def in_the_row(features: Features) -> np.ndarray:
    return np.abs(features.xy_px[:, 1] - 150) < 3


@pytest.mark.parametrize("case", SIFT_LIKE)
def test_brighter_downwards_is_a_quarter_turn_clockwise(case: str, build: Build) -> None:
    features = build(case).extract(slope_with_spots(), None)
    assert in_the_row(features).sum() >= 8
    assert np.median(features.angle_rad[in_the_row(features)]) == pytest.approx(np.pi / 2, abs=0.1)


@pytest.mark.parametrize("case", SIFT_LIKE)
def test_angles_follow_a_turned_picture(case: str, build: Build, picture: np.ndarray) -> None:
    upright = build(case).extract(picture, None)
    turned = build(case).extract(np.ascontiguousarray(np.rot90(picture, -1)), None)
    # Clockwise by 90 degrees: (x, y) goes to (height - 1 - y, x).
    expected = np.stack([picture.shape[0] - 1 - upright.xy_px[:, 1], upright.xy_px[:, 0]], axis=1)
    same_place = np.linalg.norm(expected[:, None] - turned.xy_px[None], axis=2) < 0.3
    turn = wrap(turned.angle_rad[None] - upright.angle_rad[:, None])

    def share(angle: float) -> float:
        return float((same_place & (np.abs(wrap(turn - angle)) < 0.1)).any(axis=1).mean())

    assert same_place.any(axis=1).mean() > 0.8
    assert share(np.pi / 2) > 0.8
    assert share(-np.pi / 2) < 0.3


def test_sift_for_lightglue_is_sigma_and_the_angle_as_colmap_has_it(build: Build) -> None:
    from resight.extract.kinds.sift import lightglue_scale_ori

    scale, _ = lightglue_scale_ori(found := build("sift").extract(spots(SPOTS, 4.0), None))
    assert scale[nearest(found, SPOTS[0])] == pytest.approx(0.89 * 4.0, rel=0.06)  # OpenCV's size would be twice that
    _, angle = lightglue_scale_ori(found := build("sift").extract(slope_with_spots(), None))
    assert np.median(angle[in_the_row(found)]) == pytest.approx(np.pi / 2, abs=0.1)
    assert (angle > -np.pi).all() and (angle <= np.float32(np.pi)).all()


def test_both_sift_backends_give_lightglue_the_same(build: Build, picture: np.ndarray) -> None:
    a, b = (build(case).extract(picture, None) for case in ("sift", "sift-kornia"))
    distance = np.linalg.norm(a.xy_px[:, None] - b.xy_px[None], axis=2)
    distance += 10 * np.abs(np.log(a.scale_px[:, None] / b.scale_px[None]))
    distance += 10 * np.abs(wrap(a.angle_rad[:, None] - b.angle_rad[None]))
    pairs = np.argwhere(distance < 1)
    assert len(pairs) > 100
    likeness = (a.descriptors[pairs[:, 0]].astype(float) * b.descriptors[pairs[:, 1]].astype(float)).sum(axis=1)
    assert np.median(likeness) > 0.97


def test_doghardnet_for_lightglue_is_size_and_the_other_sense() -> None:
    from resight.extract.kinds.hardnet import lightglue_scale_ori

    features = SimpleNamespace(scale_px=np.float32([3.0, 4.0]), angle_rad=np.float32([np.pi / 2, -0.5]))
    scale, angle = lightglue_scale_ori(features)  # type: ignore[arg-type]
    np.testing.assert_allclose(scale, [6.0, 8.0])
    np.testing.assert_allclose(angle, [3 * np.pi / 2, 0.5], rtol=1e-6)


def test_angle_zero_stays_below_a_full_turn() -> None:
    from resight.extract.kinds.hardnet import lightglue_scale_ori

    features = SimpleNamespace(scale_px=np.ones(2, np.float32), angle_rad=np.float32([1e-12, 0.0]))
    assert (lightglue_scale_ori(features)[1] < 2 * np.pi).all()  # type: ignore[arg-type]


def heat_of(picture: torch.Tensor) -> torch.Tensor:
    return picture.mean(dim=1, keepdim=True)


def see_brightness(case: str, extractor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the network by one whose heat is the picture itself, so that the peaks are known."""
    cells = {"xfeat": 64, "superpoint": 256}

    def in_cells(picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # The softmax over a cell and its dustbin gives the brightness back.
        share = F.pixel_unshuffle(heat_of(picture), 8) / 70
        logits = torch.cat([share, 1 - share.sum(dim=1, keepdim=True)], dim=1).log()
        h, w = logits.shape[-2:]
        dense = F.normalize(torch.ones(1, cells[case], h, w), dim=1)
        return (dense, logits, torch.ones(1, 1, h, w)) if case == "xfeat" else (logits, dense)

    if case == "xfeat":
        monkeypatch.setattr(extractor, "_model", in_cells)
    elif case == "superpoint":
        monkeypatch.setattr(extractor, "_network", in_cells)
    elif case == "disk":
        monkeypatch.setattr(
            extractor._model.unet, "forward", lambda x: torch.cat([x.repeat(1, 43, 1, 1)[:, :128], heat_of(x)], 1)
        )
    elif case == "aliked":
        dense = torch.ones(1, 64, 320, 480)
        monkeypatch.setattr(
            extractor._model,
            "extract_dense_map",
            lambda x: (dense[..., : x.shape[-2], : x.shape[-1]].clone(), heat_of(x)),
        )
    elif case == "dedode":
        monkeypatch.setattr(extractor._model.detector, "forward", lambda x: 8 * heat_of(x))
        monkeypatch.setattr(extractor._model.descriptor, "forward", lambda x: x.repeat(1, 86, 1, 1)[:, :256])


@pytest.mark.parametrize("case", ["xfeat", "superpoint", "disk", "aliked", "dedode"])
def test_networks_report_the_pixel_that_is_hot(case: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = build(case)
    see_brightness(case, extractor, monkeypatch)
    features = extractor.extract(spots(SPOTS, 3.0), None)
    for point in SPOTS:
        i = nearest(features, point)
        assert np.abs(features.xy_px[i] - point).max() <= 0.5 + 1e-3


def test_keynet_levels_are_centred(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor: Any = build("keynet-affnet-hardnet")
    kernel = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]).view(1, 1, 3, 3)

    class Curvature(torch.nn.Module):
        """What the network is replaced by: largest at the top of a bright spot, at every level of the pyramid."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.conv2d(x, kernel, padding=1).clamp(min=0)

    monkeypatch.setitem(extractor._detector._modules, "model", Curvature())
    features = extractor.extract(spots(SPOTS, 5.0), None)
    coarse = features.scale_px > 1.9
    offset = np.concatenate([features.xy_px[coarse] - point for point in SPOTS])
    offset = offset[np.abs(offset).max(axis=1) < 4]
    assert len(offset) >= 10
    assert np.abs(offset.mean(axis=0)).max() < 0.5  # kornia alone drifts by 1.3 px to the upper left


def test_xfeat_finds_what_kornia_finds(shared_weights: Any, picture: np.ndarray) -> None:
    from kornia.feature.xfeat import XFeat

    rgb = np.ascontiguousarray(picture[:288, :448])  # multiples of 32: kornia does not resize
    weights = WeightStore(str(shared_weights), allow_download=False)
    ours = XFeatParams(max_keypoints=200).build(weights).extract(rgb, None)
    wrapper = XFeat(top_k=200)
    wrapper.net.load_state_dict(weights.state_dict("xfeat"), strict=False)
    theirs = wrapper.eval().detectAndCompute(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255)[0]
    np.testing.assert_array_equal(ours.xy_px, theirs["keypoints"].numpy())
    np.testing.assert_allclose(ours.score, theirs["scores"].numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours.descriptors, theirs["descriptors"].numpy(), atol=1e-3)


@pytest.mark.parametrize("variant", ["aliked-t16", "aliked-n16rot"])
def test_aliked_finds_what_kornia_finds(variant: Any, shared_weights: Any, picture: np.ndarray) -> None:
    from kornia.feature import ALIKED

    weights = WeightStore(str(shared_weights), allow_download=False)
    rgb = np.ascontiguousarray(picture[:150, :220])
    ours = AlikedParams(max_keypoints=60, variant=variant).build(weights).extract(rgb, None)
    model = ALIKED(variant, max_num_keypoints=60, detection_threshold=0)
    model.load_state_dict(weights.state_dict(variant), strict=False)
    with torch.inference_mode():
        theirs = model.eval()(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255)[0]
    # Both choose among the same maxima; kornia by the height of the peak, here by its height at the refined place.
    distance = np.linalg.norm(ours.xy_px[:, None] - theirs.keypoints.numpy()[None], axis=2)
    same = distance.min(axis=1) < 1e-3
    assert same.mean() > 0.9
    likeness = (ours.descriptors.astype(float) * theirs.descriptors.numpy()[distance.argmin(axis=1)]).sum(axis=1)
    np.testing.assert_allclose(likeness[same], 1, atol=2e-3)


def test_float16_rootsift_gives_the_same_matches(shared_data: Any) -> None:
    import cv2

    from resight.extract.kinds.sift import root_sift

    halves = []
    for name in ("gallery/Leonardo L", "queries/Leonardo L 18"):
        grey = cv2.imread(str(shared_data / f"bonaire/{name}.jpg"), cv2.IMREAD_GRAYSCALE)
        grey = cv2.resize(grey, None, fx=480 / max(grey.shape), fy=480 / max(grey.shape), interpolation=cv2.INTER_AREA)
        halves.append(root_sift(cv2.SIFT.create(800).detectAndCompute(grey, None)[1]))
    exact, stored = (
        ratio_matches(*(h.astype(dtype).astype(np.float64) for h in halves)) for dtype in ("float32", "float16")
    )
    assert len(exact) > 10
    assert exact == stored


def ratio_matches(a: np.ndarray, b: np.ndarray) -> set[tuple[int, int]]:
    distance = np.linalg.norm(a[:, None] - b[None], axis=2)
    order = np.sort(distance, axis=1)
    return {(i, int(distance[i].argmin())) for i in np.flatnonzero(order[:, 0] < 0.85 * order[:, 1])}


def test_ties_are_ordered_by_place() -> None:
    xy = np.array([[3, 2], [1, 2], [2, 1], [1, 2]], float)
    order = keep(xy, np.ones(4), np.array([0, 0.5, 0, -0.5]), None, (9, 9), 9)
    assert order.tolist() == [2, 3, 1, 0]


def test_wrap_is_half_open() -> None:
    np.testing.assert_allclose(
        wrap(np.array([-np.pi, np.pi, 3 * np.pi / 2, 0.0])), [np.pi, np.pi, -np.pi / 2, 0], rtol=1e-6
    )
