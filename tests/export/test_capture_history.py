"""Capture histories, read back as MARK, secr, Rcapture and multimark read them; the season's answers are worked out by hand."""

import csv
import io
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from season_rows import MakeRun, photo, verdict

from resight.errors import WorkspaceError
from resight.export.base import Wishes
from resight.export.histories import occasions_of, two_sided_matrix_of
from resight.export.job import export
from resight.store.workspace import Workspace

DAYS = [date(2025, 6, 14), date(2025, 7, 1), date(2025, 7, 2), date(2026, 6, 3)]


def read_mark(text: str) -> dict[str, str]:
    """Encounter history format: comments within /* and */, then history, frequency and a semicolon, as RMark's convert.inp takes it."""
    animals = {}
    for record in text.split(";"):
        if record.strip():
            match = re.fullmatch(r"\s*/\*\s*(.*?)\s*\*/\s+([01]+)\s+1", record)
            assert match, record
            animals[match[1]] = match[2]
    assert len({len(history) for history in animals.values()}) == 1, "all histories are equally long"
    return animals


def read_matrix(text: str) -> dict[str, list[int]]:
    """R's read.csv(row.names = 1), and as.matrix."""
    head, *rows = csv.reader(io.StringIO(text))
    assert all(len(row) == len(head) for row in rows) and len({row[0] for row in rows}) == len(rows)
    return {row[0]: [int(cell) for cell in row[1:]] for row in rows}


def read_secr(captures: str, detectors: str) -> tuple[set[tuple[str, str, int, str]], dict[str, tuple[float, float]]]:
    """secr's read.capthist: blanks between values, # before comments, every detector of a capture among the detectors."""
    rows = [line.split() for line in captures.splitlines() if not line.startswith("#")]
    places = [line.split() for line in detectors.splitlines() if not line.startswith("#")]
    assert {len(row) for row in rows} == {4} and {len(place) for place in places} == {3}
    where = {name: (float(x), float(y)) for name, x, y in places}
    assert {row[3] for row in rows} <= set(where) and not any("_" in name for name in where)
    return {(session, animal, int(occasion), detector) for session, animal, occasion, detector in rows}, where


def files_of(place: Workspace, **wishes: Any) -> dict[str, str]:
    result = export(place, "capture-history", wishes=Wishes(**wishes))
    return {Path(file).name: Path(file).read_text(encoding="utf-8") for file in result["files"]}


def test_only_confirmed_animals_on_the_days_of_all_photos(published: Workspace) -> None:
    files = files_of(published)
    assert read_mark(files["mark.inp"]) == {"Ida": "11000", "Nia": "00100"}
    assert read_matrix(files["rcapture.csv"]) == {"Ida": [1, 1, 0, 0, 0], "Nia": [0, 0, 1, 0, 0]}
    rows = list(csv.DictReader(io.StringIO(files["occasions.csv"])))
    assert [(r["start"], r["sightings"]) for r in rows] == [
        ("2025-06-14", "1"), ("2025-07-01", "1"), ("2025-07-02", "2"), ("2026-06-03", "1"), ("2026-06-04", "1"),
    ]  # fmt: skip
    assert "noccasions = 5" in files["README.txt"] and "only names that people have confirmed" in files["README.txt"]
    assert "identities.csv" not in files and "mark-left.inp" not in files


@pytest.mark.parametrize(
    ("wishes", "ida", "nia"),
    [
        ({"occasion": "month"}, "110", "010"),
        ({"occasion": "year"}, "10", "10"),
        ({"occasion": "17"}, "110", "010"),
        ({"occasion": "month", "all_periods": True}, "11" + "0" * 11, "01" + "0" * 11),
    ],
)
def test_occasions_of_other_lengths(published: Workspace, wishes: dict[str, Any], ida: str, nia: str) -> None:
    assert read_mark(files_of(published, **wishes)["mark.inp"]) == {"Ida": ida, "Nia": nia}


def test_by_side_an_animal_is_met_only_where_that_side_was_seen(published: Workspace) -> None:
    files = files_of(published, by_side=True)
    assert read_mark(files["mark-left.inp"]) == {"Ida": "11000", "Nia": "00100"}
    assert read_mark(files["mark-right.inp"]) == {"Ida": "10000", "Nia": "00100"}
    assert read_matrix(files["two-sided.csv"]) == {
        "Ida": [4, 1, 0, 0, 0],  # both sides in one encounter, then the left
        "Nia": [0, 0, 3, 0, 0],  # left and right in two encounters of one day
    }


