"""What people write into label files, in all the ways in which they write it."""

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resight.ingest.stage import IngestResult
from resight.ingest.values import parse_coordinates, parse_role, parse_viewpoint, parse_when
from resight.store.workspace import Workspace

Rows = dict[str, dict[str, Any]]


@pytest.fixture
def survey(workspace: Workspace, read_photos: Callable[..., IngestResult]) -> Callable[..., tuple[Rows, IngestResult]]:
    """Makes photos with the given names and label files with the given text, ingests, gives rows by uri below ``photos/``."""

    def make(names: list[str], files: dict[str, str | bytes], same: tuple[str, ...] = ()) -> tuple[Rows, IngestResult]:
        root = workspace.root / "photos"
        for i, name in enumerate(names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shade = 0 if name in same else 5 + i
            Image.fromarray(np.full((64, 96, 3), shade, np.uint8)).save(root / name, "PNG")
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        result = read_photos("photos")
        return {uri.removeprefix("photos/"): row for row in result.photos.to_pylist() for uri in row["uris"]}, result

    return make


def column(rows: Rows, name: str) -> dict[str, Any]:
    return {uri: row[name] for uri, row in rows.items()}


def test_all_columns_and_the_unknown_ones(survey: Callable) -> None:
    text = (
        "file,individual_id,taken_at,encounter_id,viewpoint,role,latitude_deg,longitude_deg,Observer,depth\n"
        "a.jpg, Ada ,2010-07-02 14:07:16,dive 7,L,queries,37.72,20.87,Zoë,\n"
    )
    rows, result = survey(["a.jpg"], {"metadata.csv": text})
    row = rows["a.jpg"]
    assert (row["individual_id"], row["encounter_id"], row["viewpoint"], row["role"]) == (
        "Ada",
        "dive 7",
        "left",
        "query",
    )
    assert (row["taken_at"], row["taken_on"]) == (datetime(2010, 7, 2, 14, 7, 16), date(2010, 7, 2))
    assert (row["latitude_deg"], row["longitude_deg"], row["extra"]) == (37.72, 20.87, '{"observer": "Zoë"}')
    assert result.notes == ()


@pytest.mark.parametrize("missing", ["", "NA", "n/a", "none", "NULL", "Unknown", " ? ", "nan"])
def test_no_name_is_no_animal(survey: Callable, missing: str) -> None:
    rows, result = survey(["a.jpg"], {"metadata.csv": f"file,individual_id,viewpoint\na.jpg,{missing},{missing}\n"})
    assert (rows["a.jpg"]["individual_id"], rows["a.jpg"]["viewpoint"], result.notes) == (None, "unknown", ())


@pytest.mark.parametrize(
    "data",
    [
        "\ufefffile;individual_id;latitude_deg;longitude_deg\r\nday 1\\a.jpg;Zoë;37,5;20,25\r\n".encode(),
        "file\tindividual_id\tlatitude_deg\tlongitude_deg\nDAY 1/A.JPG\tZoë\t37.5\t20.25\n".encode("utf-16"),
        'FILE,Individual_ID,latitude_deg,longitude_deg\n"./day 1/a.jpg",Zoë,37.5,20.25\n\n'.encode(),
        "file,individual_id,latitude_deg,longitude_deg\na.jpg,Zoë,37.5,20.25\n".encode("cp1252"),
    ],
    ids=["excel semicolon", "utf-16 tab", "quoted", "windows-1252"],
)
def test_separators_encodings_and_spelling_of_paths(survey: Callable, data: bytes) -> None:
    rows, _ = survey(["day 1/a.jpg"], {"metadata.csv": data})
    row = rows["day 1/a.jpg"]
    assert (row["individual_id"], row["latitude_deg"], row["longitude_deg"]) == ("Zoë", 37.5, 20.25)


def test_paths_count_from_the_folder_of_the_table(survey: Callable) -> None:
    tables = {
        "x/metadata.csv": "file,individual_id\nin/a.jpg,Ada\n",
        "y/metadata.csv": "file,individual_id\nin/a.jpg,Bea\n",
    }
    rows, result = survey(["x/in/a.jpg", "y/in/a.jpg"], tables)
    assert column(rows, "individual_id") == {"x/in/a.jpg": "Ada", "y/in/a.jpg": "Bea"}
    assert result.notes == ()


def test_export_from_another_machine(survey: Callable) -> None:
    text = "file,individual_id\nD:\\season\\2010\\a.jpg,Ada\nD:\\season\\2011\\a.jpg,Bea\n"
    rows, result = survey(["2010/a.jpg", "2011/a.jpg"], {"metadata.csv": text})
    assert column(rows, "individual_id") == {"2010/a.jpg": "Ada", "2011/a.jpg": "Bea"}
    assert result.notes == ()


def test_a_label_never_moves_to_a_file_of_the_same_name_in_another_folder(survey: Callable) -> None:
    text = "file,individual_id\n2010/a.jpg,Ada\n2012/b.jpg,Bea\n"
    rows, result = survey(["2011/a.jpg", "2012/b.jpg"], {"metadata.csv": text})
    assert column(rows, "individual_id") == {"2011/a.jpg": None, "2012/b.jpg": "Bea"}
    assert "1 entries name photos that are not there (2010/a.jpg)" in result.notes[0]


def test_folders_are_taken_off_all_names_alike_but_never_the_last_one(survey: Callable) -> None:
    text = "file,individual_id\nD:/x/2010/a.jpg,Ada\n2009/b.jpg,Bea\n"
    rows, _ = survey(["2010/a.jpg", "2011/b.jpg"], {"metadata.csv": text})
    assert column(rows, "individual_id") == {"2010/a.jpg": "Ada", "2011/b.jpg": None}


def test_names_that_fit_no_photo_or_several(survey: Callable) -> None:
    lines = [f"gone{i}.jpg,Ada" for i in range(9)]
    rows, result = survey(
        ["x/a.jpg", "y/a.jpg"], {"metadata.csv": "\n".join(["file,individual_id", "a.jpg,Ada", *lines])}
    )
    assert column(rows, "individual_id") == {"x/a.jpg": None, "y/a.jpg": None}
    assert any(
        "9 entries name photos that are not there (gone0.jpg" in note and "and 4 more" in note for note in result.notes
    )
    assert any("fit several photos" in note and "a.jpg" in note for note in result.notes)


def test_equal_photos_with_different_names_stay_unlabelled(survey: Callable) -> None:
    text = "file,individual_id,viewpoint\na.jpg,Ada,left\nb.jpg,Bea,left\nc.jpg,Cleo,\n"
    rows, result = survey(["a.jpg", "b.jpg", "c.jpg"], {"metadata.csv": text}, same=("a.jpg", "b.jpg"))
    assert column(rows, "individual_id") == {"a.jpg": None, "b.jpg": None, "c.jpg": "Cleo"}
    assert rows["a.jpg"]["viewpoint"] == "left"
    assert rows["a.jpg"]["n_files"] == 2
    assert "different values of individual_id" in result.notes[0]
    assert "Ada / Bea" in result.notes[0]


def test_equal_photos_share_what_one_of_them_is_told(survey: Callable) -> None:
    rows, result = survey(
        ["a.jpg", "b.jpg"], {"metadata.csv": "file,individual_id\nb.jpg,Bea\n"}, same=("a.jpg", "b.jpg")
    )
    assert (rows["a.jpg"]["individual_id"], result.notes) == ("Bea", ())


def test_bad_values_are_ignored_and_told(survey: Callable) -> None:
    text = (
        "file,individual_id,taken_at,viewpoint,role,latitude_deg,longitude_deg\n"
        "a.jpg,Ada,07/02/2010,sideways,boss,97,20\n"
        "b.jpg,Bea,2010-02-30,left,gallery,37,\n"
    )
    rows, result = survey(["a.jpg", "b.jpg"], {"metadata.csv": text})
    row = rows["a.jpg"]
    nothing = (row["taken_on"], row["viewpoint"], row["role"], row["latitude_deg"])
    assert (row["individual_id"], *nothing) == ("Ada", None, "unknown", None, None)
    joined = "\n".join(result.notes)
    for words in (
        "2 values of taken_at",
        "'07/02/2010' for a.jpg",
        "1 values of viewpoint",
        "1 values of role",
        "2 coordinates",
    ):
        assert words in joined


def test_tables_without_a_file_column_and_spreadsheets_are_told(survey: Callable) -> None:
    _, result = survey(
        ["a.jpg"], {"metadata.csv": "who,when\nAda,2010\n", "list.xlsx": b"PK", "other.csv": "x,y\n1,2\n"}
    )
    assert len(result.notes) == 2
    assert any("has no column 'file'" in note for note in result.notes)
    assert any("list.xlsx; save them as CSV" in note for note in result.notes)


def test_one_encounter_with_two_animals_is_told(survey: Callable) -> None:
    text = "file,individual_id,encounter_id\na.jpg,Ada,7\nb.jpg,Bea,7\n"
    rows, result = survey(["a.jpg", "b.jpg"], {"metadata.csv": text})
    assert column(rows, "individual_id") == {"a.jpg": "Ada", "b.jpg": "Bea"}
    assert "7: Ada / Bea" in result.notes[0]


def test_metadata_beats_exif_and_a_bare_day_hides_the_camera_time(
    workspace: Workspace, read_photos: Callable[..., IngestResult]
) -> None:
    root = workspace.root / "photos"
    root.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        exif = Image.Exif()
        exif[0x132] = "2015:01:02 03:04:05"
        Image.new("RGB", (96, 64), f"#{ord(name[0]):02x}0000").save(root / name, exif=exif)
    (root / "metadata.csv").write_text("file,taken_at\na.jpg,2010-07-02\nb.jpg,2010-07-02 08:00\n")
    result = read_photos("photos")
    times = {row["uri"]: (row["taken_at"], row["taken_on"]) for row in result.photos.to_pylist()}
    assert times == {
        "photos/a.jpg": (None, date(2010, 7, 2)),
        "photos/b.jpg": (datetime(2010, 7, 2, 8), date(2010, 7, 2)),
        "photos/c.jpg": (datetime(2015, 1, 2, 3, 4, 5), date(2015, 1, 2)),
    }


def test_label_files_beside_a_single_photo_count(
    workspace: Workspace, read_photos: Callable[..., IngestResult]
) -> None:
    for name, shade in (("a.jpg", 1), ("b.jpg", 2)):
        (workspace.root / "in").mkdir(exist_ok=True)
        Image.new("L", (96, 64), shade).save(workspace.root / "in" / name)
    (workspace.root / "in/metadata.csv").write_text("file,individual_id\na.jpg,Ada\nb.jpg,Bea\n")
    result = read_photos("in/a.jpg")
    assert [(row["uri"], row["individual_id"]) for row in result.photos.to_pylist()] == [("in/a.jpg", "Ada")]
    assert result.notes == ()


def test_seaturtleid_table(survey: Callable) -> None:
    text = (
        "image_id,file_name,identity,date,orientation,split_open\n4,images/t001/x.JPG,t001,2014:06:24,topright,train\n"
    )
    rows, _ = survey(["images/t001/x.JPG"], {"metadata_splits.csv": text})
    row = rows["images/t001/x.JPG"]
    assert (row["individual_id"], row["taken_on"], row["viewpoint"]) == ("t001", date(2014, 6, 24), "right")
    assert (row["encounter_id"], row["extra"]) == ("t001-2014-06-24", '{"image_id": "4", "split_open": "train"}')


def test_wildbook_export(survey: Callable) -> None:
    text = (
        "Encounter.mediaAsset0,Encounter.mediaAsset1,Encounter.individualID,Encounter.occurrenceID,Encounter.year,Encounter.month,Encounter.day,"
        "Encounter.hour,Encounter.minutes,Encounter.decimalLatitude,Encounter.decimalLongitude,Annotation0.Viewpoint,Encounter.genus\n"
        "a.jpg,b.jpg,Ada,,2021,7,4,9,5,12.1,-68.3,left,Chelonia\n"
        "c.jpg,d.jpg,unknown,occ1,2021,7,4,,,,,,Chelonia\n"
        "e.jpg,,Bea,occ1,2021,7,4,,,,,,Chelonia\n"
        "f.jpg,g.jpg,,,,,,,,,,,\n"
    )
    rows, result = survey([f"{c}.jpg" for c in "abcdefg"], {"export.csv": text})
    assert rows["a.jpg"]["taken_at"] == datetime(2021, 7, 4, 9, 5)
    assert (rows["a.jpg"]["latitude_deg"], rows["a.jpg"]["longitude_deg"]) == (12.1, -68.3)
    assert (rows["a.jpg"]["viewpoint"], rows["b.jpg"]["viewpoint"]) == ("left", "unknown")
    assert '"encounter.genus": "Chelonia"' in rows["a.jpg"]["extra"]
    assert column(rows, "individual_id") == {
        f"{c}.jpg": n for c, n in zip("abcdefg", ["Ada", "Ada", None, None, "Bea", None, None], strict=True)
    }
    assert column(rows, "encounter_id") == {
        "a.jpg": "Ada-2021-07-04", "b.jpg": "Ada-2021-07-04", "c.jpg": "occ1-c.jpg", "d.jpg": "occ1-c.jpg", "e.jpg": "occ1-Bea",
        "f.jpg": "f.jpg", "g.jpg": "f.jpg",
    }  # fmt: skip
    assert result.notes == ()


@pytest.mark.parametrize(
    ("text", "when", "day"),
    [
        ("2010-07-02", None, date(2010, 7, 2)),
        ("20100702", None, date(2010, 7, 2)),
        ("2.7.2010", None, date(2010, 7, 2)),
        ("2010/07/02 4:05", datetime(2010, 7, 2, 4, 5), date(2010, 7, 2)),
        ("2010:07:02 14:07:16", datetime(2010, 7, 2, 14, 7, 16), date(2010, 7, 2)),
        ("2010-07-02T14:07:16.5+03:00", datetime(2010, 7, 2, 14, 7, 16, 500_000), date(2010, 7, 2)),
    ],
)
def test_dates(text: str, when: datetime | None, day: date) -> None:
    assert parse_when(text) == (when, day)


@pytest.mark.parametrize("text", ["07/02/2010", "2010", "2010-13-01", "2010-07-02 25:00", "yesterday", "2010-7-2x"])
def test_no_dates(text: str) -> None:
    with pytest.raises(ValueError):
        parse_when(text)


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("L", "left"), ("Right side", "right"), ("left_profile", "left"), ("dorsal", "top"), ("topleft", "left"), ("front-right", "right"),
        ("Frontal view", "front"), ("none", "unknown"), ("", "unknown"), ("BACK", "back"),
    ],
)  # fmt: skip
def test_viewpoints(text: str, side: str) -> None:
    assert parse_viewpoint(text) == side


