"""The night's work from photos to tables, its idempotence, and what happens to bad photos."""

import csv
import json
import re
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flow_helpers import FIRST_NIGHT, SMALL, alike, comparable_tables
from golden import differences

import resight.tasks.publish as publishing
from resight.catalog import TABLES
from resight.catalog import table as catalog_table
from resight.errors import SettingsError, WorkspaceError
from resight.flows.nightly import run_nightly
from resight.flows.rebuild import run_rebuild
from resight.ingest.past import then
from resight.reading import open_generation
from resight.run.models import current_model
from resight.shortlist.store import open_index
from resight.store.attempts import read_attempts
from resight.store.runs import read_current
from resight.store.workspace import Workspace

NOTHING = {"photos_decoded": 0, "crops_cut": 0, "features_computed": 0, "queries_shortlisted": 0, "pairs_matched": 0}


def night(workspace: Workspace, date: str = FIRST_NIGHT, **overrides: Any) -> dict[str, Any]:
    return run_nightly(workspace.root, date, SMALL | overrides, quiet=True)


def test_from_photos_to_verdicts_with_a_page_and_nothing_lost(
    night_workspace: Workspace, night_result: dict[str, Any]
) -> None:
    folder = night_workspace.runs / night_result["run_id"]
    assert {p.name for p in folder.iterdir()} == {
        *(
            f"{t}.parquet"
            for t in (
                "photos",
                "crops",
                "features",
                "pairs",
                "pairs_left_out",
                "scores",
                "identifications",
                "novelty",
                "provisional",
                "identity_draws",
                "runs",
            )
        ),
        "report.html",
    }
    n_photos = len(list((night_workspace.root / "photos").rglob("*.[jJ][pP][gG]")))
    assert night_result["counts"]["ingest"]["files"] == n_photos
    assert sum(night_result["counts"]["photos"]["out"].values()) == n_photos
    assert night_result["work"]["photos_decoded"] == n_photos
    novelty = read_current(night_workspace, "novelty")
    assert novelty is not None and novelty.num_rows == 4
    best = {r["encounter_id"]: r["individual_id"] for r in novelty.to_pylist()}
    truth = {r["encounter_id"]: r["individual_id"] for r in _truth(night_workspace) if r["is_new"] == "false"}
    assert sum(best[e] == who for e, who in truth.items()) >= 2, "rendered turtles are easy"
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert json.loads(json.dumps(night_result, allow_nan=False))["run_id"] == night_result["run_id"]


def test_the_same_night_twice_is_there_once_and_so_is_the_next_night_without_anything_new(
    night_workspace: Workspace, night_result: dict[str, Any]
) -> None:
    again = night(night_workspace)
    assert again["run_id"] == night_result["run_id"]
    assert again["work"] == NOTHING
    assert any("Nothing is new" in note for note in again["notes"])
    tomorrow = night(night_workspace, "2026-06-05")
    assert (tomorrow["run_id"], tomorrow["night"]) == (night_result["run_id"], "2026-06-05")
    assert (
        tomorrow["work"] == NOTHING
        and f"Nothing is new since run {night_result['run_id']}; its tables stay current." in tomorrow["notes"]
    )
    assert len(list(night_workspace.runs.glob("[!.]*"))) == 1
    assert [row["night"] for row in read_attempts(night_workspace)] == [FIRST_NIGHT, FIRST_NIGHT, "2026-06-05"]


