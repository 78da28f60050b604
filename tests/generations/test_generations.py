"""What is current changes as a whole: readers see one generation, a kill leaves one, and nobody's edit reaches a run."""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from generation_helpers import OLD, make_run, of_before, state

from resight.errors import DamagedError, WorkspaceError
from resight.reading import open_generation, open_run
from resight.run.models import Model, current_model, promote
from resight.run.verify import verify
from resight.store import publication
from resight.store.damage import fresh_records, watch
from resight.store.generations import MANIFEST, MEASURED, generation_folders
from resight.store.publication import publish_generation
from resight.store.runs import read_current
from resight.store.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "place")


def test_readers_beside_publications_never_mix_two_runs(place: Workspace) -> None:
    for run_id in ("r1", "r2"):
        make_run(place, run_id)
    publish_generation(place, run_id="r1", model=OLD)
    stop, seen, mixed = threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            generation = open_generation(place)
            folder = Path(os.path.realpath(place.current))
            for ids in (
                {generation.run_id, *(generation.table(name)["run_id"][0].as_py() for name in ("runs", "provisional"))},
                {pq.read_table(folder / f"{name}.parquet")["run_id"][0].as_py() for name in ("runs", "provisional")}
                | {(folder / "report.html").read_text().removeprefix("page of ")},
            ):
                seen.append(next(iter(ids)))
                mixed.extend([ids] if len(ids) > 1 else [])

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    number = 0
    while number < 40 or len(seen) < 300:  # the test's own time limit ends it, should nobody read
        publish_generation(place, run_id=f"r{2 - number % 2}")
        number += 1
    stop.set()
    for reader in readers:
        reader.join()
    assert not mixed
    assert set(seen) == {"r1", "r2"}


def test_a_reader_keeps_the_generation_that_it_opened(place: Workspace) -> None:
    make_run(place, "r1")
    publish_generation(place, run_id="r1", model=OLD)
    opened = open_generation(place)
    make_run(place, "r2")
    publish_generation(place, run_id="r2")
    assert open_run(place).run_id == open_generation(place).run_id == "r2"
    assert opened.table("runs")["run_id"].to_pylist() == ["r1"]
    with pytest.raises(WorkspaceError, match="no current table 'crops'"):
        opened.table("crops")


def test_generations_stay_for_an_hour_and_the_last_two_for_good(place: Workspace) -> None:
    make_run(place, "r1")
    make_run(place, "r2")
    for number in range(6):
        publish_generation(place, run_id=f"r{1 + number % 2}", model=OLD)
    names = [folder.name for folder in generation_folders(place)]
    assert names == [f"{n:06d}" for n in range(1, 7)], "each was replaced less than an hour ago"
    for folder in generation_folders(place)[:5]:
        written = (folder / MANIFEST).stat().st_mtime - publication.KEPT_FOR_S - 1
        os.utime(folder / MANIFEST, (written, written))
    publish_generation(place, run_id="r1")
    assert [folder.name for folder in generation_folders(place)] == [*names[4:], "000007"]


def test_publishing_what_is_current_changes_nothing(place: Workspace) -> None:
    make_run(place, "r1")
    first = publish_generation(place, run_id="r1", model=OLD)
    assert publish_generation(place, run_id="r1", model=OLD) == first
    assert len(generation_folders(place)) == 1


def test_accuracy_is_one_switch_and_outlives_the_next_night(place: Workspace) -> None:
    make_run(place, "r1")
    make_run(place, "m", measured=True)
    publish_generation(place, run_id="r1", model=OLD)
    before = place.current.resolve()
    publish_generation(place, accuracy_run_id="m")
    assert not list(before.glob("accuracy*")), "the generation before is as it was"
    make_run(place, "r2")
    publish_generation(place, run_id="r2")
    now = open_generation(place)
    assert (now.run_id, now.accuracy_run_id, now.model) == ("r2", "m", OLD)
    assert now.table("accuracy")["run_id"].to_pylist() == ["m"]
    assert {name: now.table(name).num_rows for name in MEASURED} == dict.fromkeys(MEASURED, 0) | {"accuracy": 1}


def test_truncating_a_current_table_leaves_its_run_whole_and_it_comes_back(place: Workspace) -> None:
    make_run(place, "r1")
    publish_generation(place, run_id="r1", model=OLD)
    source, current = place.runs / "r1" / "runs.parquet", place.current / "runs.parquet"
    whole = source.read_bytes()
    assert current.stat().st_mode & 0o777 == 0o444 and current.stat().st_ino != source.stat().st_ino
    current.chmod(0o644)
    with current.open("r+b") as file:
        file.truncate(10)
    assert source.read_bytes() == whole
    table = read_current(place, "runs")
    assert table is not None and table["run_id"].to_pylist() == ["r1"]
    assert current.read_bytes() == whole and verify(place)["ok"]


