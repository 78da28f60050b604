"""What is current changes as a whole: readers see one generation, a kill leaves one, and nobody's edit reaches a run."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from resight.catalog import table as catalog_table
from resight.errors import DamagedError, WorkspaceError
from resight.reading import open_generation, open_run
from resight.run.models import Model, current_model, promote
from resight.run.verify import verify
from resight.store import publication
from resight.store.damage import fresh_records, watch
from resight.store.generations import MANIFEST, MEASURED, current_generation, generation_folders
from resight.store.publication import publish_generation
from resight.store.runs import read_current, staging
from resight.store.sealed import write_json
from resight.store.tables import conform
from resight.store.workspace import Workspace

OLD, NEW = "a" * 16, "b" * 16
NIGHT = {"run_id": "r2", "model": NEW}
ACCURACY = {"metric": "top1_photo", "stratum": "all", "value": 0.5, "n": 2, "unit": "share", "protocol": "by hand"}
EVENT = {"event_no": 1, "night": "2026-06-04", "event": "created", "encounter_id": "e"}
HISTORY = {"event_run_id": "r", "provisional_individual_id": "new-1"}

# Publishes on copies of a workspace, and ends at the first, second, third ... operation on files, until it gets through.
KILLED = textwrap.dedent(
    """
    import errno, json, os, shutil, sys
    from pathlib import Path
    from resight.store.publication import publish_generation
    from resight.store.workspace import Workspace

    template, out, arguments, links = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4] == "links"
    CHANGES = {"os.rename", "os.mkdir", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "shutil.copyfile", "os.truncate"}

    def refused(*args, **named):
        raise PermissionError(errno.EPERM, "no links here")

    def publish(place, number):
        left = [number]
        def operation():
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
        def hook(event, args):
            written = event == "open" and isinstance(args[0], (str, os.PathLike)) and args[1] and args[1][0] in "wax"
            if event in CHANGES or written:
                operation()
        os.fsync = lambda descriptor: operation()
        if not links:
            os.symlink = refused
        sys.addaudithook(hook)
        publish_generation(Workspace(place), **arguments)
        os._exit(0)

    status, number = 9, 0
    while status:
        shutil.copytree(template, out / str(number), symlinks=True)
        child = os.fork()
        if not child:
            publish(out / str(number), number)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 9), status
        number += 1
    """
)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "place")


def make_run(place: Workspace, run_id: str, model: str = OLD, measured: bool = False) -> None:
    """A run with some tables, each of which names it."""
    now = datetime.now(UTC)
    row: dict[str, Any] = {field.name: "{}" for field in catalog_table("runs").schema}
    row |= {"flow": "nightly", "night": "2026-06-04", "status": "kept_aside" if measured else "accepted"}
    row |= {"started_at": now, "ended_at": now, "model_fingerprint": model}
    with staging(place) as stage:
        stage.write("runs", conform("runs", [{k: v for k, v in row.items() if k != "run_id"}], run_id))
        stage.write("provisional", conform("provisional", [EVENT | HISTORY], run_id))
        if measured:
            stage.write("accuracy", conform("accuracy", [ACCURACY], run_id))
            stage.write_report(f"accuracy of {run_id}", "accuracy.html")
        stage.write_report(f"page of {run_id}")
        stage.commit(run_id)


def of_before(place: Workspace) -> None:
    """What earlier versions left: a plain folder, and the accepted model beside it."""
    shutil.copytree(place.runs / "r1", place.current)
    write_json(place.models / "current.json", {"fingerprint": OLD})


def published(place: Workspace) -> None:
    publish_generation(place, run_id="r1", model=OLD)


def copied(place: Workspace) -> None:
    """A workspace that was copied by a program that follows links."""
    published(place)
    folder = place.current.resolve()
    place.current.unlink()
    shutil.copytree(folder, place.current)


def state(place: Workspace) -> tuple[str | None, ...]:
    """Run of each current table and page, run and model by the manifest."""
    now = current_generation(place)
    if now is None:
        return (None,)
    runs = [now.table(name)["run_id"][0].as_py() for name in ("runs", "provisional")]
    measured = now.table("accuracy")["run_id"].to_pylist() if now.has("accuracy") else [None]
    page = (now.folder / "report.html").read_text().removeprefix("page of ")
    return (now.run_id, now.model, *runs, page, now.accuracy_run_id, *measured)


def contents(place: Workspace) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in place.current.iterdir() if file.name != MANIFEST}


BEFORE: dict[str, Callable[[Workspace], None]] = {
    "generation": published, "of before": of_before, "copied": copied, "nothing": lambda place: None
}  # fmt: skip
SHORT: list[tuple[str, dict[str, str], str]] = [
    ("generation", NIGHT, "links"),
    ("of before", NIGHT, "links"),
    ("of before", NIGHT, "no links"),
    ("generation", {"accuracy_run_id": "m"}, "links"),
]
LONG: list[tuple[str, dict[str, str], str]] = [
    ("copied", NIGHT, "links"),
    ("nothing", NIGHT, "links"),
    ("generation", NIGHT, "no links"),
    ("nothing", NIGHT, "no links"),
    ("of before", {"accuracy_run_id": "m"}, "links"),
    ("generation", {"model": NEW}, "links"),
    ("of before", {"model": NEW}, "links"),
]


@pytest.mark.kill
@pytest.mark.parametrize(("before", "arguments", "links"), SHORT + (LONG if os.environ.get("RESIGHT_TORTURE") else []))
def test_a_kill_at_any_operation_leaves_the_old_or_the_new_and_the_rerun_ends_equal(
    place: Workspace,
    tmp_path: Path,
    before: str,
    arguments: dict[str, str],
    links: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_run(place, "r1")
    BEFORE[before](place)
    if "run_id" in arguments:
        make_run(place, "r2", NEW)
    make_run(place, "m", measured=True)
    old, out = state(place), tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(place.root), str(out), json.dumps(arguments), links]
    subprocess.run(command, check=True, timeout=100)
    if links != "links":
        monkeypatch.setattr(os, "symlink", _refused)
    places = [Workspace(out / str(number)) for number in range(len(list(out.iterdir())))]
    new, expected = state(places[-1]), contents(places[-1])
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing loses power here
    states = [state(killed) for killed in places]
    assert len(places) > 15 and (new != old or before == "nothing")
    assert set(states) <= {old, new}
    assert states == sorted(states, key=lambda s: s == new), "once it is new it stays new"
    for killed in places:
        publish_generation(killed, **arguments)
        assert (state(killed), contents(killed)) == (new, expected)
        assert killed.current.is_symlink() == (links == "links")
        assert not (killed.models / "current.json").exists()
        assert not list(killed.generations.glob(".*")) and not list(killed.root.glob("current-until*"))


def _refused(*_: Any, **__: Any) -> None:
    raise PermissionError(1, "no links here")


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
    for number in range(80):
        publish_generation(place, run_id=f"r{2 - number % 2}")
    stop.set()
    for reader in readers:
        reader.join()
    assert not mixed
    assert len(seen) > 300 and set(seen) == {"r1", "r2"}


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
