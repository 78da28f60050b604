"""Every kind of export is read back by somebody else's reader or validator."""

import csv
import io
import json
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import frictionless
import geoparquet_validator
import openpyxl
import pyarrow.parquet as pq
import pytest
import shapely
from camtrap_schemas import SCHEMAS
from dwca.read import DwCAReader
from season_rows import RUN_ID, MakeRun, photo, season

from resight.catalog import TABLES
from resight.cli.export import KINDS as HELP
from resight.errors import SettingsError, WorkspaceError
from resight.export import base
from resight.export.base import Wishes
from resight.export.job import export
from resight.export.kinds import KINDS
from resight.export.wildbook import upload_names
from resight.ingest.labels import read_table
from resight.ingest.notes import Notes
from resight.ingest.wildbook import is_wildbook, read_wildbook
from resight.store.workspace import Workspace

LOGGERHEAD = "Caretta caretta"
TERM = "http://rs.tdwg.org/dwc/terms/"


def sheet_rows(file: Path, title: str) -> list[dict[str, Any]]:
    head, *rows = openpyxl.load_workbook(file)[title].iter_rows(values_only=True)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_wildbook_takes_only_confirmed_animals_and_the_names_of_the_photos(published: Workspace) -> None:
    result = export(published, "wildbook", wishes=Wishes(species="loggerhead", with_photos=True))
    folder = Path(result["out"])
    rows = {
        row["Encounter.otherCatalogNumbers"]: row for row in sheet_rows(folder / "bulk-import-001.xlsx", "Encounters")
    }
    assert {e: (r["MarkedIndividual.individualID"], r["Encounter.state"]) for e, r in rows.items()} == {
        "e1": ("Ida", "approved"), "e2": ("Ida", "approved"), "e3": ("Nia", "approved"), "e4": ("Nia", "approved"),
        "e5": (None, "unapproved"), "e6": (None, "unapproved"), "e7": (None, "unapproved"),
    }  # fmt: skip
    assert "Unconfirmed answer of the program: Ida (90.0 %)" in rows["e5"]["Encounter.researcherComments"]
    assert (rows["e1"]["Encounter.genus"], rows["e1"]["Encounter.specificEpithet"]) == ("Caretta", "caretta")
    assert [rows["e1"][f"Encounter.{part}"] for part in ("year", "month", "day", "hour", "minutes")] == [
        2025,
        6,
        14,
        9,
        0,
    ]
    assert rows["e1"]["Encounter.mediaAsset1"] == "a2.JPG" and rows["e2"]["Encounter.mediaAsset1"] is None
    assert (folder / "photos" / "a2.JPG").read_bytes() == b"id-a2"
    assert any("1 of 7 encounters have no date (e7)" in note for note in result["notes"])
    assert any("2 of 7 encounters have no place (e6, e7)" in note for note in result["notes"])


def test_a_wildbook_sheet_is_read_back_by_ingest(published: Workspace) -> None:
    folder = Path(export(published, "wildbook", wishes=Wishes(species=LOGGERHEAD))["out"])
    head, *rows = openpyxl.load_workbook(folder / "bulk-import-001.xlsx")["Encounters"].iter_rows(values_only=True)
    text = io.StringIO()
    csv.writer(text).writerows([head, *rows])
    notes = Notes()
    table = read_table(text.getvalue().encode(), "sheet.csv", notes)
    assert is_wildbook(table[0])
    labels = {entry.names[0]: entry.label for entry in read_wildbook(table, "sheet.csv", notes)}
    assert {name: label.individual_id for name, label in labels.items()} == {
        "a1.JPG": "Ida", "a2.JPG": "Ida", "a3.JPG": "Ida", "a4.JPG": "Nia", "a5.JPG": "Nia", "b1.JPG": None, "b2.JPG": None, "b3.JPG": None,
    }  # fmt: skip
    assert labels["a2.JPG"].taken_at == datetime(2025, 6, 14, 9) and labels["a1.JPG"].place == (37.72, 20.87)
    assert notes.sentences() == ()


def test_names_for_upload_are_plain_and_all_different() -> None:
    row = {"photo_ids": ["1", "2", "3"], "photos": ["dive 4/2.jpg", "dive 5/2.JPG", "Zürich/Schildkröte_#1.heic"]}
    names = upload_names([row])
    assert list(names.values()) == ["2 1.jpg", "2 2.JPG", "Schildkr te 1.heic"]