def test_a_later_night_has_a_run_of_its_own_where_anything_else_would_come_out(
    night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_current(night_workspace, "runs")
    assert first is not None
    before = first["run_id"][0].as_py()
    assert run_nightly(night_workspace.root, "2026-06-03", SMALL, quiet=True)["run_id"] != before, "an earlier night"
    night(night_workspace)
    drawn = run_nightly(night_workspace.root, "2026-06-05", SMALL | {"report": {"candidates": 1}}, quiet=True)
    assert drawn["run_id"] != before, "another page"
    monkeypatch.setattr(publishing, "_failed", lambda counts: "1 of 2 (match)")
    again = run_nightly(night_workspace.root, "2026-06-06", SMALL | {"report": {"candidates": 1}}, quiet=True)
    assert again["run_id"] not in (before, drawn["run_id"]), "what failed is tried again"
    monkeypatch.undo()
    shutil.rmtree(night_workspace.store / "ingest")
    emptied = run_nightly(night_workspace.root, "2026-06-07", SMALL | {"report": {"candidates": 1}}, quiet=True)
    assert emptied["run_id"].startswith("2026-06-07"), "results may be gone too"
    told = then(night_workspace, date(2026, 6, 8))
    assert (
        run_nightly(night_workspace.root, "2026-06-09", SMALL | {"report": {"candidates": 1}}, quiet=True)["run_id"]
        == emptied["run_id"]
    )
    assert date(2026, 6, 9) not in told.nights and date(2026, 6, 9) in then(night_workspace, date(2026, 6, 9)).nights


def test_one_new_photo_costs_its_own_work_and_no_more(field_workspace: Workspace) -> None:
    inbox = field_workspace.root / "photos"
    held_back = next(iter(sorted((inbox / "survey").rglob("*.[jJ][pP][gG]"), reverse=True)))
    aside = field_workspace.root / held_back.name
    held_back.rename(aside)
    night(field_workspace)
    aside.rename(held_back)
    result = night(field_workspace, "2026-06-05")
    n_gallery = result["counts"]["photos"]["out"]["gallery"]
    assert {k: result["work"][k] for k in ("photos_decoded", "crops_cut", "features_computed")} == {
        "photos_decoded": 1, "crops_cut": 1, "features_computed": 1,
    }  # fmt: skip
    n_queries = result["counts"]["novelty"]["in"]
    assert 0 < result["work"]["pairs_matched"] < n_gallery + n_queries, (
        "with the gallery, and with the other unknown ones"
    )


def test_a_new_label_is_believed_without_computing_the_photo_again(night_workspace: Workspace) -> None:
    file = night_workspace.root / "photos" / "survey" / "metadata.csv"
    query = _truth(night_workspace)[0]
    lines = file.read_text(encoding="utf-8").splitlines()
    header = lines[0].split(",")
    place = header.index("individual_id")
    changed = [_with_label(line, query["file"], place, "Renamed") for line in lines]
    file.write_text("\n".join(changed) + "\n", encoding="utf-8")
    result = night(night_workspace, "2026-06-05")
    photos = read_current(night_workspace, "photos")
    assert photos is not None and "Renamed" in photos["individual_id"].to_pylist()
    assert {k: result["work"][k] for k in ("photos_decoded", "crops_cut", "features_computed")} == {
        "photos_decoded": 0, "crops_cut": 0, "features_computed": 0,
    }  # fmt: skip


def test_bad_photos_are_rows_with_a_reason_and_the_rest_goes_on(field_workspace: Workspace) -> None:
    inbox = field_workspace.root / "photos"
    good = next(inbox.rglob("*.[jJ][pP][gG]"))
    (inbox / "empty.jpg").touch()
    (inbox / "letter.jpg").write_text("Dear turtle,\n")
    (inbox / "cut off.jpg").write_bytes(good.read_bytes()[:5000])
    shutil.copy(good, inbox / "the same again.jpg")
    result = night(field_workspace)
    photos = read_current(field_workspace, "photos")
    assert photos is not None
    rejected = {r["uri"].rsplit("/", 1)[-1]: r for r in photos.to_pylist() if r["status"] == "rejected"}
    assert {name: r["reason"] for name, r in rejected.items()} == {
        "empty.jpg": "empty_file", "letter.jpg": "not_an_image", "cut off.jpg": "truncated",
    }  # fmt: skip
    assert all(name in r["message"] for name, r in rejected.items())
    assert max(photos["n_files"].to_pylist()) == 2
    fates = result["counts"]["photos"]["out"]
    assert fates["empty_file"] == fates["not_an_image"] == fates["truncated"] == 1
    assert sum(fates.values()) == result["counts"]["ingest"]["in"]


def test_inline_and_dask_workers_write_the_same_tables(field_workspace: Workspace, finished_night: Path) -> None:
    night(field_workspace, dask={"mode": "processes", "workers": 2}, pairs={"max_block_pairs": 4})
    one, two = comparable_tables(Workspace(finished_night / "workspace")), comparable_tables(field_workspace)
    assert one.keys() == two.keys()
    for name, table in one.items():
        assert alike(table, two[name]), f"{name}: {differences(table, two[name])}"


def test_the_accepted_model_stays_until_a_rebuild_says_otherwise(night_workspace: Workspace) -> None:
    accepted = current_model(night_workspace)
    assert accepted is not None
    settings = night_workspace.root / "resight.toml"
    text = (
        settings.read_text().replace('kind = "sift"', 'kind = "orb"').replace('kind = "lightglue"', 'kind = "nearest"')
    )
    settings.write_text(re.sub(r'\nweights = "lightglue-sift-turtle-2".*', "", text))
    small = {"dask": SMALL["dask"], "evaluate": {"draws": 30}}
    kept = run_nightly(night_workspace.root, "2026-06-05", small, quiet=True)
    assert kept["model"]["fingerprint"] == accepted.fingerprint
    assert any("resight rebuild" in note for note in kept["notes"])
    with pytest.raises(SettingsError, match="rebuild"):
        night(night_workspace, extract={"kind": "orb"})
    result = run_rebuild(night_workspace.root, "2026-06-05", small, quiet=True)
    assert result["comparison"]["levels"][0]["n"] == 6, "three animals were met twice, and each encounter asks"
    after = current_model(night_workspace)
    assert after is not None
    assert (after.fingerprint != accepted.fingerprint) == result["promoted"] == result["comparison"]["not_worse"]
    runs = read_current(night_workspace, "runs")
    assert runs is not None
    assert (runs["run_id"].to_pylist()[0] == result["run_id"]) == result["promoted"]
    assert (night_workspace.runs / kept["run_id"] / "identifications.parquet").exists(), "old results stay readable"


def test_a_missing_workspace_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="resight init"):
        run_nightly(tmp_path / "nowhere", quiet=True)


