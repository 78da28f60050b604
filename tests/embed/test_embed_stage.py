"""The stage: every crop gets a vector or a reason, once; damage is computed again; and how vectors are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from resight.embed.block import AT_ONCE, EmbedBlock, loaded, picture_of, vectors_of
from resight.embed.network import EmbeddingNet
from resight.embed.params import BUNDLED, EmbedParams
from resight.embed.stage import EmbedResult, embed
from resight.embed.vectors import PARTS, Vectors, ways
from resight.environment import Environment
from resight.errors import WeightsError
from resight.run.verify import verify
from resight.runner.params import DaskParams
from resight.runner.runner import Failure, Runner
from resight.runner.threads import one_thread
from resight.segment.store import read_crop, write_crop
from resight.status import CropStatus, FeatureStatus
from resight.store import sealed
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

ON = EmbedParams(enabled=True)
WEIGHTS = WeightStore(allow_download=False)
VIEWS = ("left", "right", "top", "unknown", "left", "right")
NAME = "vectors"


class LosingRunner(Runner):
    """Runs blocks here, as if there were two workers, and loses the block that holds a crop."""

    def __init__(self, loses: str) -> None:
        super().__init__(DaskParams(mode="inline"), quiet=True)
        self.loses = loses

    @property
    def n_workers(self) -> int:
        return 2

    def run(self, label: str, function: Callable, blocks: Sequence[EmbedBlock], **_: Any) -> tuple[list, list[Failure]]:
        lost = [b for b in blocks if self.loses in [c for c, _, _ in b.crops]]
        return [(b, function(b)) for b in blocks if b not in lost], [Failure(b, "KilledWorker") for b in lost]


@pytest.fixture
def crops(workspace: Workspace) -> pa.Table:
    """Six small crops of all views, and a photo without a head."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for i, view in enumerate(VIEWS):
        rgb = np.kron(rng.integers(0, 255, (6, 9, 3), np.uint8), np.ones((9, 9, 1), np.uint8))
        path = workspace.root / "store" / "segment" / f"crop{i}.png"
        write_crop(path, rgb, np.ones(rgb.shape[:2], bool))
        rows.append({"crop_id": f"c{i}", "path": workspace.relative(path), "viewpoint": view, "status": "ok"})
    rows.append({"crop_id": "none", "path": None, "viewpoint": "unknown", "status": str(CropStatus.NO_HEAD)})
    return pa.Table.from_pylist(rows)


def picture(workspace: Workspace, crops: pa.Table, number: int) -> np.ndarray:
    from resight.segment.store import read_crop

    return read_crop(workspace, crops["path"][number].as_py())[0]


def vector(result: EmbedResult, crop_id: str, mirrored: bool) -> np.ndarray:
    return np.asarray(result.vectors.values[result.vectors.places[crop_id, mirrored]])


def test_every_crop_gets_the_vectors_of_its_view_and_a_status(env: Environment, crops: pa.Table) -> None:
    result = embed(env, ON, NAME, crops)
    assert result.n_embedded == len(VIEWS) and not result.failed
    assert set(result.vectors.keys) == {(f"c{i}", way) for i, view in enumerate(VIEWS) for way in ways(view)}
    assert result.statuses == {f"c{i}": FeatureStatus.OK for i in range(len(VIEWS))} | {"none": FeatureStatus.NO_CROP}
    np.testing.assert_allclose(np.linalg.norm(result.vectors.values, axis=1), 1, atol=2e-3)
    net, side_px = loaded(BUNDLED, WEIGHTS, "cpu")
    with one_thread():
        rgb = picture(env.workspace, crops, 1)
        (fresh,) = vectors_of([picture_of(rgb, True, side_px)], net, "cpu")
        (turned,) = vectors_of([picture_of(np.ascontiguousarray(rgb[:, ::-1]), False, side_px)], net, "cpu")
    np.testing.assert_array_equal(vector(result, "c1", True), fresh.astype(np.float32))
    np.testing.assert_array_equal(fresh, turned)


