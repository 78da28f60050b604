"""Tables in parts: two copies of each for good, that of the runs and that of the generations, and every run has all of its rows."""

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from generation_helpers import OLD, make_run

from resight.bucket.publish import publish_to
from resight.errors import DamagedError
from resight.reading import open_generation, open_run
from resight.run.usage import usage
from resight.run.verify import verify
from resight.settings import load_settings
from resight.settings.init import init_workspace
from resight.store import digests, runs, sealed
from resight.store.publication import publish_generation
from resight.store.runs import read_run
from resight.store.workspace import Workspace

PART = "scores.parquet/part-1-of-2.parquet"


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace after two nights, the second of which has one query more."""
    workspace = Workspace(tmp_path / "place")
    init_workspace(workspace.root)
    nights(workspace)
    return workspace


def nights(workspace: Workspace) -> None:
    for run_id, queries in (("r1", "ab"), ("r2", "abc")):
        make_run(workspace, run_id, queries=queries)
        publish_generation(workspace, run_id=run_id, model=OLD)


def flip(file: Path) -> None:
    """Turn a bit on the disk, for all names of the file."""
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.write(data)
    file.chmod(0o444)
    sealed.forget()
    digests.forget()


def rows(workspace: Workspace) -> dict[str, int]:
    counts = {run_id: read_run(workspace, run_id, "scores").num_rows for run_id in ("r1", "r2")}
    return counts | {"current": open_generation(workspace).table("scores").num_rows}


WHOLE = {"r1": 200, "r2": 300, "current": 300}


def test_a_part_has_two_copies_whatever_the_runs(place: Workspace) -> None:
    assert rows(place) == WHOLE
    files = [file for file in place.root.rglob("part-*.parquet") if not file.parent.parent.is_symlink()]
    assert len(files) == 6, "a part, then two, in the runs and in the generations"
    assert len({file.stat().st_ino for file in files}) == 4
    before = open_generation(place)
    publish_generation(place, model="c" * 16)
    now = open_generation(place)
    assert (now.folder / PART).samefile(before.folder / PART)
    assert not (now.folder / PART).samefile(place.runs / "r2" / PART) and verify(place)["ok"]


def test_a_run_stays_whole_when_older_ones_go(place: Workspace) -> None:
    shutil.rmtree(place.runs / "r1")
    assert read_run(place, "r2", "scores").num_rows == 300 and verify(place)["ok"]


def test_a_damaged_part_is_named_and_comes_back_in_all_runs_that_have_it(place: Workspace) -> None:
    flip(place.runs / "r2" / PART)
    with pytest.raises(DamagedError, match=rf"r2/{PART} is damaged .*; run the same night again, or `resight verify"):
        open_run(place, "r2").table("scores")
    report = verify(place)
    names = ["runs/r1/scores.parquet/part-1-of-1.parquet", f"runs/r2/{PART}"]
    assert sorted(row["path"] for row in report["damaged"]) == names
    assert verify(place, repair=True)["repaired"] == 2
    assert rows(place) == WHOLE and verify(place)["ok"]


@pytest.mark.parametrize("name", ["part-1-of-2 (copy).parquet", "part-2-of-5.parquet", "part-4-of-2.parquet"])
def test_what_is_no_part_of_a_table_is_named_and_the_parts_stay(place: Workspace, name: str) -> None:
    """What is called like a part of another table is left to people, who know which of the two is wanted."""
    strange, is_part = place.runs / "r2" / "scores.parquet" / name, "copy" not in name
    strange.write_bytes((strange.parent / "part-1-of-2.parquet").read_bytes())
    with pytest.raises(DamagedError, match=rf"{re.escape(name)} is damaged \(the folder's other files do not count it"):
        read_run(place, "r2", "scores")
    report = verify(place, repair=True)
    (row,) = report["damaged"]
    assert (row["path"], row["repaired"], strange.exists()) == (place.relative(strange), not is_part, is_part)
    assert report["ok"] == verify(place)["ok"] == (not is_part)
    strange.unlink(missing_ok=True)
    assert rows(place) == WHOLE and verify(place)["ok"]


@pytest.mark.parametrize("name", ["part-1-of-2 (copy).parquet", "part-2-of-5.parquet", "part-1-of-1.parquet"])
def test_what_is_no_part_of_a_current_table_is_not_published_and_moved_away(place: Workspace, name: str) -> None:
    folder, address = place.current / "scores.parquet", f"memory://{place.root.parent.name}/place"
    (folder / name).write_bytes((folder / "part-1-of-2.parquet").read_bytes())
    with pytest.raises(DamagedError, match=rf"{re.escape(name)} is damaged .*; move it out of that folder"):
        publish_to(place, address)
    report = verify(place, repair=True)
    (row,) = report["damaged"]
    assert row["path"].endswith(name) and row["repaired"] and report["ok"]
    assert rows(place) == WHOLE and verify(place)["ok"]
    assert publish_to(place, address)["current"]


def test_a_part_of_another_run_under_the_same_name_is_told(place: Workspace) -> None:
    folder = place.runs / "r2" / "scores.parquet"
    (folder / "part-2-of-2.parquet").unlink()
    (folder / "part-2-of-2.parquet").write_bytes((folder / "part-1-of-2.parquet").read_bytes())
    with pytest.raises(DamagedError, match=r"r2/scores.parquet is damaged \(rows stand in two of its parts"):
        read_run(place, "r2", "scores")
    (row,) = verify(place, repair=True)["damaged"]
    assert (row["path"], row["fate"]) == ("runs/r2/scores.parquet", "lost")
    make_run(place, "r2", queries="abc")
    assert rows(place) == WHOLE and verify(place)["ok"], "the same night makes it again"


@pytest.fixture
def made_again(place: Workspace) -> Workspace:
    """The current run was damaged and made again, so that its parts have other rows, and killed before that became current."""
    flip(place.runs / "r2" / PART)
    make_run(place, "r2", queries="abc")
    return place


def test_a_part_comes_back_from_no_part_with_other_rows(made_again: Workspace) -> None:
    gone = open_generation(made_again).folder / PART
    gone.unlink()
    with pytest.raises(DamagedError, match=rf"{PART} is damaged \(it is missing\); no run has a copy"):
        open_generation(made_again).table("scores")
    report = verify(made_again, repair=True)
    (row,) = (row for row in report["damaged"] if row["path"] == made_again.relative(gone))
    assert (row["fate"], row["then"], row["repaired"], report["ok"]) == ("lost", "it is lost", False, False)
    assert not gone.exists()


def test_a_part_of_a_run_comes_back_from_no_part_with_other_rows(made_again: Workspace) -> None:
    gone = made_again.runs / "r2" / "scores.parquet" / "part-2-of-2.parquet"
    gone.unlink()
    report = verify(made_again, repair=True)
    (row,) = (row for row in report["damaged"] if row["path"] == made_again.relative(gone))
    assert (row["fate"], row["repaired"], report["ok"]) == ("lost", False, False)
    with pytest.raises(DamagedError, match=r"r2/scores.parquet/part-2-of-2.parquet is damaged \(it is missing\)"):
        read_run(made_again, "r2", "scores")


def test_a_run_that_was_made_again_becomes_current(made_again: Workspace) -> None:
    publish_generation(made_again, run_id="r2")
    (made_again.runs / "r2" / PART).unlink()
    assert verify(made_again, repair=True)["repaired"]
    assert open_generation(made_again).table("scores").num_rows == read_run(made_again, "r2", "scores").num_rows == 300


def test_a_run_may_go_elsewhere_while_all_is_read(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    check = sealed.check

    def gone(file: Path) -> bool:
        if file.is_relative_to(place.runs / "r2"):
            raise FileNotFoundError(errno.ENOENT, "put elsewhere", str(file))
        return check(file)

    monkeypatch.setattr(sealed, "check", gone)
    assert verify(place)["ok"]


def test_a_run_that_lacks_a_part_is_not_made_current(place: Workspace) -> None:
    make_run(place, "r3", queries="abcd")
    (place.runs / "r3" / "scores.parquet" / "part-2-of-3.parquet").unlink()
    with pytest.raises(DamagedError, match=r"part-2-of-3\.parquet is damaged \(it is missing\)"):
        publish_generation(place, run_id="r3")
    assert open_generation(place).run_id == "r2"
    assert "part-2-of-3" in publish_to(place, "memory://lacking/place")["damaged"][0]


@pytest.mark.parametrize("file", ["scores.parquet/part-1-of-3.parquet", "provisional.parquet", "accuracy.parquet"])
def test_damage_of_a_run_does_not_become_current(place: Workspace, file: str) -> None:
    """A copy of what is damaged would agree with the digest that is written down for it."""
    make_run(place, "r3", queries="abcd", measured=True)
    flip(place.runs / "r3" / file)
    ids = {"accuracy_run_id": "r3"} if file == "accuracy.parquet" else {"run_id": "r3"}
    with pytest.raises(DamagedError, match=rf"r3/{file} is damaged \(its contents"):
        publish_generation(place, **ids)
    assert open_generation(place).run_id == "r2" and open_generation(place).accuracy_run_id is None


@pytest.mark.parametrize("where", ["runs/r2", "current"])
def test_a_part_that_is_gone_comes_back(place: Workspace, where: str) -> None:
    gone = place.root / where / PART
    gone.unlink()
    if where == "current":
        assert rows(place) == WHOLE
        shutil.rmtree(gone.parent)
        gone.parent.write_text("what a file manager left here")
    (damaged,) = {row["path"] for row in verify(place)["damaged"]} - {f"{place.current.resolve().relative_to(place.root.resolve())}/scores.parquet/part-2-of-2.parquet"}  # fmt: skip
    assert damaged.endswith(PART)
    verify(place, repair=True)
    assert rows(place) == WHOLE and verify(place)["ok"]


def test_where_there_are_no_links_copies_follow_and_what_is_there_is_not_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "symlink", refused)
    monkeypatch.setattr(os, "link", refused)
    place = Workspace(tmp_path / "place")
    make_run(place, "r1", queries="ab")
    publish_generation(place, run_id="r1", model=OLD)
    (copy,) = (place.current / "scores.parquet").iterdir()
    inode = copy.stat().st_ino
    make_run(place, "r2", queries="abc")
    publish_generation(place, run_id="r2")
    assert rows(place) == WHOLE and verify(place)["ok"]
    there = sorted((place.current / "scores.parquet").iterdir())
    assert [file.name for file in there] == ["part-1-of-2.parquet", "part-2-of-2.parquet"]
    assert there[0].stat().st_ino == inode
    publish_generation(place, run_id="r1")
    assert [file.name for file in (place.current / "scores.parquet").iterdir()] == ["part-1-of-1.parquet"]


def test_what_runs_share_is_counted_once(place: Workspace) -> None:
    files = [f for room in ("runs", "generations") for f in (place.root / room).rglob("*") if f.is_file()]
    on_disk = {file.stat().st_ino: file.stat().st_size for file in files}
    told = usage(place, load_settings(place.root))
    assert told["bytes"] == sum(row["bytes"] for row in told["items"]) == sum(on_disk.values())
    assert told["files"] == sum(row["files"] for row in told["items"]) == len(on_disk) == len(files) - 2
    of_run = {row["name"]: (row["files"], row["bytes"]) for row in told["items"] if row["where"] == "runs"}
    newest = [f.stat().st_size for f in (place.runs / "r2").rglob("*") if f.is_file()]
    assert of_run["r2"] == (len(newest), sum(newest)), "what runs share counts for the newest of them"


def test_a_bucket_gets_a_part_once(place: Workspace) -> None:
    address = "memory://parts/place"
    first = publish_to(place, address)
    make_run(place, "r3", queries="abcd")
    publish_generation(place, run_id="r3")
    second = publish_to(place, address)
    assert second["uploaded"] == 4, "runs, provisional, the page and the part that is new"
    assert second["uploaded_bytes"] < first["uploaded_bytes"] and not second["damaged"]
    assert publish_to(place, address, check=True)["uploaded"] == 0


def test_a_run_that_was_made_again_leaves_nothing_of_before_in_the_bucket(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = (
        f"memory://{place.root.parent.name}/place",
        f"/{place.root.parent.name}/place/runs/r2/scores.parquet",
    )
    publish_to(place, address)
    assert len(MemoryFileSystem().ls(folder)) == 2
    (place.runs / "r2" / PART).unlink()
    monkeypatch.setattr(runs, "_shown", lambda _: None)
    make_run(place, "r2", queries="abc")
    assert publish_to(place, address)["new_runs"] == ["r2"]
    assert [Path(name).name for name in MemoryFileSystem().ls(folder, detail=False)] == ["part-1-of-1.parquet"]
