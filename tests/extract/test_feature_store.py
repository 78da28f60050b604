"""The Zarr store: aligned writes, marks, completion, reading."""

import json
import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec

from resight.errors import DamagedError, WorkspaceError
from resight.extract import reader as reader_module
from resight.extract import store
from resight.extract.base import Features
from resight.extract.marks import mark_path
from resight.extract.opened import crc32c
from resight.extract.reader import FeatureReader
from resight.extract.select import features
from resight.store.workspace import Workspace

LAYOUT = store.Layout(n_rows=7, shard_rows=3, max_keypoints=10, descriptor_dim=4, descriptor_dtype="float16")


def some(n: int, seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    return features(
        rng.uniform(0, 90, (n, 2)), rng.normal(size=(n, 4)), rng.uniform(size=n), (471, 313), "float16", rng.uniform(size=n),
        rng.uniform(-3, 3, n),
    )  # fmt: skip


ROWS = [some(n, seed) for seed, n in enumerate([10, 0, 3, 1, 7, 10, 2])]


@pytest.fixture
def empty(workspace: Workspace) -> Path:
    folder = workspace.root / "store" / "batch.zarr"
    folder.parent.mkdir()
    store.create(folder, LAYOUT, [f"c{i}" for i in range(7)], {"family": "toy"})
    return folder


@pytest.fixture
def whole(empty: Path) -> Path:
    for start, stop in LAYOUT.shards():
        store.write_shard(empty, start, ROWS[start:stop])
    store.complete(empty, {})
    return empty


def test_rows_come_back_as_they_went_in(whole: Path, workspace: Workspace) -> None:
    reader = FeatureReader(workspace)
    for i, row in enumerate(ROWS):
        back = reader.load("store/batch.zarr", i)
        assert back.size_wh_px == (471, 313)
        for name in ("xy_px", "descriptors", "scale_px", "angle_rad", "score"):
            np.testing.assert_array_equal(getattr(back, name), getattr(row, name))
            assert getattr(back, name).dtype == getattr(row, name).dtype


@pytest.mark.parametrize(("start", "n"), [(1, 3), (0, 2), (0, 4), (3, 4), (6, 2), (7, 1)])
def test_a_write_that_is_not_one_shard_is_refused(empty: Path, start: int, n: int) -> None:
    with pytest.raises(store.UnalignedWriteError, match="not one whole shard of 3"):
        store.write_shard(empty, start, [some(1)] * n)
    assert store.whole_shards(empty) == set()
    assert not np.asarray(zarr.open_group(str(empty), mode="r")["n_keypoints"]).any()


def test_too_many_keypoints_or_another_type_are_refused(empty: Path) -> None:
    with pytest.raises(ValueError, match="11 keypoints"):
        store.write_shard(empty, 0, [some(11), some(1), some(1)])
    wide = features(np.zeros((1, 2)), np.zeros((1, 4)), np.zeros(1), (9, 9), "float32")
    with pytest.raises(ValueError, match="float32"):
        store.write_shard(empty, 0, [wide, some(1), some(1)])


def test_plain_zarr_reads_it_and_finds_units(whole: Path) -> None:
    group = zarr.open_group(str(whole), mode="r")
    assert group.metadata.zarr_format == 3
    assert dict(group.attrs)["crop_ids"] == [f"c{i}" for i in range(7)]
    assert group["n_keypoints"][:].tolist() == [10, 0, 3, 1, 7, 10, 2]
    descriptors = group["descriptors"]
    assert (descriptors.shape, descriptors.chunks, descriptors.shards) == ((7, 10, 4), (1, 10, 4), (3, 10, 4))
    assert group["image_size_wh"][0].tolist() == [471, 313]
    assert "unit rad" in group["angles"].attrs["description"]
    assert "pixel centres are integers" in group["keypoints"].attrs["description"]


def test_completion_names_the_digest_of_every_shard(whole: Path) -> None:
    content = json.loads((whole / store.COMPLETE).read_text())
    assert [shard["rows"] for shard in content["shards"]] == [[0, 3], [3, 6], [6, 7]]
    packed = store.pack(LAYOUT, ROWS[3:6])
    assert content["shards"][1]["sha256"]["descriptors"] == store.digest(packed["descriptors"])
    assert not whole.with_suffix(".marks").exists()


def test_an_incomplete_batch_cannot_be_read(empty: Path, workspace: Workspace) -> None:
    store.write_shard(empty, 0, ROWS[:3])
    with pytest.raises(WorkspaceError, match="not whole"):
        FeatureReader(workspace).load("store/batch.zarr", 0)


def test_only_shards_whose_content_is_what_the_mark_says_are_whole(empty: Path) -> None:
    store.write_shard(empty, 0, ROWS[:3])
    store.write_shard(empty, 3, ROWS[3:6])
    assert store.whole_shards(empty) == {0, 3}
    shard = empty / "descriptors" / "c" / "1" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[5] ^= 255
    shard.write_bytes(bytes(data))
    assert store.whole_shards(empty) == {0}
    shard.unlink()  # reads as zeros then
    assert store.whole_shards(empty) == {0}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 40,
        b"[1]",
        b"{}",
        b'{"rows": [0, 2], "sha256": {}, "failed": {}}',
        b'{"rows": [0, 3], "sha256": {}, "failed": {}}',
        b"\xff",
    ],
)
def test_a_damaged_mark_is_set_aside_and_its_shard_computed_again(empty: Path, content: bytes) -> None:
    for start, stop in LAYOUT.shards():
        store.write_shard(empty, start, ROWS[start:stop])
    mark_path(empty, 0).write_bytes(content)
    assert store.whole_shards(empty) == {3, 6}
    with pytest.raises(DamagedError, match="no mark of a shard"):
        store.complete(empty, {})
    assert not store.is_complete(empty) and not mark_path(empty, 0).exists()
    assert len(list((empty.parent / "quarantine").glob("*-00000000.json"))) == 1
    store.write_shard(empty, 0, ROWS[:3])
    assert store.complete(empty, {}) == {} and [shard["rows"] for shard in store.completion(empty)["shards"]] == [
        [0, 3],
        [3, 6],
        [6, 7],
    ]


