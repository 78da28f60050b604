"""Names from folders, tables and workbooks: what is understood, and that nothing counts before it is agreed to."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resight.cli.app import app
from resight.decisions.importing import look, take_over
from resight.errors import SettingsError, WorkspaceError
from resight.store.workspace import Workspace

ENDINGS = (".jpg",)


def photos(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"photo")
    return folder


def test_folders_name_animals_but_for_those_that_look_like_something_else(workspace: Workspace) -> None:
    names = ("Leo/1.jpg", "Leo/2.jpg", "Leo/dive 2/3.jpg", "Mia #2/1.jpg", "new2019/1.jpg", "2021-06-04/1.jpg", "unknown/1.jpg", "top.jpg")  # fmt: skip
    folder = photos(workspace.root / "archive", *names)
    found = look(workspace, folder, ENDINGS, ["Léo"])
    assert found.animals == {"Leo": 3, "Mia #2": 1} and found.n_photos == 8
    assert set(found.left_out) == {"new2019", "2021-06-04", "unknown"}
    said = " ".join(found.doubts)
    assert "new2019 looks like a date" in said and "did you mean Léo?" in said
    assert look(workspace, folder, ENDINGS, [], keep=["new2019"]).animals["new2019"] == 1


def test_what_is_taken_over_is_read_by_every_run_and_never_written_over(workspace: Workspace) -> None:
    folder = photos(workspace.root / "archive", "Leo/1.jpg", "Mia, the big/ü 2.jpg")
    target = take_over(folder, look(workspace, folder, ENDINGS, []))
    with target.open(newline="", encoding="utf-8") as file:
        rows = {row["file"]: row["individual_id"] for row in csv.DictReader(file)}
    assert rows == {"Leo/1.jpg": "Leo", "Mia, the big/ü 2.jpg": "Mia, the big"}
    again = look(workspace, folder, ENDINGS, [])
    assert again.kind == "metadata.csv" and again.animals == {"Leo": 1, "Mia, the big": 1}
    with pytest.raises(SettingsError, match="there already"):
        take_over(folder, again)


def test_tables_and_workbooks_are_read(workspace: Workspace) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs resight[export]")
    folder = photos(workspace.root / "archive", "a.jpg", "b.jpg", "c.jpg")
    book = openpyxl.Workbook()
    for line in (
        ["File", "Turtle_ID", "Date"],
        ["a.jpg", "Leo", "2019-07-02"],
        ["b.jpg", "Leo", None],
        [None, None, None],
    ):
        book.active.append(line)
    book.save(folder / "our turtles.xlsx")
    found = look(workspace, folder, ENDINGS, [])
    assert found.kind == "our turtles.xlsx" and found.animals == {"Leo": 2}
    assert found.entries["a.jpg"]["taken_at"] == "2019-07-02"
    (folder / "wildbook.csv").write_text("Encounter.mediaAsset0,Encounter.individualID\nc.jpg,Mia\n")
    assert look(workspace, folder, ENDINGS, []).animals == {"Leo": 2, "Mia": 1}
    (folder / "broken.xlsx").write_bytes(b"no workbook")
    assert "broken.xlsx" in " ".join(look(workspace, folder, ENDINGS, []).doubts)


def test_an_export_of_seaturtleid_is_read(workspace: Workspace) -> None:
    folder = photos(workspace.root / "archive", "images/t001/a.jpg", "images/t002/b.jpg")
    table = "id,path,identity,date,orientation\n1,images/t001/a.jpg,t001,2010-07-02,left\n2,images/t002/b.jpg,t002,2011-07-02,right\n"
    (folder / "metadata_splits.csv").write_text(table)
    found = look(workspace, folder, ENDINGS, [])
    assert found.animals == {"t001": 1, "t002": 1} and found.entries["images/t001/a.jpg"]["viewpoint"] == "left"


def test_the_command_asks_before_it_counts(workspace: Workspace) -> None:
    folder = photos(workspace.root / "archive", "Leo/1.jpg", "Leo/2.jpg", "Mia/1.jpg")
    command = ["import", str(folder), "-w", str(workspace.root)]
    said = CliRunner().invoke(app, command, input="n\n")
    assert "2 animals, 3 photos" in said.output and "Nothing was written" in said.output
    assert not (folder / "metadata.csv").exists()
    assert CliRunner().invoke(app, command, input="y\n").exit_code == 0 and (folder / "metadata.csv").exists()
    with pytest.raises(WorkspaceError, match="no photos"):
        look(workspace, photos(workspace.root / "empty", "x.txt"), ENDINGS, [])


def test_a_folder_may_be_named_by_any_path_to_it(workspace: Workspace) -> None:
    photos(workspace.root / "archive", "Leo/1.jpg")
    roundabout = workspace.root / "archive" / ".." / "archive"
    take_over(roundabout, look(workspace, roundabout, ENDINGS, []))
    assert look(workspace, roundabout, ENDINGS, []).animals == {"Leo": 1}


def test_a_folder_that_no_run_reads_is_said_and_nothing_is_promised(workspace: Workspace) -> None:
    places = (workspace.root / "photos" / "archive", workspace.root, workspace.root.parent / "elsewhere")
    for place, is_read in zip(places, (True, False, False), strict=True):
        command = ["import", str(photos(place, "Leo/1.jpg")), "-w", str(workspace.root), "--yes"]
        said = " ".join(CliRunner().invoke(app, command).output.split())
        assert ("No run reads" in said) != is_read and ("counts them" in said) == is_read
