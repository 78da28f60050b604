"""A full disk, a missing permission or too little memory ends a run in one sentence and is no photo's or pair's status."""

from __future__ import annotations

import errno
import importlib
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resight.environment import Environment
from resight.errors import MACHINE, MachineError, machine_error, machine_errors_at, one_line
from resight.ingest.addresses import opened
from resight.ingest.decode import load_rgb
from resight.ingest.files import ingest_fingerprint
from resight.ingest.params import EncounterParams, IngestParams
from resight.ingest.stage import IngestResult, IngestSetup, ingest
from resight.runner.params import DaskParams
from resight.runner.runner import Runner

command_line = importlib.import_module("resight.cli.app")
TROUBLES = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.ENOMEM, errno.EDQUOT, errno.ESTALE]
TROUBLES += [errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.EHOSTDOWN]
Read = Callable[[], IngestResult]


def trouble(number: int, path: str | None = "/mnt/x") -> Exception:
    return MemoryError() if number == errno.ENOMEM else OSError(number, os.strerror(number), path)


@pytest.mark.parametrize("number", MACHINE)
def test_each_is_one_sentence_with_path_and_cure(number: int) -> None:
    sentence = machine_error(trouble(number), "/mnt/x")
    assert sentence is not None
    text = str(pickle.loads(pickle.dumps(sentence)))
    assert (
        text == str(sentence)
        and "/mnt/x" in text
        and text.endswith(", then run the same command again, it does the rest.")
    )
    with pytest.raises(MachineError):
        one_line(trouble(number))


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "no such file"), OSError("truncated"), ValueError("x"), TimeoutError()]
)
def test_other_errors_are_the_things_own(error: Exception) -> None:
    assert machine_error(error) is None and type(error).__name__ in one_line(error)
    with pytest.raises(type(error)), machine_errors_at("/mnt/x"):
        raise error


def test_a_place_is_named_where_the_error_names_none() -> None:
    with pytest.raises(MachineError, match="The disk with /workspace is full"), machine_errors_at("/workspace"):
        raise MachineError(errno.ENOSPC)
    with pytest.raises(MachineError, match="The disk with /mnt/x is full"), machine_errors_at("/workspace"):
        raise trouble(errno.ENOSPC)


def fails(number: int) -> None:
    raise trouble(number)


@pytest.mark.parametrize("number", TROUBLES)
def test_a_blocks_trouble_ends_the_run(number: int) -> None:
    with (
        Runner(DaskParams(mode="inline"), quiet=True) as runner,
        pytest.raises(MachineError, match=r"/mnt/x|memory"),
    ):
        runner.run("test", fails, [number, number])


def test_a_workers_trouble_ends_the_run() -> None:
    with Runner(DaskParams(workers=1), quiet=True) as runner, pytest.raises(MachineError, match="/sys/resight"):
        runner.run("test", os.mkdir, ["/sys/resight", "/sys/resight"])


@pytest.fixture
def read(env: Environment) -> Read:
    """Ingests two photos of the workspace."""
    (env.workspace.root / "photos").mkdir()
    for shade in (40, 80):
        Image.fromarray(np.full((64, 96, 3), shade, np.uint8)).save(env.workspace.root / f"photos/{shade}.jpg")
    setup = IngestSetup(IngestParams(), EncounterParams())
    return lambda: ingest(env, setup, ingest_fingerprint(setup.params), ["photos"], "2026-07-01")


class FailingFile:
    """A file on a disk that fails after the first bytes."""

    def __init__(self, number: int) -> None:
        self._number = number

    def read(self, _: int = -1) -> bytes:
        raise trouble(self._number)


