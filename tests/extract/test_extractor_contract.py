"""What every extractor promises, on a picture that is not square."""

from collections.abc import Callable

import numpy as np
import pytest

from resight.extract.base import Extractor, Features
from resight.extract.block import one_thread
from resight.extract.params import ExtractorBase
from resight.extract.reader import FeatureReader
from resight.extract.store import Layout, complete, create, write_shard
from resight.plugins import registry
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

Build = Callable[[str], Extractor]
CASES = [*registry.EXTRACTORS, "sift-plain", "sift-kornia"]
SLOW = {"dedode", "disk"}
NOT_UNIT = {"dedode"}


@pytest.fixture(scope="module")
def found(
    build: Build, picture: np.ndarray, small_picture: np.ndarray
) -> Callable[[str], tuple[np.ndarray, np.ndarray, Features]]:
    """Picture, mask and features of a case, computed once. The mask is a slanted half."""
    kept: dict[str, tuple[np.ndarray, np.ndarray, Features]] = {}

    def get(case: str) -> tuple[np.ndarray, np.ndarray, Features]:
        if case not in kept:
            rgb = small_picture if case in SLOW else picture
            height, width = rgb.shape[:2]
            y, x = np.mgrid[:height, :width]
            mask = x / width + 0.3 * y / height > 0.5
            with one_thread():
                kept[case] = rgb, mask, build(case).extract(rgb, mask)
        return kept[case]

    return get


@pytest.mark.parametrize("case", CASES)
def test_shapes_types_and_bounds(case: str, build: Build, found: Callable) -> None:
    rgb, _, features = found(case)
    extractor, n = build(case), len(features)
    height, width = rgb.shape[:2]
    assert isinstance(extractor, Extractor)
    assert 20 <= n <= extractor.max_keypoints
    assert features.size_wh_px == (width, height)
    assert features.descriptors.shape == (n, extractor.descriptor_dim)
    assert features.descriptors.dtype == extractor.descriptor_dtype
    for array, shape in (
        (features.xy_px, (n, 2)),
        (features.scale_px, (n,)),
        (features.angle_rad, (n,)),
        (features.score, (n,)),
    ):
        assert array.shape == shape
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert (features.xy_px >= 0).all()
    assert (features.xy_px <= [width - 1, height - 1]).all()
    assert (features.scale_px >= 0).all()
    assert (features.angle_rad > -np.pi - 1e-6).all() and (features.angle_rad <= np.pi + 1e-6).all()
    # Some lie beyond the height: x and y are not swapped.
    assert features.xy_px[:, 0].max() > height


@pytest.mark.parametrize("case", CASES)
def test_settings_extractor_and_features_agree_on_the_descriptors(
    case: str, random_params: dict, build: Build, found: Callable
) -> None:
    params, extractor, features = random_params[case], build(case), found(case)[2]
    assert isinstance(params, ExtractorBase)
    assert params.family == extractor.family != ""
    assert params.max_keypoints == extractor.max_keypoints
    assert params.binary == features.binary == (extractor.descriptor_dtype == "uint8")


@pytest.mark.parametrize("case", CASES)
def test_only_inside_the_mask_and_strongest_first(case: str, found: Callable) -> None:
    _, mask, features = found(case)
    column, row = np.floor(features.xy_px + 0.5).astype(int).T
    assert mask[row, column].all()
    assert (np.diff(features.score) <= 0).all()


@pytest.mark.parametrize("case", [c for c in CASES if c not in NOT_UNIT])
def test_descriptors_have_unit_length(case: str, found: Callable) -> None:
    features = found(case)[2]
    if features.binary:
        pytest.skip("bits have no length")
    np.testing.assert_allclose(np.linalg.norm(features.descriptors.astype(np.float64), axis=1), 1, atol=2e-3)


@pytest.mark.parametrize("case", CASES)
def test_cached_equals_fresh(case: str, build: Build, found: Callable, workspace: Workspace) -> None:
    rgb, mask, features = found(case)
    extractor = build(case)
    folder = workspace.root / "store" / "batch.zarr"
    folder.parent.mkdir()
    create(
        folder, Layout(1, 1, extractor.max_keypoints, extractor.descriptor_dim, extractor.descriptor_dtype), ["c"], {}
    )
    write_shard(folder, 0, [features])
    complete(folder, {})
    with one_thread():
        fresh = extractor.extract(rgb, mask) if case not in SLOW else features
    cached = FeatureReader(workspace).load("store/batch.zarr", 0)
    assert cached.size_wh_px == fresh.size_wh_px
    for name in ("xy_px", "descriptors", "scale_px", "angle_rad", "score"):
        np.testing.assert_array_equal(getattr(cached, name), getattr(fresh, name), err_msg=name)
        assert getattr(cached, name).dtype == getattr(fresh, name).dtype


@pytest.mark.parametrize("case", CASES)
def test_nothing_to_see_gives_nothing(case: str, build: Build) -> None:
    extractor = build(case)
    height, width = 40, 70
    pattern = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    empty_mask = extractor.extract(pattern, np.zeros((height, width), bool))
    one_colour = extractor.extract(np.full((height, width, 3), 7, np.uint8), None)
    for features in (empty_mask, one_colour):
        assert len(features) == 0
        assert features.xy_px.shape == (0, 2)
        assert features.descriptors.shape == (0, extractor.descriptor_dim)
        assert features.descriptors.dtype == extractor.descriptor_dtype
        assert features.size_wh_px == (width, height)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [(5, 9), (33, 17)])
def test_crops_smaller_than_a_stride_do_not_break_it(case: str, size: tuple[int, int], build: Build) -> None:
    height, width = size
    pattern = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    features = build(case).extract(pattern, np.ones((height, width), bool))
    assert features.size_wh_px == (width, height)
    assert (features.xy_px <= [width - 1, height - 1]).all()


@pytest.mark.parametrize("case", ["sift", "sift-kornia", "xfeat", "aliked", "dog-hardnet"])
def test_budget_keeps_the_strongest_inside_the_mask(
    case: str, random_params: dict, build: Build, found: Callable
) -> None:
    rgb, mask, many = found(case)
    few = (
        random_params[case]
        .model_copy(update={"max_keypoints": 25})
        .build(WeightStore(allow_download=False))
        .extract(rgb, mask)
    )
    assert len(few) == 25
    np.testing.assert_allclose(few.score, many.score[:25], rtol=1e-6)
    np.testing.assert_allclose(few.xy_px, many.xy_px[:25], atol=1e-3)
