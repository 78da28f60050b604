"""What `benchmarks/dense_folder.py` chooses, by hand on three animals, and that ingest reads the folder that it writes."""

import csv
from datetime import date

import dense_folder as dense
import pytest

from resight.ingest.labels import read_table
from resight.ingest.notes import Notes

# Ada and Ben were met on two days, Cleo once; Ada and Cleo may ask.
PHOTOS = [
    ("Ada", "2010-06-01", "left"), ("Ada", "2010-06-01", "left"), ("Ada", "2010-06-01", "right"), ("Ada", "2011-06-01", "left"),
    ("Ada", "2011-06-01", "top"), ("Ben", "2010-06-01", "left"), ("Ben", "2011-06-01", "left"), ("Cleo", "2010-06-01", "right"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """The photos with names, some of them without a label."""
    data = tmp_path / "all heads"
    (data / "photos").mkdir(parents=True)
    with (data / "metadata.csv").open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(dense.COLUMNS)
        for k, (name, day, view) in enumerate([*PHOTOS, ("", "2012-06-01", "left")]):
            table.writerow((f"photos/{k}.webp", name, day, f"{name}-{day}" if name else "", view))
            (data / "photos" / f"{k}.webp").write_bytes(b"photo %d" % k)
    (tmp_path / "animals.csv").write_text("individual_id,part\nAda,validation\nBen,training\nCleo,validation\n")
    return data


def given(folder, *more):
    animals, out = folder.parent / "animals.csv", folder.parent / "dense"
    return ["--data", str(folder), "--animals", str(animals), "--out", str(out), *more]


def test_one_of_each_side_is_gallery_and_one_of_each_later_encounter_asks(folder, capsys):
    dense.main(given(folder))
    out = folder.parent / "dense"
    with (out / "metadata.csv").open(encoding="utf-8", newline="") as lines:
        rows = {int(r["file"][7:-5]): r for r in csv.DictReader(lines)}
    roles = {k: r["role"] for k, r in rows.items()}
    assert {k for k, role in roles.items() if role == "gallery"} in ({0, 2, 5, 7}, {1, 2, 5, 7}), (
        "one of 0 and 1, none of 6"
    )
    assert {k for k, role in roles.items() if role == "query"} in ({3}, {4}), (
        "one photo of Ada's later day, none of Ben's"
    )
    for k, row in rows.items():
        assert (row["individual_id"], row["taken_at"], row["viewpoint"]) == PHOTOS[k]
        assert (out / row["file"]).is_symlink() and (out / row["file"]).read_bytes() == b"photo %d" % k
    assert len(list((out / "photos").iterdir())) == len(rows) == 5
    said = capsys.readouterr().out
    fitting = sum(role == "query" and PHOTOS[k][2] == "left" for k, role in roles.items())
    assert f"4 gallery photos of 3 animals; 1 photo of 1 animal ask, {fitting} of them" in said


def test_more_of_each_and_always_the_same(folder):
    rows, asking = dense.read_rows(folder), {"Ada", "Cleo"}
    few, more = (dense.chosen(rows, asking, n, n) for n in (1, 2))
    assert {r["file"] for r in few} < {r["file"] for r in more} and len(more) == 7
    assert dense.chosen(rows[::-1], asking, 1, 1) == few
    of_side = dense.chosen(rows, asking, 2, 2, ["left"])
    assert of_side == [r for r in more if r["viewpoint"] == "left"] and len(of_side) == 4


def change(data, old, new):
    text = (data / "metadata.csv").read_text()
    assert old in text
    (data / "metadata.csv").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: (data / "metadata.csv").unlink(), "There is no .*metadata.csv; give a labelled folder"),
        (lambda data: (data / "metadata.csv").write_text("file,individual_id\n"), "has no column taken_at"),
        (lambda data: (data / "photos" / "7.webp").unlink(), r"1 photos of .* are not there \(first: photos/7.webp\)"),
        (
            lambda data: (data.parent / "animals.csv").write_text("individual_id,part\nCleo,validation\n"),
            "was met again",
        ),
        (lambda data: change(data, "photos/0.webp", "../0.webp"), "line 2: '../0.webp' is no photo inside the folder"),
        (lambda data: change(data, "photos/1.webp", "photos/0.webp"), "has several rows for photos/0.webp"),
        (lambda data: change(data, "Ben-2011-06-01", ""), "line 8: photos/6.webp has no encounter_id"),
        (lambda data: change(data, "Cleo,2010-06-01", "Cleo,01.06.2010"), "line 9: '01.06.2010' is no date"),
        (lambda data: (data.parent / "dense" / "old").mkdir(parents=True), "is not empty; remove it"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(folder, spoil, said):
    spoil(folder)
    with pytest.raises(SystemExit, match=said):
        dense.main(given(folder))
    assert not (folder.parent / "dense" / "metadata.csv").exists()


def test_the_folder_is_read_with_roles_and_sides(folder, tmp_path):
    dense.main(given(folder))
    text = (tmp_path / "dense" / "metadata.csv").read_bytes()
    assert {r["role"] for r in read_table(text, "here", Notes())} == {"gallery", "query"}
    assert date.fromisoformat(dense.read_rows(tmp_path / "dense")[0]["taken_at"])


def test_a_small_folder_holds_some_animals_that_ask_and_nobody_else(folder, capsys):
    dense.main(given(folder, "--small", "1"))
    with (folder.parent / "dense" / "metadata.csv").open(encoding="utf-8", newline="") as lines:
        assert {r["individual_id"] for r in csv.DictReader(lines)} == {"Ada"}, "Ben may not ask, Cleo was met once"
    with pytest.raises(SystemExit, match="1 animal can ask; give a smaller --small or --skip"):
        dense.main(given(folder, "--small", "1", "--skip", "1"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--small", "-1"], "--small is -1; give at least 0"),
        (["--small", "1", "--skip", "-1"], "--skip is -1; give at least 0"),
        (["--skip", "1"], "give --small too"),
        (["--photos", "0"], "--photos is 0; give at least 1"),
        (["--gallery-photos", "-1"], "--gallery-photos is -1; give at least 1"),
        (["--sides", "left", "lefft"], "has no viewpoint 'lefft'; it has left, right, top"),
    ],
)
def test_numbers_and_sides_that_cannot_be_meant_are_refused(folder, more, said):
    with pytest.raises(SystemExit, match=said):
        dense.main(given(folder, *more))
    assert not (folder.parent / "dense").exists()


def test_letters_that_nobody_can_read_are_said(folder):
    file = folder / "metadata.csv"
    file.write_bytes(file.read_bytes().replace(b"Ben", b"B\xe9n"))
    with pytest.raises(SystemExit, match=r"metadata.csv is not UTF-8 .* save it as UTF-8"):
        dense.main(given(folder))