def test_a_second_run_computes_nothing_and_a_new_view_only_what_it_lacks(env: Environment, crops: pa.Table) -> None:
    first = embed(env, ON, NAME, crops)
    again = embed(env, ON, NAME, crops)
    assert again.n_embedded == 0
    np.testing.assert_array_equal(again.vectors.values, first.vectors.values)
    views = ["right", *crops["viewpoint"].to_pylist()[1:]]  # c0 was left
    turned = embed(env, ON, NAME, crops.set_column(2, "viewpoint", pa.array(views)))
    assert turned.n_embedded == 1 and ("c0", True) in turned.vectors.places
    np.testing.assert_array_equal(vector(turned, "c3", False), vector(first, "c3", False))


def test_a_vector_does_not_depend_on_the_crops_beside_it(env: Environment, crops: pa.Table) -> None:
    together, alone = embed(env, ON, NAME, crops), embed(env, ON, "alone", crops.slice(3, 1))
    assert len(alone.vectors.keys) == 2
    np.testing.assert_array_equal(vector(together, "c3", True), vector(alone, "c3", True))


class Watched(torch.nn.Module):
    """The bundled network, which notes how many pictures it gets at once; with ``noise`` that changes what it makes of them."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        (self.net, self.side_px), self.noise = loaded(BUNDLED, WEIGHTS, "cpu"), noise
        self.seen: list[int] = []

    def features(self, rgb: Tensor) -> Tensor:
        self.seen.append(len(rgb))
        return self.net.features(rgb) * (1 + self.noise * (len(rgb) - 1))

    def on_sphere(self, features: Tensor) -> Tensor:
        return self.net.on_sphere(features)


@pytest.mark.parametrize(("noise", "seen"), [(0.0, [AT_ONCE] * 2), (1e-7, [1] * 3 * AT_ONCE)])
def test_pictures_go_through_the_network_together_only_where_that_changes_no_bit(noise: float, seen: list[int]) -> None:
    net = Watched(noise)
    pictures = list(np.random.default_rng(2).integers(0, 256, (3 * AT_ONCE + 1, net.side_px, net.side_px, 3), np.uint8))
    with one_thread():
        together = vectors_of(pictures, cast(EmbeddingNet, net), "cpu")
        watched = list(net.seen)
        alone = [vectors_of([one], cast(EmbeddingNet, net), "cpu")[0] for one in pictures]
    np.testing.assert_array_equal(together, alone)
    assert watched == [AT_ONCE, 1, 1, *seen, 1]


def test_a_crop_that_cannot_be_read_is_one_reason_and_is_tried_again(env: Environment, crops: pa.Table) -> None:
    file = env.workspace.root / crops["path"][2].as_py()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    result = embed(env, ON, NAME, crops)
    assert result.statuses["c2"] == FeatureStatus.FAILED and "cut short" in result.failed["c2"]
    assert result.n_embedded == len(VIEWS) - 1
    file.write_bytes(whole)
    again = embed(env, ON, NAME, crops)
    assert again.n_embedded == 1 and again.statuses["c2"] == FeatureStatus.OK


def test_a_crop_that_breaks_the_network_is_one_reason(env: Environment, crops: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    whole, odd = (
        embed(env, ON, NAME, crops),
        picture_of(read_crop(env.workspace, crops["path"][2].as_py())[0], False, 128),
    )
    features = EmbeddingNet.features

    def breaks(net: EmbeddingNet, rgb: Tensor) -> Tensor:
        if any(torch.equal((one * 255).round().byte().permute(1, 2, 0), torch.from_numpy(odd)) for one in rgb):
            raise RuntimeError("odd picture")
        return features.__get__(net)(rgb)  # type: ignore[no-any-return]

    monkeypatch.setattr(EmbeddingNet, "features", breaks)
    result = embed(env, ON, "broken", crops)
    assert set(result.failed) == {"c2"} and "odd picture" in result.failed["c2"]
    assert result.n_embedded == whole.n_embedded - 1
    np.testing.assert_array_equal(vector(result, "c3", True), vector(whole, "c3", True))


def test_a_lost_block_costs_its_own_crops_alone(env: Environment, crops: pa.Table) -> None:
    result = embed(replace(env, runner=LosingRunner("c4")), ON, NAME, crops)
    lost = {crop_id for crop_id, status in result.statuses.items() if status == FeatureStatus.FAILED}
    assert "c4" in lost and len(lost) < len(VIEWS)
    assert set(result.failed) == lost and result.failed["c4"] == "KilledWorker"
    assert embed(env, ON, NAME, crops).n_embedded == len(lost)


def test_a_damaged_part_is_found_set_aside_and_computed_again(env: Environment, crops: pa.Table) -> None:
    first = embed(env, ON, NAME, crops)
    part = next((env.workspace.stage_dir("embed", NAME) / PARTS).glob("*.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 4
    part.write_bytes(content)
    found = verify(env.workspace)
    assert [(d["stage"], d["fate"], d["then"]) for d in found["damaged"]] == [
        ("embed", "again", "its crops are embedded again")
    ]
    assert verify(env.workspace, repair=True)["repaired"] == 1 and not part.exists()
    again = embed(env, ON, NAME, crops)
    assert again.n_embedded > 0 and verify(env.workspace)["ok"]
    for key in first.vectors.keys:
        np.testing.assert_array_equal(vector(again, *key), vector(first, *key))


def test_a_damaged_part_is_not_read_before_it_is_verified_either(env: Environment, crops: pa.Table) -> None:
    embed(env, ON, NAME, crops)
    part = next((env.workspace.stage_dir("embed", NAME) / PARTS).glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-40])
    sealed.forget()
    assert embed(env, ON, NAME, crops).n_embedded > 0


def test_missing_weights_stop_before_any_work(env: Environment, crops: pa.Table) -> None:
    with pytest.raises(WeightsError, match=r"mine\.safetensors"):
        embed(env, EmbedParams(enabled=True, weights="mine.safetensors"), NAME, crops)
    assert not (env.workspace.stage_dir("embed", NAME) / PARTS).exists()


def test_cosines_take_the_way_that_both_crops_have() -> None:
    """By hand: in the plane, at 0, 90 and 60 degrees as they are, and mirrored at 30 degrees."""

    def at(degrees: float) -> list[float]:
        return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]

    keys = [("left", False), ("top", False), ("top", True), ("right", True), ("other", False), ("other", True)]
    values = np.array([at(0), at(90), at(30), at(30), at(60), at(210)], np.float32)
    names, views = ("left", "top", "right", "other", "lost"), ("left", "top", "right", "unknown", "left")
    crops = Vectors(keys, values).among(names, views)
    expected = np.array(
        [
            # left, top, right, other, lost
            [1, 0, np.nan, 0.5, np.nan],
            [0, 1, 1, np.cos(np.radians(30)), np.nan],
            [np.nan, 1, 1, -1, np.nan],
            [0.5, np.cos(np.radians(30)), -1, 1, np.nan],
            [np.nan] * 5,
        ]
    )
    np.testing.assert_allclose(crops.cosines(crops), expected, atol=1e-6)
    beside = crops.take(np.array([1, 2, 3, 0, 4])).cosines_with(crops.take(np.array([3, 1, 2, 2, 0])))
    np.testing.assert_allclose(beside, [expected[1, 3], 1, -1, np.nan, np.nan], atol=1e-6)
    np.testing.assert_allclose(crops.take(np.array([3, 0])).cosines(crops), expected[[3, 0]], atol=1e-6)


def test_a_side_that_was_embedded_both_ways_counts_as_its_view_says_now() -> None:
    """A crop of an unknown view that somebody has called right since is compared mirrored alone."""
    vectors = Vectors([("a", False), ("a", True), ("b", False)], np.eye(3, dtype=np.float32))
    both = vectors.among(["a"], ["right"]).cosines(vectors.among(["b"], ["left"]))
    assert np.isnan(both).all()