def test_large_seasons_are_split_and_an_older_sheet_does_not_stay(place: Workspace, make_run: MakeRun) -> None:
    make_run("first", photos=[photo(f"p{k}", f"e{k}", date(2026, 6, 3)) for k in range(201)])
    wishes = Wishes(species=LOGGERHEAD)
    folder = Path(export(place, "wildbook", wishes=wishes)["out"])
    assert [len(sheet_rows(f, "Encounters")) for f in sorted(folder.glob("*.xlsx"))] == [200, 1]
    (folder / "my notes.txt").write_text("mine")
    make_run("second", photos=[photo("p1", "e1", date(2026, 6, 3))])
    export(place, "wildbook", wishes=wishes)
    assert sorted(p.name for p in folder.glob("*")) == [
        ".resight-export.json", "bulk-import-001.xlsx", "my notes.txt", "photos.csv",
    ]  # fmt: skip


def test_a_darwin_core_archive_is_read_by_its_reader(published: Workspace) -> None:
    wishes = Wishes(species=LOGGERHEAD, publisher="Turtle <friends>")
    result = export(published, "dwca", wishes=wishes)
    with DwCAReader(result["out"]) as archive:
        assert archive.descriptor.core.type == f"{TERM}Occurrence" and archive.descriptor.metadata_filename == "eml.xml"
        rows = {
            row.data[f"{TERM}catalogNumber"]: {k.removeprefix(TERM): v for k, v in row.data.items()} for row in archive
        }
        title = archive.metadata.find("dataset/creator/organizationName")
        box = archive.metadata.find("dataset/coverage/geographicCoverage/boundingCoordinates/northBoundingCoordinate")
        assert title.text == "Turtle <friends>" and box.text == "37.72"
    assert {e: r["organismID"] for e, r in rows.items()} == {
        "e1": "Ida", "e2": "Ida", "e3": "Nia", "e4": "Nia", "e5": "", "e6": "", "e7": "",
    }  # fmt: skip
    assert all(("unconfirmed" in r["identificationVerificationStatus"]) == (not r["organismID"]) for r in rows.values())
    assert rows["e5"]["organismRemarks"] == "Unconfirmed answer of the program: Ida (90.0 %)"
    assert [rows[e]["eventDate"] for e in ("e1", "e2", "e7")] == [
        "2025-06-14T09:00:00",
        "2025-07-01T09:00:00+03:00",
        "",
    ]
    assert "not known" in rows["e1"]["eventRemarks"] and rows["e2"]["eventRemarks"] == ""
    assert rows["e1"]["occurrenceID"] == "urn:resight:id-a1" and rows["e1"]["locality"] == "Laganas, east"
    assert any("4 of 7 sightings have a local time without its offset" in note for note in result["notes"])


def test_a_time_zone_fills_what_photos_do_not_say(published: Workspace) -> None:
    wishes = Wishes(species=LOGGERHEAD, time_zone="Europe/Athens", publisher="us")
    result = export(published, "dwca", out=published.root / "elsewhere.zip", wishes=wishes)
    text = zipfile.ZipFile(published.root / "elsewhere.zip").read("occurrence.txt").decode()
    assert text.count("T09:00:00+03:00") == 6
    assert result["notes"] == ["1 of 7 sightings have no date (e7)."]


def test_camtrap_dp_satisfies_its_tables_and_marks_the_machine(published: Workspace) -> None:
    result = export(published, "camtrap-dp", wishes=Wishes(species=LOGGERHEAD))
    folder = Path(result["out"])
    described = json.loads((folder / "datapackage.json").read_text())
    assert {r["name"]: r["schema"].rpartition("/")[2] for r in described["resources"]} == {
        name: f"{name}-table-schema.json" for name in SCHEMAS
    }
    assert all(
        "camtrap-dp/1.0." in address
        for address in [described["profile"], *(r["schema"] for r in described["resources"])]
    )
    checked = described | {"profile": "data-package"}
    checked["resources"] = [r | {"schema": SCHEMAS[r["name"]]} for r in described["resources"]]
    package = frictionless.Package.from_descriptor(checked, basepath=str(folder))
    report = package.validate()
    assert report.valid, report.flatten(["type", "message"])
    rows = {row["eventID"]: row for row in package.get_resource("observations").read_rows()}
    assert set(rows) == {"e1", "e2", "e3", "e4", "e5"}, "e6 has no position, e7 neither position nor day"
    assert (rows["e5"]["classificationMethod"], rows["e5"]["observationTags"]) == ("machine", "unconfirmed|decided")
    assert float(rows["e5"]["classificationProbability"]) == 0.9 and rows["e5"]["individualID"] == "Ida"
    assert (rows["e1"]["classificationMethod"], rows["e1"]["classificationProbability"]) == ("human", None)
    assert (rows["e1"]["eventEnd"] - rows["e1"]["eventStart"]).seconds == 120
    issues = {row["deploymentID"]: row["timestampIssues"] for row in package.get_resource("deployments").read_rows()}
    assert issues == {
        "2025-06-14 Laganas, east": True, "2025-07-01 Dafni": False, "2025-07-02 Laganas, east": True, "2026-06-03 Dafni": False,
    }  # fmt: skip
    assert any("2 of 7 sightings without a day or a position are left out (e6, e7)" in note for note in result["notes"])
    required = {"profile", "created", "contributors", "project", "spatial", "temporal", "taxonomic"}  # of the profile
    assert required <= set(described) and described["temporal"] == {"start": "2025-06-14", "end": "2026-06-03"}
    assert set(described["project"]) >= {
        "title",
        "samplingDesign",
        "captureMethod",
        "individualAnimals",
        "observationLevel",
    }


