"""Commit marks reach the disk after what they stand for, shown by the order of `os.fsync` and `os.replace`."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from resight.errors import DamagedError
from resight.extract import store
from resight.extract.marks import mark_path
from resight.extract.select import nothing
from resight.store import damage, durable
from resight.store.parts import part_files, read_parts, write_part
from resight.store.runs import staging
from resight.store.sealed import read, read_json, write_json
from resight.store.selective import read_columns
from resight.store.workspace import Workspace

TABLE = pa.table({"a": list(range(50)), "b": [f"x{i % 7}" for i in range(50)]})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was synced and renamed, by name, in order."""
    done: list[tuple[str, str]] = []

    def recorded(what: str, original: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            done.append((what, name(*args)))
            return original(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "fsync", recorded("sync", os.fsync, lambda fd: os.readlink(f"/proc/self/fd/{fd}")))
    monkeypatch.setattr(os, "replace", recorded("rename", os.replace, lambda source, target: str(target)))
    return done


def names(calls: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Temporary files go under the name that they get."""
    return [(what, Path(path).name.split(".tmp")[0].lstrip(".").rsplit(".", 1)[0]
             if path.endswith(".tmp") else Path(path).name) for what, path in calls]  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are read from /proc")
def test_a_part_is_on_the_disk_before_and_after_its_name(calls: list[tuple[str, str]], tmp_path: Path) -> None:
    write_part(tmp_path / "new" / "folder", "part", TABLE)
    assert names(calls) == [
        ("sync", tmp_path.name), ("sync", "new"),  # names of the new folders
        ("sync", "part.parquet"), ("rename", "part.parquet"), ("sync", "folder"),
    ]  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are read from /proc")
def test_chunks_come_before_the_mark_of_their_shard_and_marks_before_completion(
    calls: list[tuple[str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "batch.zarr"
    layout = store.Layout(n_rows=2, shard_rows=1, max_keypoints=4, descriptor_dim=2, descriptor_dtype="float32")
    store.create(folder, layout, ["c0", "c1"], {})
    done = [path for what, path in calls if what == "sync"]
    assert calls[-2:] == [("rename", str(folder)), ("sync", str(tmp_path))]
    assert sum(path.endswith("zarr.json") for path in done) == 8
    calls.clear()
    store.write_shard(folder, 1, [nothing((5, 6), 2, "float32")])
    mark = calls.index(("rename", str(mark_path(folder, 1))))
    size = folder / "image_size_wh" / "c"
    named = calls.index(("rename", str(size / "1" / "0")))
    written = [k for k, (what, path) in enumerate(calls) if what == "sync" and path.startswith(str(size / "1" / ".0."))]
    assert len(written) == 1 and written[0] < named < calls.index(("sync", str(size / "1")), named) < mark
    assert {("sync", str(size.parent)), ("sync", str(size))} <= set(calls[:mark]), "names of the new folders"
    assert calls[-1] == ("sync", str(mark_path(folder, 1).parent))
    calls.clear()
    store.complete(folder, {"c0": "lost"})
    assert names(calls) == [("sync", "_COMPLETE.json"), ("rename", "_COMPLETE.json"), ("sync", "batch.zarr")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are read from /proc")
def test_a_run_is_on_the_disk_before_its_name(calls: list[tuple[str, str]], workspace: Workspace) -> None:
    with staging(workspace) as stage:
        stage.write_report("page")
        calls.clear()
        target = stage.commit("2026-06-04-nightly-00000000")
        assert calls == [
            ("sync", str(stage.path / "report.html")), ("sync", str(stage.path)),
            ("rename", str(target)), ("sync", str(workspace.runs)),
        ]  # fmt: skip


def test_no_bit_of_a_part_can_turn_without_notice(tmp_path: Path) -> None:
    whole = write_part(tmp_path / "store" / "match", "part", TABLE)
    data, file = whole.read_bytes(), tmp_path / "turned.parquet"
    for at in range(0, len(data), 3):
        turned = bytearray(data)
        turned[at] ^= 1 << at % 8
        file.write_bytes(bytes(turned))
        try:
            assert read_columns(file, TABLE.schema).equals(TABLE), "a bit of the seal's own name does no harm"
        except DamagedError:
            continue
    assert read_columns(whole, TABLE.schema).equals(TABLE)


def test_a_damaged_part_is_set_aside_with_a_line_in_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "match" / "name"
    write_part(folder, "a", TABLE)
    damage.watch(tmp_path / "store")
    bad = write_part(folder, "b", TABLE)
    bad.write_bytes(bad.read_bytes()[:100])
    assert read_parts(folder, TABLE.schema).equals(TABLE)
    assert [file.name for file in part_files(folder)] == ["a.parquet"]
    (record,) = damage.fresh_records(tmp_path / "store")
    assert record.path == "store/match/name/b.parquet"
    assert (tmp_path / record.kept_as).exists()
    assert record.sentence().startswith(
        "store/match/name/b.parquet was damaged (it is no whole Parquet file); it lies in "
    )
    assert damage.fresh_records(tmp_path / "store") == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": 2, "sha256": "0"}'])
def test_json_that_is_not_what_was_written_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"x\.json"):
        read_json(path)
    path.write_bytes(b'{"a": 3}')  # as earlier versions wrote it
    assert read_json(path) == {"a": 3}


def test_a_chunk_that_is_gone_is_no_zeros(tmp_path: Path) -> None:
    from resight.extract.reader import FeatureReader
    from resight.extract.select import features

    rng = np.random.default_rng(0)
    rows = [features(rng.uniform(0, 9, (4, 2)), rng.normal(size=(4, 2)), rng.uniform(size=4), (10, 10), "float32", rng.uniform(size=4), rng.uniform(size=4)) for _ in range(2)]  # fmt: skip
    folder = tmp_path / "store" / "extract" / "n" / "batch.zarr"
    folder.parent.mkdir(parents=True)
    store.create(folder, store.Layout(2, 1, 4, 2, "float32"), ["c0", "c1"], {})
    for start in (0, 1):
        store.write_shard(folder, start, rows[start : start + 1])
    store.complete(folder, {})
    next((folder / "keypoints" / "c" / "1").rglob("0")).rename(tmp_path / "away")
    reader = FeatureReader(Workspace(tmp_path))
    assert len(reader.load("store/extract/n/batch.zarr", 0)) == 4
    with pytest.raises(DamagedError, match="keypoints"):
        reader.load("store/extract/n/batch.zarr", 1)
    assert store.whole_shards(folder) == {0}, "the other shard stays"


@pytest.mark.parametrize("step", ["write", "sync", "read"])
def test_an_error_of_the_disk_names_the_file(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = write_part(tmp_path / "store" / "match", "part", TABLE)

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def pieces() -> Iterator[bytes]:
        yield b"x"
        fails()

    steps: dict[str, Callable[[], object]] = {
        "write": lambda: durable.write_bytes(part, pieces()),
        "sync": lambda: durable.sync_folder(part.parent),
        "read": lambda: read(part, fails),
    }
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        with pytest.raises(OSError, match="Input/output") as error:
            steps[step]()
    assert error.value.filename == str(part.parent if step == "sync" else part)


def test_what_killed_writers_left_is_cleared_after_an_hour(tmp_path: Path) -> None:
    old, new = tmp_path / "match" / "x" / ".a.parquet.0.tmp", tmp_path / "match" / "x" / ".b.parquet.0.tmp"
    inside = tmp_path / "extract" / "x" / "batch.zarr" / ".c.tmp"
    for file in (old, new, inside, old.with_name("part.parquet")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        if file != new:
            os.utime(file, (0, 0))
    durable.clear_left_over([tmp_path, tmp_path / "not there"])
    assert [file.name for file in sorted(tmp_path.rglob("*")) if file.is_file()] == [".c.tmp", new.name, "part.parquet"]
