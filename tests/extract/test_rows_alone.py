"""One row of a large shard is read without the others, and is what was written all the same."""

from pathlib import Path

import numpy as np
import pytest

from resight.errors import DamagedError
from resight.extract import damage, store
from resight.extract.base import Features
from resight.extract.opened import StoredArray
from resight.extract.reader import FeatureReader
from resight.extract.select import features
from resight.store.workspace import Workspace

LAYOUT = store.Layout(n_rows=100, shard_rows=64, max_keypoints=6, descriptor_dim=4, descriptor_dtype="float16")
NAME = "store/batch.zarr"


def row(seed: int) -> Features:
    rng, n = np.random.default_rng(seed), seed % 7
    found = features(
        rng.uniform(0, 90, (n, 2)), rng.normal(size=(n, 4)), rng.uniform(size=n), (471, 313), "float16",
        rng.uniform(size=n), rng.uniform(-3, 3, n),
    )  # fmt: skip
    return found


ROWS = [row(seed) for seed in range(LAYOUT.n_rows)]


@pytest.fixture
def batch(workspace: Workspace) -> Path:
    folder = workspace.root / NAME
    folder.parent.mkdir()
    store.create(folder, LAYOUT, [f"c{i}" for i in range(LAYOUT.n_rows)], {"family": "toy"})
    for start, stop in LAYOUT.shards():
        store.write_shard(folder, start, ROWS[start:stop])
    store.complete(folder, {})
    damage.forget()
    return folder


@pytest.fixture
def whole_shards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """First rows of the shards that are read whole."""
    read: list[int] = []
    original = StoredArray.shard

    def noted(array: StoredArray, start: int, stop: int) -> np.ndarray:
        read.append(start)
        return original(array, start, stop)

    monkeypatch.setattr(StoredArray, "shard", noted)
    return read


def same(one: Features, other: Features) -> bool:
    arrays = ("xy_px", "descriptors", "scale_px", "angle_rad", "score")
    return one.size_wh_px == other.size_wh_px and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays
    )


def without_row_digests(batch: Path) -> None:
    """As a version wrote it whose shards alone had digests."""
    said = store.completion(batch)
    said["shards"] = [{k: v for k, v in shard.items() if k != store.ROW_DIGESTS} for shard in said["shards"]]
    store.write_json(batch / store.COMPLETE, said, indent=1)


def flip(batch: Path, array: str, start: int, at: int) -> None:
    file = StoredArray.at(batch / array).shard_file(start)
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def exchange(batch: Path, row: int) -> None:
    """Other descriptors in a row, in a file that decodes without complaint."""
    array = StoredArray.at(batch / "descriptors")
    values = array.shard(0, 64)
    values[row, 0, 0] += 1
    array.shard_file(0).write_bytes(array.packed(values))


def test_a_few_rows_are_read_alone(batch: Path, workspace: Workspace, whole_shards: list[int]) -> None:
    reader = FeatureReader(workspace)
    wanted = [70, 3, 99, 41, 3]
    assert all(
        same(found, ROWS[n]) for n, found in zip(wanted, reader.load_many((NAME, n) for n in wanted), strict=True)
    )
    assert all(same(reader.load(NAME, n), ROWS[n]) for n in (17, 64, 5))
    assert not whole_shards


def test_many_rows_of_a_shard_are_read_at_once(batch: Path, workspace: Workspace, whole_shards: list[int]) -> None:
    reader = FeatureReader(workspace)
    assert all(same(features, ROWS[at]) for (_, at), features in reader.each((NAME, n) for n in range(40)))
    assert set(whole_shards) == {0}
    one_by_one = FeatureReader(workspace)
    assert all(same(one_by_one.load(NAME, n), ROWS[n]) for n in range(100))
    assert whole_shards.count(0) == whole_shards.count(64) + len(store.ABOUT)  # whoever goes through all reads shards


@pytest.mark.parametrize("array", ["descriptors", "n_keypoints"])
def test_a_row_that_is_not_what_was_written_is_found(batch: Path, workspace: Workspace, array: str) -> None:
    flip(batch, array, 0, 2)
    with pytest.raises(DamagedError):
        FeatureReader(workspace).load(NAME, 1)  # the first with a keypoint
    assert not store.is_complete(batch)


@pytest.mark.parametrize("compared", [False, True], ids=["never read", "read before"])
def test_a_row_that_decodes_to_other_values_is_found(batch: Path, workspace: Workspace, compared: bool) -> None:
    if compared:
        dict(FeatureReader(workspace).each((NAME, n) for n in range(64)))
    exchange(batch, 5)
    assert same(FeatureReader(workspace).load(NAME, 4), ROWS[4])
    with pytest.raises(DamagedError):
        FeatureReader(workspace).load(NAME, 5)
    assert not store.is_complete(batch)


def test_rows_of_a_chunk_that_is_gone_are_found(batch: Path, workspace: Workspace) -> None:
    StoredArray.at(batch / "descriptors").shard_file(64).unlink()
    with pytest.raises(DamagedError):
        FeatureReader(workspace).load(NAME, 71)


def test_a_cut_shard_is_found(batch: Path, workspace: Workspace) -> None:
    file = StoredArray.at(batch / "scales").shard_file(0)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DamagedError):
        FeatureReader(workspace).load(NAME, 5)


def test_a_row_without_a_digest_is_read_with_its_shard_first(
    batch: Path, workspace: Workspace, whole_shards: list[int]
) -> None:
    without_row_digests(batch)
    assert same(FeatureReader(workspace).load(NAME, 5), ROWS[5])
    assert set(whole_shards) == {0}
    whole_shards.clear()
    assert same(FeatureReader(workspace).load(NAME, 41), ROWS[41])  # this process has compared the shard
    assert not whole_shards


def test_damage_is_found_where_rows_have_no_digest(batch: Path, workspace: Workspace) -> None:
    without_row_digests(batch)
    flip(batch, "descriptors", 0, 2)
    with pytest.raises(DamagedError):
        FeatureReader(workspace).load(NAME, 50)


def test_digests_of_rows_survive_a_batch_that_is_finished_later(batch: Path, workspace: Workspace) -> None:
    before = store.completion(batch)["shards"]
    flip(batch, "descriptors", 64, 2)
    with pytest.raises(DamagedError):
        FeatureReader(workspace).load(NAME, 64)
    store.write_shard(batch, 64, ROWS[64:])
    store.complete(batch, {})
    assert store.completion(batch)["shards"] == before
    assert [len(shard[store.ROW_DIGESTS]) for shard in before] == [64 * store.ROW_DIGITS, 36 * store.ROW_DIGITS]


def test_a_row_that_is_not_there_is_an_error(batch: Path, workspace: Workspace) -> None:
    for n in (-1, 100):
        with pytest.raises(IndexError, match=f"no row {n}"):
            FeatureReader(workspace).load(NAME, n)
        with pytest.raises(IndexError, match=f"no row {n}"):
            FeatureReader(workspace).load_many([(NAME, 3), (NAME, n)])
