"""Small batches are put together: few stores after many nights, the same features, and earlier runs still find them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from extract_helpers import N_CROPS, CountingRunner, Killed, by_crop, run

from resight.errors import DamagedError
from resight.extract import batch, joining, store
from resight.extract.damage import forget
from resight.extract.places import INDEX, INDEX_SCHEMA, Index, compact_index
from resight.extract.reader import FeatureReader
from resight.extract.stage import ExtractResult
from resight.status import FeatureStatus
from resight.store.parts import write_part
from resight.store.workspace import Workspace

JOIN = joining._join
ARRAYS = ("xy_px", "descriptors", "scale_px", "angle_rad", "score")


def stores(workspace: Workspace) -> list[Path]:
    return sorted(workspace.store.glob("extract/*/*.zarr"))


def nights(workspace: Workspace, crops: pa.Table) -> list[dict[str, dict[str, Any]]]:
    """One new crop a night."""
    results = [run(workspace, crops.slice(0, n)) for n in range(1, N_CROPS + 1)]
    assert [result.n_extracted for result in results] == [1] * N_CROPS, "nothing is computed twice"
    return [by_crop(result) for result in results]


def test_many_nights_leave_few_stores_and_parts(workspace: Workspace, crops: pa.Table) -> None:
    last = nights(workspace, crops)[-1]
    assert len({row["store"] for row in last.values()}) <= 2, "of eight crops that came one by one"
    assert len(stores(workspace)) <= 5, "with those that go on the next night"
    assert len(list(workspace.store.glob(f"extract/*/{INDEX}/*.parquet"))) <= 4
    again = run(workspace, crops)
    assert again.n_extracted == 0 and by_crop(again)["c0"] == last["c0"]


def test_features_are_what_they_were_and_earlier_tables_find_them(
    workspace: Workspace, crops: pa.Table, tmp_path: Path
) -> None:
    readers = [FeatureReader(workspace, shards_held=1)]
    tables = nights(workspace, crops)
    whole = Workspace(tmp_path / "at once")
    whole.root.mkdir()
    (whole.root / "store").mkdir()
    (whole.root / "store" / "segment").symlink_to(workspace.store / "segment")
    expected = by_crop(run(whole, crops))
    readers.append(FeatureReader(workspace))
    gone = [row for rows in tables for row in rows.values() if not (workspace.root / row["store"]).exists()]
    assert gone, "batches of the first nights are no longer there"
    for reader in readers:
        for row in [row for rows in tables for row in rows.values()]:
            other = expected[row["crop_id"]]
            features = reader.load(row["store"], row["store_row"])
            as_at_once = FeatureReader(whole).load(other["store"], other["store_row"])
            for name in ARRAYS:
                np.testing.assert_array_equal(getattr(features, name), getattr(as_at_once, name))
            np.testing.assert_array_equal(reader.descriptors(row["store"], row["store_row"]), as_at_once.descriptors)


def test_a_reader_that_has_a_batch_open_when_it_goes_reads_on(workspace: Workspace, crops: pa.Table) -> None:
    first = by_crop(run(workspace, crops.slice(0, 2)))
    assert first["c0"]["store"] == first["c1"]["store"]
    reader = FeatureReader(workspace, shards_held=1)
    before = [reader.load(first[c]["store"], first[c]["store_row"]) for c in ("c0", "c1", "c0")]
    for n in (4, 6, N_CROPS):
        run(workspace, crops.slice(0, n))
    assert not (workspace.root / first["c0"]["store"]).exists()
    for crop_id, features in zip(("c0", "c1"), before, strict=False):
        reader._shards.clear()
        after = reader.load(first[crop_id]["store"], first[crop_id]["store_row"])
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(after, name), getattr(features, name))
    with pytest.raises(DamagedError, match="missing or not whole"):
        reader.load(f"{first['c0']['store']}x", 0)


@pytest.mark.parametrize("step", ["create", "complete", "write_part"])
def test_a_kill_while_they_are_put_together_costs_nothing(
    workspace: Workspace, crops: pa.Table, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    first = by_crop(run(workspace, crops.slice(0, 3)))

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    place = joining if step == "write_part" else store
    with monkeypatch.context() as patched:

        def join(*given: Any) -> None:
            patched.setattr(place, step, killed)
            JOIN(*given)

        patched.setattr(joining, "_join", join)
        with pytest.raises(Killed):
            run(workspace, crops.slice(0, 6))
    after = run(workspace, crops.slice(0, 6))
    assert after.n_extracted == 0, "all six were there"
    reader = FeatureReader(workspace)
    assert [len(reader.load(r["store"], r["store_row"])) for r in by_crop(after).values()] == [
        r["n_keypoints"] for r in by_crop(after).values()
    ]
    assert run(workspace, crops).n_extracted == 2
    assert len(reader.load(first["c0"]["store"], first["c0"]["store_row"])) == first["c0"]["n_keypoints"]
    assert len(stores(workspace)) <= 4 and all(store.is_complete(path) for path in stores(workspace))


def flip(group: Path) -> None:
    """One bit of the first shard of the descriptors."""
    (file,) = [path for path in (group / "descriptors" / "c" / "0").rglob("*") if path.is_file()]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)
    forget()


def all_there(workspace: Workspace, result: ExtractResult, but: tuple[str, ...] = ()) -> None:
    """Every crop has the features that its row says, but for those that failed."""
    reader = FeatureReader(workspace)
    for crop_id, row in by_crop(result).items():
        if crop_id in but:
            assert (row["status"], row["store"], row["n_keypoints"]) == (FeatureStatus.FAILED, None, 0), row
        else:
            assert row["status"] in (FeatureStatus.OK, FeatureStatus.NO_KEYPOINTS), row
            assert len(reader.load(row["store"], row["store_row"])) == row["n_keypoints"]


def test_damage_that_joining_finds_is_computed_again_in_the_same_night(workspace: Workspace, crops: pa.Table) -> None:
    first = by_crop(run(workspace, crops.slice(0, 2)))
    flip(workspace.root / first["c0"]["store"])
    result = run(workspace, crops.slice(0, 4))
    assert result.n_extracted == 3, "two new ones and the damaged shard of one"
    all_there(workspace, result)
    again = run(workspace, crops.slice(0, 4))
    assert again.n_extracted == 0 and again.features.equals(result.features)


def test_damage_night_after_night_ends_in_features(
    workspace: Workspace, crops: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever batches joining reads are damaged each time that it is called: the last round goes without it."""

    def damaged(folder: Path, root: Path) -> None:
        for name in Index.read(folder, root).n_rows:
            flip(root / name)
        joining.join_small(folder, root)

    run(workspace, crops.slice(0, 2))
    with monkeypatch.context() as patched:
        patched.setattr(batch, "join_small", damaged)
        result = run(workspace, crops.slice(0, 4))
    all_there(workspace, result)


