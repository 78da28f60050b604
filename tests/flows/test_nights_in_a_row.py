"""Nights with new photos that nobody names: each writes the rows that are new, and the tables are what they would be without parts."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import pyarrow.parquet as pq
import pytest
from flow_helpers import SMALL

from resight.flows.nightly import run_nightly
from resight.reading import open_run
from resight.run.verify import verify
from resight.store import runs
from resight.store.generations import current_generation
from resight.store.workspace import Workspace

LARGE = ("pairs", "scores")


def night(workspace: Workspace, day: int) -> dict[str, Any]:
    return run_nightly(workspace.root, f"2026-06-{day:02d}", SMALL | {"segment": {"kind": "whole"}}, quiet=True)


def new_photo(workspace: Workspace, number: int) -> None:
    """Another photo of an animal, darker than all others, of an encounter of its own without a name."""
    folder = workspace.root / "photos" / "survey"
    picture = cv2.imread(str(folder / "2026-06-03 dafni" / "DSC_0041.JPG"))
    assert picture is not None
    cv2.imwrite(str(folder / f"new-{number}.jpg"), picture // 16 * (14 - number))
    with (folder / "metadata.csv").open("a", encoding="utf-8") as file:
        file.write(f"new-{number}.jpg,,2026-06-{10 + number:02d} 08:00:00,2026-06-{10 + number:02d}-e01,right\n")


def rows_and_written(workspace: Workspace, where: Path) -> dict[str, tuple[int, int]]:
    """Rows of each large table, and rows of those of its files that have no name in an earlier run or generation."""
    earlier = {file.stat().st_ino for file in where.parent.glob("*/*/part-*") if file.parent.parent.name < where.name}
    found = {}
    for name in LARGE:
        sizes = {file: pq.read_metadata(file).num_rows for file in (where / f"{name}.parquet").iterdir()}
        found[name] = (sum(sizes.values()), sum(n for file, n in sizes.items() if file.stat().st_ino not in earlier))
    return found


def test_a_night_writes_what_is_new_and_one_with_a_name_what_has_changed(
    field_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(field_workspace, 9)
    total = dict.fromkeys(LARGE, 0)
    for number in range(6):
        new_photo(field_workspace, number)
        result = night(field_workspace, 10 + number)
        generation = current_generation(field_workspace)
        assert generation is not None
        for where in (field_workspace.runs / result["run_id"], generation.folder):
            found = rows_and_written(field_workspace, where)
            for name, (rows, written) in found.items():
                assert 0 < written == rows - total[name] or not total[name], f"night {number}: {name}"
        total = {name: rows for name, (rows, _) in found.items()}
    assert verify(field_workspace)["ok"]

    last, copy = open_run(field_workspace), Workspace(field_workspace.root.parent / "without parts of before")
    shutil.copytree(field_workspace.root, copy.root, symlinks=True)
    shutil.rmtree(copy.runs / last.run_id)
    shutil.rmtree(copy.generations / "000007")
    copy.current.unlink()
    copy.current.symlink_to("generations/000006")
    with monkeypatch.context() as patched:
        patched.setattr(runs, "_shown", lambda _: None)
        assert night(copy, 15)["run_id"] == last.run_id
    for name in LARGE:
        assert len(list((copy.runs / last.run_id / f"{name}.parquet").iterdir())) == 1
        assert len(list((last.folder / f"{name}.parquet").iterdir())) == 7
        whole, parts = (open_run(p, last.run_id).table(name) for p in (copy, last.workspace))
        assert parts.drop_columns("run_id").equals(whole.drop_columns("run_id")), name

    metadata = field_workspace.root / "photos" / "survey" / "metadata.csv"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace("new-0.jpg,,", "new-0.jpg,Nereus,"))
    named = open_run(field_workspace, night(field_workspace, 20)["run_id"])
    rows, written = rows_and_written(field_workspace, named.folder)["scores"]
    assert 0 < written <= rows == named.table("scores").num_rows
    assert verify(field_workspace)["ok"]
