"""Which animals train and which judge."""

import csv

import pytest

from resight.errors import SettingsError
from resight.evaluate.animals import Part, deal, named_animals, part_of, read_animals, write_parts


def test_the_hash_by_hand_and_for_ever():
    # SHA-256 of "abc" begins with ba7816bf (FIPS 180-2), 0.728 of 2^32
    assert part_of("abc", 0.729) == Part.TRAINING and part_of("abc", 0.728) == Part.VALIDATION
    assert part_of("abc") == Part.TRAINING, "200 of 262 are 0.763"
    assert part_of("x", 0.0) == Part.VALIDATION and part_of("x", 1.0) == Part.TRAINING


def test_an_animal_stays_in_its_part_whoever_else_there_is():
    few, many = deal(["b", "c"]), deal([f"{chr(97 + k)}" for k in range(26)], untouched=["a"])
    assert all(many[name] == part for name, part in few.items())
    assert many["a"] == Part.UNTOUCHED and list(many) == sorted(many)
    shares = [sum(p == Part.TRAINING for p in deal(map(str, range(2000)), share=s).values()) / 2000 for s in (0.2, 0.7)]
    assert shares == pytest.approx([0.2, 0.7], abs=0.05)


def test_the_file_comes_back_part_by_part(tmp_path):
    parts = deal([f"t{k:03}" for k in range(40)], untouched=["t001", "t004"])
    write_parts(tmp_path / "animals.csv", parts)
    for part in Part:
        assert read_animals(tmp_path / "animals.csv", part) == {name for name, of in parts.items() if of == part}
    (tmp_path / "plain.csv").write_text("individual_id\nAda\nBen\n\n")
    assert read_animals(tmp_path / "plain.csv", Part.VALIDATION) == {"Ada", "Ben"}, (
        "a list without parts is taken whole"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read"),
        (b"name\nAda\n", "no column individual_id"),
        (b"individual_id,part\nAda,training\n", "names no animal for validation"),
        (b"\xff\xfe\x00", "no CSV file"),
        (b"", "names no animal"),
    ],
)
def test_a_wrong_file_is_named_with_the_cure(tmp_path, content, why):
    file = tmp_path / "animals.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=why) as refused:
        read_animals(file, Part.VALIDATION)
    assert str(file) in str(refused.value) and "resight train split" in str(refused.value)


def test_a_folder_names_its_animals_and_a_stranger_cannot_be_left_out(tmp_path):
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "individual_id"], ["a.jpg", "Ben"], ["b.jpg", "Ada"], ["c.jpg", ""]])
    assert named_animals(tmp_path) == ["Ada", "Ben"]
    with pytest.raises(SettingsError, match="no animal 'Cleo' to leave out"):
        deal(["Ada"], untouched=["Cleo"])
    with pytest.raises(SettingsError, match=r"metadata\.csv cannot be read"):
        named_animals(tmp_path / "nowhere")