def test_a_crop_that_fails_when_its_batch_is_finished_again_has_failed(workspace: Workspace, crops: pa.Table) -> None:
    run(workspace, crops.slice(0, 1))
    joined = workspace.root / by_crop(run(workspace, crops.slice(0, 2)))["c0"]["store"]
    assert store.crop_ids_of(joined) == ["c0", "c1"]
    for source in set(stores(workspace)) - {joined}:
        shutil.rmtree(source)
    flip(joined)
    with pytest.raises(DamagedError):
        FeatureReader(workspace).load(workspace.relative(joined), 0)
    picture = workspace.root / crops["path"][0].as_py()
    good = picture.read_bytes()
    picture.write_bytes(b"no picture")
    for n in (2, 4, 6):  # the parts of the index are put together meanwhile
        all_there(workspace, run(workspace, crops.slice(0, n)), but=("c0",))
    picture.write_bytes(good)
    result = run(workspace, crops.slice(0, N_CROPS))
    assert result.n_extracted == 3, "two new ones and the one that had failed"
    all_there(workspace, result)
    assert run(workspace, crops).n_extracted == 0


def test_rows_of_the_index_say_in_any_order_that_a_crop_has_failed(tmp_path: Path) -> None:
    rows = [
        {"crop_id": "a", "n_keypoints": 75, "store": "s", "store_row": 0},
        {"crop_id": "b", "n_keypoints": 75, "store": "s", "store_row": 1},
        {"crop_id": "a", "n_keypoints": None, "store": "s", "store_row": 0},
    ]
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / store.COMPLETE).touch()
    for order in ([0, 1, 2], [2, 0, 1]):
        folder = tmp_path / str(order)
        for k, number in enumerate(order):
            write_part(folder / INDEX, f"{k}", pa.Table.from_pylist([rows[number]], schema=INDEX_SCHEMA))
        assert set(Index.read(folder, tmp_path).places()) == {"b"}
        compact_index(folder)
        assert len(list((folder / INDEX).iterdir())) == 1
        index = Index.read(folder, tmp_path)
        assert set(index.places()) == {"b"} and index.n_rows == {"s": 1}