def test_roles_and_places() -> None:
    assert (parse_role("Reference"), parse_role("probe")) == ("gallery", "query")
    assert parse_coordinates("-12.5", "179,75") == (-12.5, 179.75)
    for pair in (("91", "0"), ("0", "-181"), ("north", "0"), ("nan", "0"), ("1,2,3", "0")):
        with pytest.raises(ValueError):
            parse_coordinates(*pair)


def test_agreeing_rows_are_silent_and_later_ones_complete(survey: Callable, tmp_path: Path) -> None:
    text = "file,individual_id,viewpoint\na.jpg,Ada,\na.jpg,Ada,left\na.jpg,,left\n"
    rows, result = survey(["a.jpg"], {"metadata.csv": text})
    assert (rows["a.jpg"]["individual_id"], rows["a.jpg"]["viewpoint"], result.notes) == ("Ada", "left", ())


@pytest.mark.parametrize(
    "data",
    [
        b"sep=,\nfile,individual_id\na.jpg,Ada\n",
        b"\xef\xbb\xbfsep=;\r\nfile;individual_id\r\na.jpg;Ada\r\n",
        b'"sep=;"\r\nfile;individual_id\r\na.jpg;Ada\r\n',
        b"SEP=|\nfile|individual_id\na.jpg|Ada\n",
        b"sep=,,,\nfile,individual_id,x,y\na.jpg,Ada,,\n",
        b"sep=\t\nfile\tindividual_id\na.jpg\tAda\n",
        "\ufeffsep=;\r\nfile;individual_id\r\na.jpg;Ada\r\n".encode("utf-16-le"),
        "\ufefffile;individual_id\r\na.jpg;Ada\r\n".encode("utf-16-be"),
        "file,individual_id\na.jpg,Ada\n".encode("utf-16-le"),
        "file,individual_id\na.jpg,Ada\n".encode("utf-16-be"),
    ],
)
def test_tables_as_excel_saves_them(survey: Callable, data: bytes) -> None:
    rows, result = survey(["a.jpg"], {"metadata.csv": data})
    assert (rows["a.jpg"]["individual_id"], result.notes) == ("Ada", ())