def test_a_table_that_somebody_replaced_is_no_current_table(place: Workspace) -> None:
    make_run(place, "r1")
    make_run(place, "r2")
    publish_generation(place, run_id="r1", model=OLD)
    (place.current / "runs.parquet").unlink()
    shutil.copy(place.runs / "r2" / "runs.parquet", place.current / "runs.parquet")
    assert open_generation(place).table("runs")["run_id"].to_pylist() == ["r1"]


def test_a_run_comes_back_for_reading_only(place: Workspace) -> None:
    make_run(place, "r1")
    publish_generation(place, run_id="r1", model=OLD)
    file = place.runs / "r1" / "runs.parquet"
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(whole[:-50] + bytes(50))
    assert verify(place, repair=True)["repaired"] == 1
    assert file.read_bytes() == whole and file.stat().st_mode & 0o777 == 0o444


def test_damage_in_a_run_is_not_made_current(place: Workspace) -> None:
    make_run(place, "r1")
    make_run(place, "m", measured=True)
    publish_generation(place, run_id="r1", model=OLD)
    for file in (place.runs / "r1" / "runs.parquet", place.current.resolve() / "runs.parquet"):
        file.unlink()
        file.write_bytes(b"PAR1")
    with pytest.raises(DamagedError, match=r"runs\.parquet"):
        publish_generation(place, accuracy_run_id="m")
    assert open_generation(place).accuracy_run_id is None


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_bytes(b"{}"), lambda path: path.write_bytes(b"")]
)
def test_a_manifest_comes_back_from_the_tables_and_that_is_said(
    place: Workspace, damage: Callable[[Path], Any]
) -> None:
    make_run(place, "r1")
    publish_generation(place, run_id="r1", model=OLD)
    before = open_generation(place)
    (before.folder / MANIFEST).chmod(0o644)
    damage(before.folder / MANIFEST)
    watch(place.store)
    assert not verify(place)["stages"]["current"]["whole"]
    assert not (before.folder / MANIFEST).exists() or (before.folder / MANIFEST).stat().st_size < 3, "verify only looks"
    after = open_generation(place)
    assert (after.run_id, after.model, dict(after.files)) == (before.run_id, before.model, dict(before.files))
    assert any("generation.json was" in record.sentence() for record in fresh_records(place.store))
    assert open_generation(place) == after


def test_a_lost_link_is_the_newest_generation(place: Workspace) -> None:
    make_run(place, "r1")
    publish_generation(place, run_id="r1", model=OLD)
    place.current.unlink()
    assert state(place)[:2] == ("r1", OLD)
    publish_generation(place, run_id="r1")
    assert place.current.is_symlink() and len(generation_folders(place)) == 1


def test_a_model_is_accepted_before_any_night_and_the_name_of_before_goes(place: Workspace) -> None:
    model = Model(OLD, {}, {})
    promote(place, model)
    assert current_model(place) == model and read_current(place, "photos") is None
    assert open_generation(place).run_id is None
    with pytest.raises(WorkspaceError, match="no run yet"):
        open_run(place)


def test_what_somebody_kept_in_a_folder_of_before_is_not_removed(place: Workspace) -> None:
    make_run(place, "r1")
    of_before(place)
    (place.current / "my notes.txt").write_text("mine")
    publish_generation(place, run_id="r1")
    assert [file.read_text() for file in place.root.glob("current-until-*/my notes.txt")] == ["mine"]
    assert place.current.is_symlink() and state(place)[:2] == ("r1", OLD)


def test_a_damaged_table_without_rows_comes_back_with_the_next_night(place: Workspace) -> None:
    make_run(place, "r1")
    make_run(place, "m", measured=True)
    publish_generation(place, run_id="r1", model=OLD)
    publish_generation(place, accuracy_run_id="m")
    for name in ("changes", "accuracy"):
        file = place.current / f"{name}.parquet"
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:50])
    make_run(place, "r2")
    publish_generation(place, run_id="r2")
    now = open_generation(place)
    assert {name: now.table(name).num_rows for name in MEASURED} == dict.fromkeys(MEASURED, 0) | {"accuracy": 1}


def test_a_link_that_fails_is_named_with_its_whole_path(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(target: object, link: object, *_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error", str(target), None, str(link))

    make_run(place, "r1")
    monkeypatch.setattr(os, "symlink", fails)
    with pytest.raises(OSError, match="Input/output") as error:
        publish_generation(place, run_id="r1", model=OLD)
    assert str(error.value.filename).startswith(str(place.generations))