@pytest.mark.parametrize("n_before", [0, 1])
def test_a_batch_that_joins_its_own_crops_is_no_source_of_itself(
    workspace: Workspace, crops: pa.Table, n_before: int
) -> None:
    """A crop fails in a batch of two, and comes back alone; with ``n_before``, the batch of two is a joined one."""
    picture = workspace.root / crops["path"][1].as_py()
    good = picture.read_bytes()
    if n_before:
        run(workspace, crops.slice(0, 1))
        joined = workspace.root / by_crop(run(workspace, crops.slice(0, 2)))["c0"]["store"]
        for source in set(stores(workspace)) - {joined}:
            shutil.rmtree(source)
        flip(joined)
        with pytest.raises(DamagedError):
            FeatureReader(workspace).load(workspace.relative(joined), 0)
    picture.write_bytes(b"no picture")
    all_there(workspace, run(workspace, crops.slice(0, 2)), but=("c1",))
    picture.write_bytes(good)
    result = run(workspace, crops.slice(0, 2))
    assert result.n_extracted == 1
    all_there(workspace, result)
    assert len({row["store"] for row in by_crop(result).values()}) == 1, "they are in one batch now"
    assert len(stores(workspace)) == 3, "with the two that it comes from"
    assert run(workspace, crops.slice(0, 2)).n_extracted == 0


def test_many_batches_of_before_are_put_together_in_portions(
    workspace: Workspace, crops: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(batch, "join_small", lambda folder, root: None)
        before = nights(workspace, crops)[-1]
    assert len({row["store"] for row in before.values()}) == N_CROPS
    (folder,) = workspace.store.glob("extract/*")
    n_rows, n_whole = [], []

    def counted(folder: Path, root: Path, rows: pa.Table) -> None:
        n_whole.append(sum(n > 1 for n in Index.read(folder, root).n_rows.values()))
        n_rows.append(rows.num_rows)
        JOIN(folder, root, rows)

    monkeypatch.setattr(joining, "_join", counted)
    monkeypatch.setattr(store, "SHARD_ROWS", 3)
    monkeypatch.setattr(joining, "PORTION_ROWS", 3, raising=False)
    joining.join_small(folder, workspace.root)
    assert n_rows == [3, 5], "the rest of two is less than a shard"
    assert n_whole == [0, 1], "the first is in the index before the second begins"
    result = run(workspace, crops.slice(0, N_CROPS))
    assert result.n_extracted == 0 and len({row["store"] for row in by_crop(result).values()}) == 2
    all_there(workspace, result)


def test_what_killed_workers_left_in_a_batch_goes_when_it_is_complete(workspace: Workspace, crops: pa.Table) -> None:
    with pytest.raises(Killed):
        run(workspace, crops, CountingRunner(dies_after=1))
    (group,) = stores(workspace)
    left_over = group / "descriptors" / "c" / ".0.1234.tmp"
    left_over.write_bytes(b"half a shard")
    run(workspace, crops)
    assert store.is_complete(group) and not left_over.exists()


def test_a_batch_in_which_crops_have_failed_does_not_give_its_name_to_another(
    workspace: Workspace, crops: pa.Table
) -> None:
    """Each crop fails once in a batch of the two, which then is deleted; together they are tried once more."""
    pictures = [workspace.root / path for path in crops["path"].to_pylist()[:2]]
    good = [picture.read_bytes() for picture in pictures]
    for k, name in enumerate(("c0", "c1")):
        pictures[k].write_bytes(b"no picture")
        all_there(workspace, run(workspace, crops.slice(0, 2)), but=(name,))
        pictures[k].write_bytes(good[k])
        (group,) = stores(workspace)
        shutil.rmtree(group)
        for part in sorted(
            (group.parent / INDEX).glob("*.parquet")
        ):  # as parts that were put together: nothing takes their place
            part.rename(part.with_stem(f"{k} {part.stem}"))
    result = run(workspace, crops.slice(0, 2))
    assert result.n_extracted == 2
    all_there(workspace, result)