def test_damaged_utf_16_is_told(survey: Callable) -> None:
    data = "\ufefffile,individual_id\na.jpg,Ada\nb.jpg,".encode("utf-16-le") + b"\x00\xd8A"
    rows, result = survey(["a.jpg"], {"metadata.csv": data})
    assert rows["a.jpg"]["individual_id"] == "Ada" and "is damaged UTF-16" in result.notes[0]


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "1838-12-31", "3.1.0019"])
def test_impossible_dates_are_not_believed(survey: Callable, workspace: Workspace, day: str) -> None:
    rows, result = survey(["a.jpg", "b.jpg"], {"metadata.csv": f"file,taken_at\na.jpg,{day}\nb.jpg,1839-01-01\n"})
    assert column(rows, "taken_on") == {"a.jpg": None, "b.jpg": date(1839, 1, 1)}
    assert "1 dates lie before the first photograph or in the future" in result.notes[0]
    assert "photos/a.jpg" in result.notes[0]


def test_tomorrow_is_possible_and_a_later_day_is_not(survey: Callable) -> None:
    tomorrow, later = (date.today() + timedelta(days=n) for n in (1, 3))
    rows, result = survey(["a.jpg", "b.jpg"], {"metadata.csv": f"file,taken_at\na.jpg,{tomorrow}\nb.jpg,{later}\n"})
    assert column(rows, "taken_on") == {"a.jpg": tomorrow, "b.jpg": None}
    assert "photos/b.jpg" in result.notes[0]


@pytest.mark.parametrize("year", ["0001", "1601", "9999"])
def test_a_camera_with_an_impossible_clock_is_not_believed(
    workspace: Workspace, read_photos: Callable[..., IngestResult], year: str
) -> None:
    exif = Image.Exif()
    exif[0x0132] = f"{year}:01:02 03:04:05"
    (workspace.root / "photos").mkdir()
    Image.fromarray(np.full((64, 96, 3), 7, np.uint8)).save(workspace.root / "photos/a.jpg", exif=exif)
    (workspace.root / "photos/annotations.coco.json").write_text(
        json.dumps({"images": [{"id": 1, "file_name": "a.jpg", "date": f"{year}-05-05"}]})
    )
    for _ in range(2):  # also from the kept row
        result = read_photos("photos")
        (row,) = result.photos.to_pylist()
        assert (row["taken_at"], row["taken_on"]) == (None, None)
        assert "2 dates lie before the first photograph or in the future" in result.notes[0]
