"""The table that all exports are made from: who, when, where, how certain."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image
from season_rows import RUN_ID, photo, verdict

import resight
from resight.catalog import SIGHTINGS
from resight.export.clocks import offset_at
from resight.export.sightings import read_sightings, scientific_name, sighting_rows
from resight.ingest.labels import read_metadata, read_table
from resight.ingest.notes import Notes
from resight.store.workspace import Workspace


def rows_of(place: Workspace) -> dict[str, dict[str, Any]]:
    return {row["sighting_id"]: row for row in read_sightings(place).to_pylist()}


def test_every_usable_encounter_is_a_row_and_says_how_certain_it_is(published: Workspace) -> None:
    table = resight.read_sightings(published)
    assert table.schema.equals(SIGHTINGS.schema) and set(table["run_id"].to_pylist()) == {RUN_ID}
    assert table["sighting_id"].to_pylist() == ["e1", "e2", "e3", "e4", "e5", "e6", "e7"], "by day; without one last"
    rows = rows_of(published)
    assert [(r["individual_id"], r["certainty"], r["probability"]) for r in rows.values()] == [
        ("Ida", "confirmed", None), ("Ida", "confirmed", None), ("Nia", "confirmed", None), ("Nia", "confirmed", None),
        ("Ida", "decided", 0.9), ("new-1", "provisional", None), (None, "open", None),
    ]  # fmt: skip
    assert (rows["e6"]["best_candidate_id"], rows["e6"]["p_new"]) == ("Nia", 0.8)
    assert rows["e1"]["viewpoints"] == ["left", "right"] and rows["e7"]["viewpoints"] == []
    assert rows["e1"]["photos"] == ["photos/e1/a1.JPG", "photos/e1/a2.JPG"] and rows["e1"]["n_photos"] == 2
    assert [rows[e]["site"] for e in ("e1", "e2", "e6")] == ["Laganas, east", "Dafni", None]
    assert [rows[e]["utc_offset"] for e in ("e1", "e2")] == [None, "+03:00"]


def test_a_verdict_that_is_not_known_here_names_nobody() -> None:
    rows = sighting_rows([photo("a", "e", None)], [verdict("e", "some day", individual_id="Ida", probability=1.0)], "r")
    assert (rows[0]["certainty"], rows[0]["individual_id"], rows[0]["best_candidate_id"]) == ("open", None, "Ida")


def test_an_encounter_with_two_names_is_two_sightings() -> None:
    day = date(2026, 6, 3)
    names = ("Ida", "Nia", None)
    rows = sighting_rows([photo(f"p{k}", "e", day, individual_id=name) for k, name in enumerate(names)], [], "r")
    assert [(r["sighting_id"], r["individual_id"], r["n_photos"]) for r in rows] == [
        ("e/Ida", "Ida", 1), ("e/Nia", "Nia", 1), ("e/without a name", None, 1),
    ]  # fmt: skip


def test_the_offset_of_the_camera_is_read_where_exif_gives_the_same_time(published: Workspace) -> None:
    details = {ExifTags.Base.DateTimeOriginal: "2025:06:14 09:00:00", ExifTags.Base.OffsetTimeOriginal: "+02:30"}
    for name in ("e1/a1", "e3/a4"):  # a4 was taken on another day, by its label: the camera's clock was wrong
        picture = Image.new("RGB", (64, 64))
        exif = picture.getexif()
        exif.get_ifd(ExifTags.IFD.Exif).update(details)
        picture.save(published.root / "photos" / f"{name}.JPG", exif=exif)
    rows = rows_of(published)
    assert [rows[e]["utc_offset"] for e in ("e1", "e2", "e3")] == ["+02:30", "+03:00", None]
    assert read_sightings(published, exif_offsets=False)["utc_offset"].to_pylist()[0] is None


@pytest.mark.parametrize(
    ("zone", "offset"),
    [("+3", "+03:00"), ("UTC-0330", "-03:30"), ("Z", "+00:00"), ("-10:00", "-10:00"), ("Europe/Athens", "+03:00")],
)
def test_time_zones_as_people_write_them(zone: str, offset: str) -> None:
    assert offset_at(zone, datetime(2026, 6, 3, 9)) == offset


@pytest.mark.parametrize("zone", ["+25", "Zakynthos", "../etc", ""])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match=r"no (time zone|offset)"):
        offset_at(zone, datetime(2026, 6, 3, 9))


def test_an_offset_behind_a_time_is_kept_and_a_column_of_that_name_counts_more() -> None:
    text = "file,taken_at,utc_offset\na.png,2026-06-03T09:00:00+03:00,\nb.png,2026-06-03 09:00 Z,+02:00\nc.png,2026-06-03 09:00,\n"
    notes = Notes()
    labels = [
        entry.label for entry in read_metadata(read_table(text.encode(), "metadata.csv", notes), "metadata.csv", notes)
    ]
    assert {label.taken_at for label in labels} == {datetime(2026, 6, 3, 9)} and notes.sentences() == ()
    assert [label.extra.get("utc_offset") for label in labels] == ["+03:00", "+02:00", None]


def test_common_names_of_sea_turtles_become_scientific_ones() -> None:
    names = ["Loggerhead", "green sea turtle", "Kemp's ridley", "Caretta_caretta", "Emys  orbicularis"]
    assert [scientific_name(name) for name in names] == [
        "Caretta caretta", "Chelonia mydas", "Lepidochelys kempii", "Caretta caretta", "Emys orbicularis",
    ]  # fmt: skip


def test_without_a_run_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(resight.WorkspaceError, match="resight nightly"):
        resight.read_sightings(tmp_path)