def test_the_check_of_camtrap_dp_can_fail(published: Workspace) -> None:
    folder = Path(export(published, "camtrap-dp", wishes=Wishes(species=LOGGERHEAD))["out"])
    text = (folder / "observations.csv").read_text().replace("2025-06-14 Laganas, east", "nowhere")
    (folder / "observations.csv").write_text(text.replace(",machine,", ",robot,"))
    resources = [
        {"name": name, "path": f"{name}.csv", "schema": SCHEMAS[name], "format": "csv"}
        for name in ("deployments", "observations")
    ]
    report = frictionless.Package.from_descriptor({"resources": resources}, basepath=str(folder)).validate()
    assert {kind for (kind,) in report.flatten(["type"])} == {"foreign-key", "constraint-error"}


def test_a_workbook_says_what_is_confirmed_and_keeps_text_as_text(place: Workspace, make_run: MakeRun) -> None:
    tables = season()
    tables["photos"] = [*tables["photos"], photo("c", "e9", date(2026, 6, 5), individual_id='=HYPERLINK("x")')]
    make_run(**tables)
    file = Path(export(place, "xlsx")["out"])
    rows = {row["sighting_id"]: row for row in sheet_rows(file, "Sightings")}
    assert [rows[f"e{k}"]["confirmed"] for k in range(1, 8)] == ["yes"] * 4 + ["no"] * 3
    assert rows["e1"]["taken_on"] == datetime(2025, 6, 14) and rows["e1"]["viewpoints"] == "left; right"
    cells = [cell for row in openpyxl.load_workbook(file)["Sightings"].iter_rows() for cell in row]
    assert {cell.data_type for cell in cells if cell.value == '=HYPERLINK("x")'} == {"s"}
    animals = {row["animal"]: row for row in sheet_rows(file, "Animals")}
    assert (animals["Ida"]["sightings"], animals["Ida"]["unconfirmed_sightings"]) == (2, 1)
    assert animals["new-1"]["confirmed"] == "no" and list(animals)[-1] == "new-1"
    assert len(sheet_rows(file, "Photos")) == 9
    meanings = {row["what"]: row["says"] for row in sheet_rows(file, "About")}
    assert meanings["run"] == RUN_ID and set(rows["e1"]) <= set(meanings)


def test_geoparquet_is_valid_and_its_points_are_where_they_should_be(published: Workspace) -> None:
    result = export(published, "geoparquet")
    report = geoparquet_validator.check(result["out"])
    assert geoparquet_validator.conformant(report), geoparquet_validator.failed(report)
    assert sum(outcome["status"] == "pass" for outcome in report["outcomes"]) >= 8
    table = pq.read_table(result["out"])
    points = dict(zip(table["sighting_id"].to_pylist(), shapely.from_wkb(table["geometry"].to_pylist()), strict=True))
    assert (points["e1"].x, points["e1"].y) == (20.87, 37.72) and points["e6"] is None
    assert table["confirmed"].to_pylist() == [True] * 4 + [False] * 3
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0" and geo["columns"]["geometry"]["bbox"] == [20.87, 37.71, 20.96, 37.72]
    assert any("2 of 7 sightings have no position (e6, e7)" in note for note in result["notes"])


def test_a_data_package_describes_every_current_table_as_it_is(published: Workspace) -> None:
    file = Path(export(published, "datapackage")["out"])
    assert file == published.root / "datapackage.json"
    assert list(frictionless.Package.metadata_validate(json.loads(file.read_text()))) == []
    package = frictionless.Package(str(file))
    assert [r.name for r in package.resources] == ["photos", "identifications", "novelty", "runs"]
    tables = {table.name: table for table in TABLES}
    for resource in package.resources:
        assert resource.schema.field_names == [c.name for c in tables[resource.name].columns]
        assert resource.schema.primary_key == list(tables[resource.name].key)
        rows = pq.read_table(published.root / resource.path).to_pylist()
        assert len(rows) == sum(1 for _ in resource.read_rows()) > 0, "its own reader of Parquet finds the file"
        report = frictionless.Resource(data=rows, schema=resource.schema.to_copy()).validate()
        assert report.valid, report.flatten(["type", "message"])
    assert "unconfirmed" in package.get_resource("novelty").description


