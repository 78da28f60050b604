"""The stage: every crop gets a row, nothing is computed twice, a killed run is continued."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from extract_helpers import N_CROPS, SETTINGS, WEIGHTS, CountingRunner, Killed, by_crop, run

from resight.errors import WeightsError
from resight.extract import batch as batch_module
from resight.extract import store
from resight.extract.block import one_thread
from resight.extract.reader import FeatureReader
from resight.run.names import stage_names
from resight.settings import load_settings
from resight.status import FeatureStatus
from resight.store.workspace import Workspace


def test_every_crop_gets_a_row(workspace: Workspace, crops: pa.Table) -> None:
    result = run(workspace, crops)
    rows = by_crop(result)
    assert result.n_extracted == N_CROPS
    assert result.features.column("crop_id").to_pylist() == sorted(crops.column("crop_id").to_pylist())
    assert rows["c3"]["status"] == FeatureStatus.NO_KEYPOINTS
    assert rows["none"] | {"reason": ""} == {
        "crop_id": "none", "photo_id": "p9", "n_keypoints": 0, "store": None, "store_row": None,
        "extract_fingerprint": stage_names(SETTINGS, WEIGHTS).extract, "status": "no_crop", "reason": "",
    }  # fmt: skip
    assert rows["none"]["reason"] == "no_head"
    reader = FeatureReader(workspace)
    for crop_id in ("c0", "c3", "c7"):
        features = reader.load(rows[crop_id]["store"], rows[crop_id]["store_row"])
        assert len(features) == rows[crop_id]["n_keypoints"]
    assert rows["c0"]["n_keypoints"] > 10
    assert (workspace.root / rows["c0"]["store"]).is_dir()


def test_what_is_stored_is_what_a_fresh_extraction_gives(workspace: Workspace, crops: pa.Table) -> None:
    from resight.segment.store import read_crop

    rows = by_crop(run(workspace, crops))
    paths = {row["crop_id"]: row["path"] for row in crops.to_pylist()}
    with one_thread():
        fresh = SETTINGS.extract.build(WEIGHTS).extract(*read_crop(workspace, paths["c5"]))
    stored = FeatureReader(workspace).load(rows["c5"]["store"], rows["c5"]["store_row"])
    for name in ("xy_px", "descriptors", "scale_px", "angle_rad", "score"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(fresh, name))


def test_a_second_run_computes_nothing_and_says_the_same(workspace: Workspace, crops: pa.Table) -> None:
    first = run(workspace, crops)
    runner = CountingRunner()
    second = run(workspace, crops, runner)
    assert runner.blocks == []
    assert second.n_extracted == 0
    assert second.features.equals(first.features)


def test_new_crops_become_a_new_batch_and_old_ones_stay(workspace: Workspace, crops: pa.Table) -> None:
    early = by_crop(run(workspace, crops.slice(0, 5)))
    runner = CountingRunner()
    late = by_crop(run(workspace, crops, runner))
    assert sorted(crop_id for block in runner.blocks for crop_id, _ in block.crops) == ["c5", "c6", "c7"]
    assert {late[c]["store"] for c in ("c0", "c4")} == {early["c0"]["store"]}
    assert late["c5"]["store"] != early["c0"]["store"]


def test_batches_in_another_order_hold_the_same(workspace: Workspace, crops: pa.Table, tmp_path: Path) -> None:
    first = run(workspace, crops)
    other = Workspace(tmp_path / "elsewhere")
    other.root.mkdir()
    for row in crops.to_pylist():
        if row["path"]:
            target = other.root / row["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((workspace.root / row["path"]).read_bytes())
    shuffled = crops.take(list(reversed(range(crops.num_rows))))
    assert run(other, shuffled).features.equals(first.features)


@pytest.mark.parametrize("dies_after", [0, 1, 3])
def test_a_killed_run_is_continued(workspace: Workspace, crops: pa.Table, dies_after: int) -> None:
    with pytest.raises(Killed):
        run(workspace, crops, CountingRunner(dies_after=dies_after))
    runner = CountingRunner()
    result = run(workspace, crops, runner)
    assert len(runner.blocks) == 4 - dies_after
    assert result.n_extracted == N_CROPS - 2 * dies_after
    assert [row["status"] for row in result.features.to_pylist()].count("ok") == N_CROPS - 1
    folder = workspace.stage_dir("extract", stage_names(SETTINGS, WEIGHTS).extract)
    assert len(list(folder.glob("*.zarr"))) == 1
    assert list(folder.glob("*.marks")) == []


def test_the_mark_of_a_damaged_shard_does_not_outlive_it_where_its_block_is_lost(
    workspace: Workspace, crops: pa.Table
) -> None:
    with pytest.raises(Killed):
        run(workspace, crops, CountingRunner(dies_after=1))
    folder = workspace.stage_dir("extract", stage_names(SETTINGS, WEIGHTS).extract)
    (group,) = folder.glob("*.zarr")
    (shard,) = [path for path in (group / "scores" / "c" / "0").rglob("*") if path.is_file()]
    shard.write_bytes(bytes(reversed(shard.read_bytes())))
    run(workspace, crops, CountingRunner(kills_worker="c0"))
    assert [rows["rows"] for rows in store.completion(group)["shards"]] == [[2, 4], [4, 6], [6, 8]]


def test_a_killed_run_is_continued_when_more_crops_have_come(workspace: Workspace, crops: pa.Table) -> None:
    with pytest.raises(Killed):
        run(workspace, crops.slice(0, 6), CountingRunner(pretend=2, dies_after=2))
    runner = CountingRunner()
    result = run(workspace, crops, runner)
    computed = sorted(crop_id for block in runner.blocks for crop_id, _ in block.crops)
    assert computed == ["c4", "c5", "c6", "c7"]
    assert result.n_extracted == 4


def test_an_unfinished_batch_that_nobody_asks_for_is_removed(workspace: Workspace, crops: pa.Table) -> None:
    with pytest.raises(Killed):
        run(workspace, crops, CountingRunner(dies_after=1))
    result = run(workspace, crops.slice(0, 2))
    assert result.n_extracted == 2
    folder = workspace.stage_dir("extract", stage_names(SETTINGS, WEIGHTS).extract)
    assert len(list(folder.glob("*.zarr"))) == 1


def test_killed_between_completion_and_index(workspace: Workspace, crops: pa.Table) -> None:
    first = run(workspace, crops)
    folder = workspace.stage_dir("extract", stage_names(SETTINGS, WEIGHTS).extract)
    for file in (folder / batch_module.INDEX).glob("*.parquet"):
        file.unlink()
    runner = CountingRunner()
    assert run(workspace, crops, runner).features.equals(first.features)
    assert runner.blocks == []


def test_a_deleted_store_is_computed_again(workspace: Workspace, crops: pa.Table) -> None:
    import shutil

    first = run(workspace, crops)
    shutil.rmtree(workspace.root / by_crop(first)["c0"]["store"])
    again = run(workspace, crops)
    assert again.n_extracted == N_CROPS
    assert again.features.equals(first.features)


def test_one_bad_crop_fails_alone_and_is_tried_again(workspace: Workspace, crops: pa.Table) -> None:
    path = workspace.root / crops.column("path")[2].as_py()
    good = path.read_bytes()
    path.write_bytes(b"no picture")
    rows = by_crop(run(workspace, crops))
    assert rows["c2"]["status"] == FeatureStatus.FAILED
    assert "damaged" in rows["c2"]["reason"]
    assert rows["c2"]["store"] is None
    assert rows["c1"]["status"] == FeatureStatus.OK
    path.write_bytes(good)
    again = run(workspace, crops)
    assert again.n_extracted == 1
    assert by_crop(again)["c2"]["status"] == FeatureStatus.OK


def test_a_crop_that_kills_its_worker_costs_only_itself(workspace: Workspace, crops: pa.Table) -> None:
    runner = CountingRunner(pretend=1, kills_worker="c6")
    result = run(workspace, crops, runner)
    rows = by_crop(result)
    assert rows["c6"]["status"] == FeatureStatus.FAILED
    assert "KilledWorker" in rows["c6"]["reason"]
    assert [rows[f"c{i}"]["status"] for i in (4, 5, 7)] == ["ok"] * 3
    assert result.n_extracted == N_CROPS - 1
    reader = FeatureReader(workspace)
    assert len(reader.load(rows["c7"]["store"], rows["c7"]["store_row"])) == rows["c7"]["n_keypoints"]
    # The next night it is tried again, alone, and leaves no empty stores behind.
    stores = len(list(workspace.stage_dir("extract", rows["c6"]["extract_fingerprint"]).glob("*.zarr")))
    assert by_crop(run(workspace, crops, CountingRunner(kills_worker="c6")))["c6"]["status"] == FeatureStatus.FAILED
    assert len(list(workspace.stage_dir("extract", rows["c6"]["extract_fingerprint"]).glob("*.zarr"))) == stores


def test_the_fingerprint_follows_settings_weights_and_crops(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    base = stage_names(SETTINGS, WEIGHTS).extract
    fewer = load_settings(overrides={"extract.max_keypoints": 500}, environ={})
    wider = load_settings(overrides={"crop.head_side_px": 800}, environ={})
    elsewhere = load_settings(overrides={"dask.workers": 3}, environ={})
    assert len({base, stage_names(fewer, WEIGHTS).extract, stage_names(wider, WEIGHTS).extract}) == 3
    assert stage_names(elsewhere, WEIGHTS).extract == base
    file = tmp_path / "w.safetensors"
    xfeat = load_settings(overrides={"extract.kind": "xfeat", "extract.weights": str(file)}, environ={})
    prints = []
    for value in (1.0, 2.0):
        save_file({"a": np.full(3, value)}, file)
        prints.append(stage_names(xfeat, WEIGHTS).extract)
    assert prints[0] != prints[1]


def test_missing_weights_stop_the_run_before_any_work(
    workspace: Workspace, crops: pa.Table, no_weights_around: Path
) -> None:
    settings = load_settings(overrides={"extract.kind": "xfeat"}, environ={})
    runner = CountingRunner()
    with pytest.raises(WeightsError, match=r"xfeat\.pt"):
        run(workspace, crops, runner, settings)
    assert runner.blocks == []


def test_no_crops_at_all(workspace: Workspace, crops: pa.Table) -> None:
    result = run(workspace, crops.slice(0, 0))
    assert result.features.num_rows == 0
    assert result.n_extracted == 0