def test_a_mark_of_no_shard_is_not_gathered(empty: Path) -> None:
    for start, stop in LAYOUT.shards():
        store.write_shard(empty, start, ROWS[start:stop])
    mark_path(empty, 2).write_bytes(mark_path(empty, 3).read_bytes())
    store.complete(empty, {})
    assert [shard["rows"] for shard in store.completion(empty)["shards"]] == [[0, 3], [3, 6], [6, 7]]


def test_a_store_of_a_newer_version_is_refused_however_it_is_stored(
    whole: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = zarr.open_group(str(whole), mode="r+")
    group.attrs["version"] = store.VERSION + 1
    store.complete(whole, {})

    def unknown(*_: object) -> None:
        raise ValueError("stored otherwise")

    monkeypatch.setattr(store.Group, "at", unknown)
    with pytest.raises(WorkspaceError, match="newer Resight"):
        FeatureReader(workspace).load("store/batch.zarr", 0)


def test_same_rows_same_bytes(whole: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zarr"
    store.create(again, LAYOUT, [f"c{i}" for i in range(7)], {"family": "toy"})
    for start, stop in reversed(LAYOUT.shards()):
        store.write_shard(again, start, ROWS[start:stop])
    store.complete(again, {})
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert len(files) > 20
    for file in files:
        assert (whole / file).read_bytes() == (again / file).read_bytes(), file


def test_a_shard_is_read_once_and_old_ones_are_let_go(
    whole: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    original = reader_module.read_shard
    monkeypatch.setattr(
        reader_module, "read_shard", lambda f, g, start, stop: reads.append(start) or original(f, g, start, stop)
    )
    reader = FeatureReader(workspace, shards_held=2)
    places = [("store/batch.zarr", row) for row in (5, 0, 4, 1, 0)]
    back = reader.load_many(places)
    assert [len(one) for one in back] == [10, 10, 7, 0, 10]
    assert sorted(reads) == [0, 3]
    reader.load("store/batch.zarr", 6)  # the third shard pushes out the first
    reader.load("store/batch.zarr", 4)
    assert sorted(reads) == [0, 3, 6]
    reader.load("store/batch.zarr", 0)
    assert sorted(reads) == [0, 0, 3, 6]


def test_the_reader_travels_without_what_it_holds(whole: Path, workspace: Workspace) -> None:
    reader = FeatureReader(workspace, shards_held=3)
    before = len(pickle.dumps(reader))
    reader.load("store/batch.zarr", 0)
    copy = pickle.loads(pickle.dumps(reader))
    assert len(pickle.dumps(reader)) == before
    assert copy.shards_held == 3
    np.testing.assert_array_equal(copy.load("store/batch.zarr", 2).xy_px, ROWS[2].xy_px)


def test_what_is_shared_cannot_be_changed(whole: Path, workspace: Workspace) -> None:
    row = FeatureReader(workspace).load("store/batch.zarr", 0)
    with pytest.raises(ValueError, match="read-only"):
        row.descriptors[0, 0] = 1


def test_a_row_that_is_not_there_is_an_error(whole: Path, workspace: Workspace) -> None:
    with pytest.raises(IndexError, match="no row 7"):
        FeatureReader(workspace).load("store/batch.zarr", 7)


def test_reading_is_quiet(whole: Path, workspace: Workspace) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FeatureReader(workspace).load("store/batch.zarr", 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_a_batch_is_described_as_zarr_describes_it(tmp_path: Path, dtype: str) -> None:
    layout = replace(LAYOUT, descriptor_dtype=dtype)
    store.create(tmp_path / "ours", layout, ["c0"] * 7, {"family": "toy", "größe": [1, None]})
    said = json.loads((tmp_path / "ours" / "zarr.json").read_text(encoding="utf-8"))
    theirs = zarr.create_group(str(tmp_path / "theirs"), zarr_format=3, attributes=said["attributes"])
    for name, (row, kind) in layout.arrays().items():
        theirs.create_array(
            name, shape=(7, *row), dtype=kind, chunks=(1, *row), shards=(3, *row), compressors=ZstdCodec(level=1),
            fill_value=0, attributes={"description": store.ABOUT[name]},
        )  # fmt: skip
    files = sorted(path.relative_to(tmp_path / "theirs") for path in (tmp_path / "theirs").rglob("zarr.json"))
    assert (
        len(files) == 8
        and sorted(p.relative_to(tmp_path / "ours") for p in (tmp_path / "ours").rglob("zarr.json")) == files
    )
    for file in files:
        ours, other = (json.loads((tmp_path / who / file).read_text(encoding="utf-8")) for who in ("ours", "theirs"))
        assert ours == other, file


def test_the_checksum_behind_an_index_is_that_of_the_standard() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA and crc32c(bytes(range(32))) == 0x46DD794E  # RFC 3720, B.4


def test_zarr_refuses_a_shard_whose_index_is_not_what_was_written(whole: Path) -> None:
    shard = whole / "scores" / "c" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="checksum"):
        zarr.open_group(str(whole), mode="r")["scores"][:3]


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_shards_read_as_zarr_reads_them(workspace: Workspace, dtype: str) -> None:
    folder = workspace.root / "store" / "batch.zarr"
    folder.parent.mkdir()
    store.create(folder, replace(LAYOUT, descriptor_dtype=dtype), [f"c{i}" for i in range(7)], {})
    rows = [replace(row, descriptors=row.descriptors.astype(dtype)) for row in ROWS]
    for start, stop in LAYOUT.shards()[:2]:  # nobody has written the last one
        store.write_shard(folder, start, rows[start:stop])
    store.complete(folder, {})
    group, theirs = store.open_complete(folder), zarr.open_group(str(folder), mode="r")
    for start, stop in store.layout_of(group).shards():
        for name, values in group.rows(start, stop, store.ABOUT).items():
            expected = theirs[name][start:stop]
            np.testing.assert_array_equal(values, expected)
            assert values.dtype == expected.dtype


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"level":1', '"level":1}},{"name":"gzip","configuration":{"level":1'),
        ('"sharding_indexed"', '"another"'),
        ('"end"', '"start"'),
        ('"fill_value":0', '"fill_value":1'),
    ],
)
def test_an_array_that_is_stored_otherwise_is_refused(whole: Path, before: str, after: str) -> None:
    file = whole / "scores" / "zarr.json"
    text = json.dumps(json.loads(file.read_text()), separators=(",", ":"))
    assert before in text
    file.write_text(text.replace(before, after))
    with pytest.raises(ValueError, match="scores is not stored as Resight stores it"):
        store.crop_ids_of(whole)
