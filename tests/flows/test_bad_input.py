"""Bad input is a row, a note or one sentence: hostile names of nights, runs and files."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flow_helpers import SMALL

import resight
from resight.cli.app import main
from resight.errors import ResightError, SettingsError, WorkspaceError
from resight.flows.evaluation import accuracy, run_accuracy
from resight.flows.nightly import nightly, run_nightly
from resight.flows.rebuild import run_rebuild
from resight.flows.redraw import redraw_report
from resight.store.runs import read_current
from resight.store.workspace import Workspace, checked_night, open_workspace

NO_NIGHTS = [
    "../evil",
    "2026-13-99",
    "2026-02-30",
    "20260604",
    "2026-6-4",
    "2026-06-04/..",
    "/tmp/x",
    "2026-06-04\n",
    "٢٠٢٦-٠٦-٠٤",
]
NO_RUNS = ["../../x", "..", ".", ".staging-1", "a/b", "a\\b", "/etc", "", "a\0b", "x" * 300, "a\n"]


def files_of(place: Workspace) -> set[Path]:
    return set(place.root.parent.rglob("*"))


@pytest.mark.parametrize("night", NO_NIGHTS)
def test_a_night_is_a_real_date(night: str, workspace: Workspace) -> None:
    before = files_of(workspace)
    for job in (run_nightly, run_accuracy, nightly.fn, accuracy.fn, run_rebuild):
        with pytest.raises(SettingsError, match="is no date of a night; write it as year, month and day"):
            job(str(workspace.root), night, {"dask": {"mode": "inline"}}, quiet=True)
    assert files_of(workspace) == before
    assert checked_night("2024-02-29") == "2024-02-29"


@pytest.mark.parametrize("run_id", NO_RUNS)
def test_a_run_is_a_folder_of_runs(run_id: str, night_workspace: Workspace) -> None:
    before = files_of(night_workspace)
    for read in (resight.open_run, resight.read_pairs, lambda place, name: redraw_report(place, name, None, True)):
        with pytest.raises(WorkspaceError, match="is no name of a run"):
            read(night_workspace.root, run_id)
    assert files_of(night_workspace) == before


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs a command as the shell does; gives its exit code and what it wrote to stderr."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["resight", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "../../x"), ("nightly", "--night", "../evil"), ("nightly", "--night", "2026-13-99", "--plain"),
        ("accuracy", "--night", "yesterday"), ("rebuild", "--night", "0000-00-00"),
    ],
)  # fmt: skip
def test_commands_answer_in_one_sentence(
    command: Callable[..., tuple[int, str]], workspace: Workspace, arguments: tuple[str, ...]
) -> None:
    code, text = command(*arguments, "-w", workspace.root)
    assert code == 1 and text.startswith("Error: ") and text.count("\n") == 1, text


def test_a_workspace_whose_path_is_not_utf_8_is_refused(
    tmp_path: Path, command: Callable[..., tuple[int, str]]
) -> None:
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9"))
    place.mkdir()
    with pytest.raises(ResightError, match="is not UTF-8"):
        open_workspace(place)
    assert command("nightly", "--plain", "-w", place)[0] == 1


def test_a_night_with_names_that_are_not_utf_8(night_workspace: Workspace) -> None:
    photos = os.fsencode(night_workspace.root / "photos")
    source = next(p for p in night_workspace.root.glob("photos/**/*") if p.suffix.lower() == ".jpg").read_bytes()
    for name, data in ((b"/caf\xe9\n.jpg", source + b"\0"), (b"/\xff\xfe.jpg", b"no picture")):
        with open(photos + name, "wb") as file:
            file.write(data)
    result = run_nightly(night_workspace.root, "2026-06-05", SMALL, quiet=True)
    table = read_current(night_workspace, "photos")
    assert table is not None
    statuses = {row["uri"]: row["status"] for row in table.to_pylist()}
    assert statuses["photos/caf\ufffdE9\n.jpg"] == "ok" and statuses["photos/\ufffdFF\ufffdFE.jpg"] == "rejected"
    assert "\ufffdFF\ufffdFE.jpg" in Path(result["report"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["store", "runs", "models", "generations", "current", "store/match", "resight.toml"])
def test_a_file_in_the_place_of_a_folder_is_one_sentence(
    night_workspace: Workspace, command: Callable[..., tuple[int, str]], name: str
) -> None:
    place = night_workspace.root / name
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
        place.write_text("x")
    else:
        place.unlink()
        place.mkdir() if name == "resight.toml" else place.write_text("x")
    code, text = command("nightly", "--plain", "--night", "2026-06-05", "-w", night_workspace.root)
    errors = [line for line in text.splitlines() if line.startswith("Error: ")]
    assert code == 1 and len(errors) == 1 and str(place) in errors[0] and "Traceback" not in text, text
