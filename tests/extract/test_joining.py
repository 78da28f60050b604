"""Small batches are put together: few stores after many nights, the same features, and earlier runs still find them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from extract_helpers import N_CROPS, Killed, by_crop, run

from resight.errors import DamagedError
from resight.extract import joining, store
from resight.extract.places import INDEX
from resight.extract.reader import FeatureReader
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