@pytest.mark.parametrize("number", [n for n in TROUBLES if n != errno.EACCES])
def test_trouble_while_a_photo_is_read_is_not_the_photos(
    read: Read, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    from contextlib import contextmanager

    @contextmanager
    def broken(_: str) -> Any:
        yield FailingFile(number)

    monkeypatch.setattr("resight.ingest.block.opened", broken)
    with pytest.raises(MachineError, match=r"/mnt/x|memory"):
        read()


def test_trouble_while_photos_are_listed_is_not_the_photos(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.stat

    def broken(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
        if str(path).endswith((".jpg", ".png")):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return original(path, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", broken)
        with pytest.raises(MachineError, match="input or output error"):
            read()


@pytest.mark.parametrize("rest", ["nothing", "an empty folder"])
def test_photos_whose_folder_vanishes_during_the_run_are_not_unreadable(
    read: Read, env: Environment, monkeypatch: pytest.MonkeyPatch, rest: str
) -> None:
    photos, disk = env.workspace.root / "photos", env.workspace.root / "disk"

    def unmounted(address: str) -> Any:
        if photos.exists() and not disk.exists():
            photos.rename(disk)
            if rest == "an empty folder":
                photos.mkdir()
        return opened(address)

    with monkeypatch.context() as patched:
        patched.setattr("resight.ingest.block.opened", unmounted)
        with pytest.raises(MachineError, match=r"/photos went away; connect it again"):
            read()
    if photos.exists():
        photos.rmdir()
    disk.rename(photos)
    assert {row["status"] for row in read().photos.to_pylist()} == {"ok"}
    (photos / "40.jpg").rename(env.workspace.root / "elsewhere.jpg")
    with pytest.raises(FileNotFoundError), opened(str(photos / "40.jpg")):
        pass  # of one photo alone it is that photo's own


def test_a_folder_that_vanishes_before_heads_are_cut_is_no_photos_status(read: Read, env: Environment) -> None:
    read()
    (env.workspace.root / "photos").rename(env.workspace.root / "disk")
    with pytest.raises(MachineError, match="went away"):
        load_rgb("photos/40.jpg", 100, env.workspace.root)


def test_trouble_while_pixels_are_decoded_is_not_the_photos(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise trouble(errno.EIO)

    monkeypatch.setattr(Image.Image, "load", load)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(MachineError, match="reports an input or output error"):
        read()


def test_a_photo_of_another_user_is_that_photos_status(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(address: str) -> Any:
        if address.endswith("40.jpg"):
            raise PermissionError(errno.EACCES, "Permission denied", address)
        return opened(address)

    monkeypatch.setattr("resight.ingest.block.opened", forbidden)
    rows = {row["uri"]: (row["status"], row["reason"]) for row in read().photos.to_pylist()}
    assert rows == {"photos/40.jpg": ("rejected", "unreadable"), "photos/80.jpg": ("ok", "")}


@pytest.mark.parametrize("number", TROUBLES)
def test_trouble_while_a_part_is_written_is_no_photos_status(
    read: Read, env: Environment, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise trouble(number, None)

    with monkeypatch.context() as patched:
        patched.setattr("pyarrow.parquet.write_table", full)
        with pytest.raises(MachineError) as stop:
            read()
    assert str(env.workspace.root) in str(stop.value)
    assert {row["status"] for row in read().photos.to_pylist()} == {"ok"}, "the next run does the rest"


def test_a_label_file_on_a_failing_disk_ends_the_run(
    read: Read, env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (env.workspace.root / "photos/metadata.csv").write_text("file,individual_id\n40.jpg,Ada\n")
    with monkeypatch.context() as patched:
        patched.setattr("resight.ingest.sidecars.read_bytes", lambda _: fails(errno.EIO))
        with pytest.raises(MachineError):
            read()
    assert read().photos["individual_id"].drop_null().to_pylist() == ["Ada"]


def test_a_pipe_is_no_photo_and_nobody_waits_for_it(read: Read, env: Environment) -> None:
    os.mkfifo(env.workspace.root / "photos/pipe.jpg")
    (row,) = [row for row in read().photos.to_pylist() if row["status"] == "rejected"]
    assert row["reason"] == "unreadable" and "is no file" in row["message"]


@pytest.mark.parametrize("error", [trouble(n) for n in TROUBLES] + [MachineError(errno.ENOSPC, "/mnt/x")], ids=repr)
def test_the_command_line_says_one_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises() -> None:
        raise error

    monkeypatch.setattr(command_line, "app", raises)
    with pytest.raises(SystemExit) as end:
        command_line.main()
    text = capsys.readouterr().err
    assert end.value.code == 1 and text.startswith("Error: ") and text.count("\n") == 1


@pytest.mark.parametrize("verbose", [False, True])
def test_a_disk_that_takes_no_more(tmp_path: Path, verbose: bool) -> None:
    """The real thing: a process that may write no file of more than 2 KiB."""
    photos = tmp_path / "season/photos"
    photos.mkdir(parents=True)
    for shade in range(40):
        Image.fromarray(np.full((64, 96, 3), shade, np.uint8)).save(photos / f"{shade}.jpg")
    command = [sys.executable, "-m", "resight.cli.app", *(["-v"] if verbose else [])]
    uncovered = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # it writes more
    ended = subprocess.run(
        [*command, "ingest", str(photos), "-w", str(tmp_path / "season"), "--set", "dask.mode=inline", "--json"],
        capture_output=True, text=True, timeout=120, check=False, env=uncovered,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)),
    )  # fmt: skip
    assert ended.returncode == 1 and ended.stdout == ""
    error = next(line for line in ended.stderr.splitlines() if line.startswith("Error: "))
    assert "takes no file of that size" in error and str(tmp_path / "season/store/ingest") in error
    assert ("Traceback" in ended.stderr) == verbose
