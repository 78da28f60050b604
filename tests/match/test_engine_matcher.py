"""The engine in the pipeline: kornia's scores, whatever else is in the tile."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from kornia.feature import LightGlue

from resight.extract.base import Features
from resight.match.base import TileMatcher
from resight.match.engine_matcher import EngineMatcher
from resight.match.kinds.lightglue import LightGlueParams
from resight.match.lightglue import build_lightglue
from resight.match.params import VerifyParams
from resight.match.summary import SUMMARY_SCHEMA, summarise
from resight.weights.store import WeightStore

BINS = 64


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Random weights large enough that confidences are not all near 0."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = LightGlue(
        None, input_dim=16, descriptor_dim=32, n_layers=3, num_heads=2, depth_confidence=-1, width_confidence=-1
    )
    state = {k: v.clone() * (8.0 if k.endswith("final_proj.weight") else 1.0) for k, v in model.state_dict().items()}
    save_file(state, tmp_path / "xfeat_small.safetensors")
    return tmp_path / "xfeat_small.safetensors"


def features(n: int, seed: int) -> Features:
    rng = np.random.default_rng(seed)
    xy = rng.uniform([0, 0], [313, 471], (n, 2)).astype(np.float32)
    d = rng.normal(size=(n, 16)).astype(np.float32)
    zeros = np.zeros(n, np.float32)
    return Features(xy, d / np.linalg.norm(d, axis=1, keepdims=True), zeros, zeros, zeros, (313, 471))


def matcher(path: Path, **more: object) -> EngineMatcher:
    params = LightGlueParams(weights=str(path), **more)  # type: ignore[arg-type]
    return build_lightglue(params, WeightStore(allow_download=False), "xfeat", "cpu")  # type: ignore[return-value]


def test_the_engine_gives_kornias_matches(checkpoint: Path) -> None:
    ours, theirs = matcher(checkpoint), matcher(checkpoint, backend="kornia")
    assert isinstance(ours, EngineMatcher) and not isinstance(theirs, EngineMatcher)
    for n_a, n_b in ((70, 90), (1, 40), (33, 1), (0, 5)):
        one, other = ours.match(features(n_a, 1), features(n_b, 2)), theirs.match(features(n_a, 1), features(n_b, 2))
        np.testing.assert_array_equal(one.index_a, other.index_a)
        np.testing.assert_array_equal(one.index_b, other.index_b)
        np.testing.assert_allclose(one.confidence, other.confidence, rtol=1e-3, atol=1e-7)
        assert one.confidence.sum() == pytest.approx(other.confidence.sum(), rel=1e-4)
    assert ours.match(features(70, 1), features(90, 2)).confidence.max() > 0.01, "scores near 0 could not differ"


def test_a_tile_holds_what_pair_by_pair_gives(checkpoint: Path) -> None:
    crops = [(str(n), features(n, n)) for n in (0, 1, 40, 64, 65, 90)]
    pairs = np.array([(i, j) for i in range(6) for j in range(i + 1, 6)])
    one = matcher(checkpoint)
    assert isinstance(one, TileMatcher) and one.tiles
    tile = one.match_tile(crops, pairs[:, 0], pairs[:, 1], BINS)
    for got, (i, j) in zip(tile.to_pylist(), pairs, strict=True):
        want = summarise(one.match(crops[i][1], crops[j][1]), BINS)
        assert {k: v for k, v in got.items() if not isinstance(v, float)} == {
            k: v for k, v in want.items() if not isinstance(v, float)
        }
        assert {k: v for k, v in got.items() if isinstance(v, float)} == pytest.approx(
            {k: v for k, v in want.items() if isinstance(v, float)}, rel=1e-9
        )


def test_a_pair_is_bitwise_the_same_in_any_tile_and_from_the_cache(checkpoint: Path) -> None:
    crops = [(str(n), features(n, n)) for n in (300, 290, 310, 280)]
    one = matcher(checkpoint)
    alone = one.match_tile(crops[:2], np.array([0]), np.array([1]), BINS)
    together = one.match_tile(crops, np.array([2, 0, 1, 0]), np.array([3, 1, 3, 2]), BINS)
    assert together.slice(1, 1).equals(alone)
    assert matcher(checkpoint).match_tile(crops[:2], np.array([0]), np.array([1]), BINS).equals(alone)


def test_the_cache_of_encoded_crops_is_bounded(checkpoint: Path) -> None:
    one = matcher(checkpoint)
    one._limit_bytes = 200_000
    crops = [(str(n), features(80, n)) for n in range(30)]
    tile = one.match_tile(crops, np.zeros(29, np.int64), np.arange(1, 30), BINS)
    assert tile.num_rows == 29
    assert one._held_bytes <= 200_000 + one.encode(crops[0][1]).nbytes
    assert one._held_bytes == sum(e.nbytes for e in one._encoded.values())


@pytest.mark.parametrize("model", ["affine", "affine-graded", "homography"])
def test_geometry_in_a_tile_is_that_of_pair_by_pair(checkpoint: Path, model: str) -> None:
    """Two views of one head that moved by some pixels, another head, and one without keypoints."""
    head = features(80, 1)
    moved = replace(head, xy_px=(head.xy_px * 0.8 + 9).astype(np.float32))
    crops = [("a", head), ("b", moved), ("c", features(70, 2)), ("d", features(0, 3))]
    pairs = np.array([(i, j) for i in range(4) for j in range(i + 1, 4)])
    one = matcher(checkpoint, verify=VerifyParams(model=model, threshold_px=3.0))
    assert one.tiles
    rows = one.match_tile(crops, pairs[:, 0], pairs[:, 1], BINS)
    found = rows["n_inliers"].to_pylist()
    each = [one.match(crops[i][1], crops[j][1]) for i, j in pairs]
    assert found == [match.n_inliers for match in each] and all(match.verified for match in each)
    graded = rows["agreement"].to_pylist()
    assert graded == [match.agreement for match in each], "to the last bit"
    assert graded[0] > 2 * max(graded[1:]) if model == "affine-graded" else graded == [None] * len(pairs)
    assert found[0] > 20 > max(found[1:])
    without = matcher(checkpoint).match_tile(crops, pairs[:, 0], pairs[:, 1], BINS)
    assert without["n_inliers"].null_count == without["agreement"].null_count == len(pairs), "not tried is not none"


def test_early_exit_goes_pair_by_pair(checkpoint: Path) -> None:
    assert not matcher(checkpoint, width_confidence=0.9).tiles


def test_early_exit_equals_kornia(checkpoint: Path) -> None:
    thresholds = {"depth_confidence": 0.2, "width_confidence": 0.6}
    ours, theirs = matcher(checkpoint, **thresholds), matcher(checkpoint, backend="kornia", **thresholds)
    one, other = ours.match(features(70, 1), features(90, 2)), theirs.match(features(70, 1), features(90, 2))
    np.testing.assert_array_equal(one.index_a, other.index_a)
    np.testing.assert_allclose(one.confidence, other.confidence, rtol=1e-3, atol=1e-7)


def test_the_tile_has_the_columns_of_the_table(checkpoint: Path) -> None:
    tile = matcher(checkpoint).match_tile(
        [("a", features(9, 1)), ("b", features(8, 2))], np.array([0]), np.array([1]), BINS
    )
    assert tile.schema.equals(pa.schema([pa.field(f.name, f.type) for f in SUMMARY_SCHEMA]))
