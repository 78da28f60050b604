"""`catalog.sql` in the corners: moved and copied workspaces, old files, folders with letters that patterns use."""

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resight.catalog import TABLES
from resight.catalog import table as catalog_table
from resight.catalog import views as catalog_views
from resight.catalog.views import home_line, views
from resight.settings.init import VIEWS_FILE, correct_views

OLD_FILES = (
    "SET VARIABLE files = (SELECT list(parse_filename(file)) FROM glob(getvariable('generation') || '/*.parquet'));\n\n"
)
duckdb = pytest.importorskip("duckdb")


def workspace(root: Path, night: date | str = date(2026, 6, 4)) -> Path:
    """A workspace with the two tables that every generation has, and `catalog.sql`."""
    folder = root / "generations" / "000001"
    folder.mkdir(parents=True)
    when = dict.fromkeys(("started_at", "ended_at"), datetime(2026, 6, 4, 1, tzinfo=UTC))
    run = {
        "run_id": "r",
        "flow": "nightly",
        "night": night,
        "status": "accepted",
        "model_fingerprint": "m",
        "work": "{}",
    } | when
    photo = {"run_id": "r", "photo_id": "p", "first_night": night, "status": "ok"}
    for place in (folder, root / "runs" / "r"):
        place.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([run | {"counts": root.name}]), place / "runs.parquet")
        pq.write_table(pa.Table.from_pylist([photo]), place / "photos.parquet")
        pq.write_table(pa.Table.from_pylist([{"run_id": "r", "encounter_id": "e"}]), place / "novelty.parquet")
    (folder / "generation.json").write_text('{"folder": "generations/000001"}')
    (root / "current").symlink_to(folder.relative_to(root))
    (root / VIEWS_FILE).write_text(views(root), encoding="utf-8")
    return root


def ask(root: Path, query: str, before: str = "") -> list[Any]:
    connection = duckdb.connect()
    connection.execute(before + (root / VIEWS_FILE).read_text(encoding="utf-8"))
    return [row[0] for row in connection.execute(query).fetchall()]


def test_a_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = workspace(tmp_path / "Bob's season [20*6]")
    assert ask(root, "select photo_id from latest_photos") == ["p"]
    assert ask(root, "select counts from latest_runs") == [root.name]


def test_tables_of_before_have_the_columns_and_types_of_today(tmp_path: Path) -> None:
    root = workspace(tmp_path / "old", night="2026-06-04")
    assert ask(root, "select first_night from latest_photos") == [date(2026, 6, 4)]
    assert ask(root, "select utc_offset from latest_photos") == [None]
    assert ask(root, "select night from run_history") == [date(2026, 6, 4)]
    assert ask(root, "select count(*) from latest_accuracy") == [0]
    columns = "select column_name from (describe select * from latest_accuracy)"
    assert ask(root, columns) == catalog_table("accuracy").schema.names


def test_a_table_in_parts_is_read_whole_and_one_file_of_before_as_ever(tmp_path: Path) -> None:
    root = workspace(tmp_path / "Bob's season [20*6]")
    row = {"run_id": "r", "query_crop_id": "q", "gallery_crop_id": "g", "score": 0.5}
    assert ask(root, "select count(*) from latest_scores") == [0]
    (root / "current" / "scores.parquet").mkdir()
    for number in (1, 2):
        rows = pa.Table.from_pylist([row | {"gallery_crop_id": f"g{number}"}])
        pq.write_table(rows, root / "current" / "scores.parquet" / f"part-{number}-of-2.parquet")
    pq.write_table(pa.Table.from_pylist([row]), root / "current" / "pairs.parquet")
    assert ask(root, "select gallery_crop_id from latest_scores order by 1") == ["g1", "g2"]
    assert ask(root, "select gallery_crop_id from latest_pairs") == ["g"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_of_before_learns_of_tables_in_parts(tmp_path: Path, end: str) -> None:
    """Also where an editor of Windows has written it again."""
    root = workspace(tmp_path / "old")
    now, file = views(root), root / VIEWS_FILE
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(catalog_views, "TABLES", [replace(table, in_parts=False) for table in TABLES])
        before = views(root)
    start, stop = before.index("SET VARIABLE files"), before.index("-- All tables of the newest")
    before = before[:start] + OLD_FILES + before[stop:] + "-- my own view\n"
    file.write_bytes(before.replace("\n", end).encode())
    (root / "current" / "scores.parquet").mkdir()
    pq.write_table(pa.Table.from_pylist([{"score": 0.5}]), root / "current" / "scores.parquet" / "part-1-of-1.parquet")
    assert ask(root, "select count(*) from latest_scores") == [0]
    correct_views(root)
    assert file.read_text() == now + "-- my own view\n"
    assert ask(root, "select score from latest_scores") == [0.5]


def test_a_moved_workspace_is_read_in_its_folder_and_corrected_by_the_next_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "moved"
    workspace(tmp_path / "here").rename(moved)
    monkeypatch.chdir(moved)
    assert ask(moved, "select photo_id from latest_photos") == ["p"]
    (moved / VIEWS_FILE).write_text((moved / VIEWS_FILE).read_text() + "-- my own view\n")
    correct_views(moved)
    monkeypatch.chdir(tmp_path)
    assert ask(moved, "select photo_id from latest_photos") == ["p"]
    assert (moved / VIEWS_FILE).read_text().endswith("-- my own view\n")


def test_a_copy_is_read_where_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = workspace(tmp_path / "first")
    copy = shutil.copytree(root, tmp_path / "copy", symlinks=True)
    pq.write_table(pa.Table.from_pylist([{"photo_id": "q"}]), copy / "generations" / "000001" / "photos.parquet")
    said = f"SET VARIABLE workspace = '{copy}';\n"
    assert ask(copy, "select photo_id from latest_photos", said) == ["q"]
    correct_views(copy)
    assert home_line(copy) in (copy / VIEWS_FILE).read_text()
    assert ask(copy, "select photo_id from latest_photos") == ["q"]


def test_a_workspace_without_the_file_gets_none(tmp_path: Path) -> None:
    correct_views(tmp_path)
    assert not list(tmp_path.iterdir())