def test_an_empty_inbox_is_a_run_with_nothing_in_it(workspace: Workspace) -> None:
    (workspace.root / "photos").mkdir()
    result = run_nightly(workspace.root, "2026-06-04", {"dask.mode": "inline"}, quiet=True)
    assert result["counts"]["ingest"]["in"] == 0
    assert any("No photos" in note for note in result["notes"])


def test_a_second_run_at_the_same_time_is_kept_out(field_workspace: Workspace) -> None:
    with field_workspace.lock(), pytest.raises(WorkspaceError, match="Another run"):
        night(field_workspace)


def test_old_columns_stay_readable_by_plain_parquet_readers(night_workspace: Workspace) -> None:
    for file in night_workspace.current.glob("*.parquet"):
        assert pq.read_table(file).schema.metadata[b"resight_version"] == str(catalog_table(file.stem).version).encode()
        assert not any(pa.types.is_dictionary(f.type) for f in pq.read_table(file).schema)


def _truth(workspace: Workspace) -> list[dict[str, str]]:
    """Query photos with what they really show."""
    rows = {}
    for name in ("metadata", "truth"):
        with (workspace.root / "photos" / "survey" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows[name] = list(csv.DictReader(file))
    asked = {r["file"] for r in rows["metadata"] if not r["individual_id"]}
    return [r for r in rows["truth"] if r["file"] in asked]


def _with_label(line: str, file: str, place: int, name: str) -> str:
    if file not in line:
        return line
    cells = line.split(",")
    cells[place] = name
    return ",".join(cells)


def test_the_views_open_in_duckdb_from_any_folder(
    night_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb = pytest.importorskip("duckdb")
    night(night_workspace, "2026-06-05", report={"candidates": 4})
    monkeypatch.chdir(tmp_path)
    connection = duckdb.connect()
    connection.execute((night_workspace.root / "catalog.sql").read_text(encoding="utf-8"))

    def rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query).fetchall()

    assert len(rows("select * from verdicts")) == 4
    assert rows("select count(*), sum(n_encounters) from known_animals") == [(3, 6)]
    assert rows("select sum(n_encounters), sum(n_confirmed) from sightings_per_month") == [(10, 6)]
    assert sorted(rows("select night, newest_of_night from run_history")) == [
        (date(2026, 6, 4), True),
        (date(2026, 6, 5), True),
    ]
    current = open_generation(night_workspace)
    for table in TABLES:
        n_rows = current.table(table.name).num_rows if current.has(table.name) else 0
        assert rows(f"select count(*) from latest_{table.name}") == [(n_rows,)], table.name
    names = connection.execute("select * from latest_photos").to_arrow_table().schema.names
    assert names == catalog_table("photos").schema.names
    assert rows("select distinct first_night from latest_photos") == [(date(2026, 6, 4),)]
    assert len(rows("select * from verdict_history")) == 8


def test_a_shortlist_asks_a_nights_own_photos_and_says_the_same_as_if_all_were_asked(
    field_workspace: Workspace,
) -> None:
    cut = SMALL | {"shortlist": {"enabled": "on", "k": 2}, "embed": {"enabled": False}}  # with vectors all vote again
    survey, aside = field_workspace.root / "photos" / "survey", field_workspace.root / "later"
    unnamed = sorted({row["file"] for row in _truth(field_workspace)})
    late = [survey / file for file in unnamed[len(unnamed) * 2 // 3 :]]
    aside.mkdir()
    for photo in late:
        photo.rename(aside / photo.name)
    before = run_nightly(field_workspace.root, FIRST_NIGHT, cut, quiet=True)
    for photo in late:
        (aside / photo.name).rename(photo)
    night = run_nightly(field_workspace.root, "2026-06-05", cut, quiet=True)
    assert 0 < night["work"]["queries_shortlisted"] <= 2 * len(late) < before["work"]["queries_shortlisted"]
    tables = comparable_tables(field_workspace)
    kept = list((field_workspace.store / "shortlist").glob("*/asked"))
    assert len(kept) == 2, "the gallery's, and that of animals without a name"
    indexes = [open_index(file.parent) for file in (field_workspace.store / "shortlist").glob("*/*/index.json")]
    assert len({index.name for index in indexes}) == 1, "one codebook for both"
    assert set(indexes[0].crop_ids).isdisjoint(indexes[1].crop_ids) and all(index.crop_ids for index in indexes)
    for folder in kept:
        shutil.rmtree(folder)
    again = run_nightly(field_workspace.root, "2026-06-06", cut | {"report": {"candidates": 4}}, quiet=True)
    assert again["work"]["queries_shortlisted"] > night["work"]["queries_shortlisted"], "now all are asked"
    for name, table in comparable_tables(field_workspace).items():
        assert alike(table, tables[name]), name