def test_with_unconfirmed_answers_probabilities_sum_to_one(published: Workspace) -> None:
    files = files_of(published, with_unconfirmed=True)
    assert read_mark(files["mark.inp"]) == {"Ida": "11010", "Nia": "00100", "new-1": "00001"}
    captures = {row["sighting_id"]: row for row in csv.DictReader(io.StringIO(files["captures.csv"]))}
    assert (captures["e5"]["certainty"], captures["e5"]["probability"]) == ("decided", "0.9")
    assert captures["e6"]["certainty"] == "provisional" and captures["e1"]["certainty"] == "confirmed"
    shares: dict[str, dict[str, float]] = {}
    for row in csv.DictReader(io.StringIO(files["identities.csv"])):
        shares.setdefault(row["sighting_id"], {})[row["animal"]] = float(row["probability"])
    assert shares["e5"] == pytest.approx(
        {"Ida": 0.9, "Nia": 0.03, "(not in the gallery)": 0.04, "(another animal of the gallery)": 0.03}
    )
    assert shares["e1"] == {"Ida": 1.0} and all(sum(s.values()) == pytest.approx(1) for s in shares.values())
    assert "unconfirmed answers" in files["README.txt"]


def test_secr_reads_captures_at_detectors_in_metres(published: Workspace) -> None:
    files = files_of(published, with_unconfirmed=True)
    captures, where = read_secr(files["secr-captures.txt"], files["secr-detectors.txt"])
    assert captures == {("1", "Ida", 1, "D2"), ("1", "Ida", 2, "D1"), ("1", "Nia", 3, "D2"), ("1", "Ida", 4, "D1")}
    (x1, y1), (x2, y2) = where["D1"], where["D2"]
    assert (x1 - x2, y1 - y2) == pytest.approx((7916, -1112), abs=2), (
        "0.09 degrees of longitude at 37.7 north, 0.01 of latitude"
    )
    assert "# Laganas, east" in files["secr-detectors.txt"]


def test_names_do_not_break_the_files(place: Workspace, make_run: MakeRun) -> None:
    names = ['Ida, "the old */ one"', "Ida the old one", "Ida-the old-one"]
    at = {"latitude_deg": 1.0, "longitude_deg": 2.0}
    make_run(photos=[photo(f"p{k}", f"e{k}", day, individual_id=name, **at) for k, (day, name) in enumerate(zip(DAYS[:3], names, strict=True))])  # fmt: skip
    files = files_of(place)
    assert len(read_mark(files["mark.inp"])) == 3 and set(read_matrix(files["rcapture.csv"])) == set(names)
    captures, _ = read_secr(files["secr-captures.txt"], files["secr-detectors.txt"])
    assert len({animal for _, animal, _, _ in captures}) == 3


def test_without_positions_there_is_nothing_for_secr(place: Workspace, make_run: MakeRun) -> None:
    make_run(photos=[photo("p", "e", DAYS[0], individual_id="Ida")])
    assert not any(name.startswith("secr") for name in files_of(place))


def test_without_a_confirmed_animal_it_says_what_to_do(place: Workspace, make_run: MakeRun) -> None:
    make_run(photos=[photo("p", "e", DAYS[0])], novelty=[verdict("e", "known", individual_id="Ida", probability=0.9)])
    with pytest.raises(WorkspaceError, match="--with-unconfirmed"):
        files_of(place)
    assert read_mark(files_of(place, with_unconfirmed=True)["mark.inp"]) == {"Ida": "1"}


def test_months_and_years_begin_where_the_calendar_does() -> None:
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 2, 28)]
    months = occasions_of(days, "month")
    assert [(o.number, o.start, o.end) for o in months] == [
        (1, date(2025, 12, 1), date(2025, 12, 31)), (2, date(2026, 1, 1), date(2026, 1, 31)), (3, date(2026, 2, 1), date(2026, 2, 28)),
    ]  # fmt: skip
    assert [(o.start, o.n_sightings) for o in occasions_of(days, "year")] == [
        (date(2025, 1, 1), 1),
        (date(2026, 1, 1), 2),
    ]
    assert [o.n_sightings for o in occasions_of(days, "30", all_periods=True)] == [2, 1] and occasions_of(
        [], "day"
    ) == []
    assert two_sided_matrix_of([], 3) == {}