@pytest.mark.parametrize(
    ("kind", "wishes", "says"),
    [
        ("kml", {}, "no export 'kml'; there are wildbook, dwca"),
        ("xlsx", {"occasion": "day"}, "--occasion does not concern 'xlsx'; it belongs to capture-history"),
        ("dwca", {}, "7 of 7 sightings have no species.*--species"),
        ("wildbook", {"species": "Caretta"}, "have no species"),
        ("dwca", {"species": LOGGERHEAD, "time_zone": "Zakynthos"}, "no time zone; write an offset"),
        ("capture-history", {"occasion": "fortnight"}, "no length of an occasion; write day, month, year"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_one_sentence_with_the_cure(
    published: Workspace, kind: str, wishes: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        export(published, kind, wishes=Wishes(**wishes))
    assert not (published.root / "exports").exists()


def test_nothing_to_export_and_wrong_places_are_said(published: Workspace) -> None:
    with pytest.raises(WorkspaceError, match="has no sighting since 2027-01-01"):
        export(published, "xlsx", since=date(2027, 1, 1))
    with pytest.raises(SettingsError, match="is a folder, and this export is one file"):
        export(published, "xlsx", out=published.root)
    with pytest.raises(SettingsError, match="leave --out away"):
        export(published, "datapackage", out=published.root / "x.json")
    (published.root / "photos" / "e1" / "a1.JPG").unlink()
    with pytest.raises(WorkspaceError, match=r"photos/e1/a1.JPG is gone; put it back"):
        export(published, "wildbook", wishes=Wishes(species=LOGGERHEAD, with_photos=True))


def test_since_leaves_earlier_sightings_out(published: Workspace) -> None:
    assert export(published, "xlsx", since=date(2026, 6, 3))["counts"] == {
        "confirmed": 0, "decided": 1, "provisional": 1, "open": 0,
    }  # fmt: skip


def test_a_missing_package_is_named_with_its_cure(published: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(base.importlib, "import_module", gone)
    with pytest.raises(SettingsError, match=r"openpyxl; install it with: pip install 'resight\[export\]'"):
        export(published, "xlsx")


def test_published_files_tell_nothing_about_this_machine(place: Workspace, make_run: MakeRun) -> None:
    uris = ["/home/ana/turtles/dive 4/2.jpg", "s3://secret-bucket/2026/dive 5/3.jpg?key=1", "photos/.hidden/../4.jpg"]
    at = {"latitude_deg": 1.0, "longitude_deg": 2.0}
    make_run(
        photos=[photo(f"p{k}", "e", date(2026, 6, 3), uri=uri, individual_id="Ida", **at) for k, uri in enumerate(uris)]
    )
    wishes = Wishes(species=LOGGERHEAD)
    with DwCAReader(export(place, "dwca", wishes=wishes)["out"]) as archive:
        assert archive.rows[0].data[f"{TERM}associatedMedia"] == "dive 4/2.jpg | dive 5/3.jpg | photos/.hidden/../4.jpg"
    media = Path(export(place, "camtrap-dp", wishes=wishes)["out"], "media.csv").read_text(encoding="utf-8")
    paths = [row["filePath"] for row in csv.DictReader(io.StringIO(media))]
    assert paths == ["dive 4/2.jpg", "dive 5/3.jpg", "photos/hidden/_/4.jpg"]


@pytest.mark.parametrize("kind", KINDS)
def test_runs_of_an_earlier_version_are_exported(kind: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(__file__).parent.parent / "stores" / "2026-11-28.zip") as archive:
        archive.extractall(tmp_path / "old")
    chosen = Wishes(species=LOGGERHEAD) if "species" in KINDS[kind].heeds else Wishes()
    for run_id in (None, "2026-11-20-nightly-ad832977"):
        result = export(Workspace(tmp_path / "old"), kind, run_id=run_id, wishes=chosen)
        assert result["counts"] == {"confirmed": 6, "decided": 0, "provisional": 4, "open": 0}
        assert all(Path(file).stat().st_size > 0 for file in result["files"])


def test_every_kind_has_a_test_here_and_is_named_in_the_help() -> None:
    assert set(KINDS) == set(HELP.replace(" or ", ", ").split(", "))
    assert set(KINDS) == {"wildbook", "dwca", "camtrap-dp", "capture-history", "xlsx", "geoparquet", "datapackage"}
