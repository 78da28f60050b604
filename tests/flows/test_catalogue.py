"""The catalogue of animals: in the app, as a folder, and as numbers worked out on paper."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import pytest
from flow_helpers import HERE, HOSTS
from starlette.testclient import TestClient
from typer.testing import CliRunner

from resight.cli.app import app as cli
from resight.decisions.desk import Desk
from resight.decisions.entry import Kind
from resight.review.animals import Animal, Sighting, animals, curve, plotted, season, timeline
from resight.review.app import Review
from resight.review.board import Board, key_of
from resight.review.catalogue import write_catalogue
from resight.review.doors import Doors
from resight.store.generations import current_generation
from resight.store.pages import PAGE
from resight.store.publication import publish_generation
from resight.store.workspace import Workspace


@pytest.fixture
def board(reviewed_workspace: Workspace) -> Board:
    return Board(Desk(reviewed_workspace))


def test_every_animal_has_a_page_with_its_sides_sightings_places_and_decisions(board: Board) -> None:
    found = animals(board)
    assert [a.name for a in found.values()] == sorted(board.desk.animals()) and len(found) == 4
    for animal in found.values():
        assert set(animal.best) == {"left", "right"} and animal.missing == []
        assert len(animal.sightings) == 2 and animal.first and animal.last and animal.first < animal.last
        assert all(s.place for s in animal.sightings)
    with TestClient(Review(board, doors := Doors.for_this_machine(HOSTS, "Ana")).app(), base_url=HERE) as ana:
        assert ana.get("/animals").status_code == 401
        ana.get("/login", params={"token": doors.token or ""})
        page = ana.get("/animals").text
        assert all(f"/animal/{key}" in page for key in found)
        one, other, *_ = found.values()
        page = ana.get(f"/animal/{one.key}").text
        fields = {name: re.findall(rf'name="{name}" value="([^"]*)"', page)[0] for name in ("csrf", "request")}

        def say(**said: str) -> int:
            sent = fields | said | {"request": said["kind"] + said["into"]}
            return ana.post(f"/animal/{one.key}/decide", data=sent, headers={"origin": HERE}).status_code

        assert say(kind="rename", into=other.name.lower()) == 422
        assert say(kind="confirm", into="Zora") == 422 and board.desk.log.entries() == ()
        assert say(kind="rename", into="<b>Zora") == 200
        assert "is called &lt;b&gt;Zora" in ana.get(f"/animal/{key_of('<b>Zora')}").text
        said = {"kind": "merge", "into": other.name, "request": "merge"}
        ana.post(f"/animal/{key_of('<b>Zora')}/decide", data=fields | said, headers={"origin": HERE})
    merged = animals(board)[other.key]
    assert merged.earlier_names == sorted(["<b>Zora", one.name]) and len(merged.sightings) == 4
    merge = board.desk.log.entries()[-1]
    board.desk.decide(board.desk.entry(Kind.UNDO, "Ana", undoes=merge.decision_id))
    renamed = animals(board)[key_of("<b>Zora")]
    assert renamed.earlier_names == [one.name] and len(renamed.sightings) == 2


def test_animals_that_may_be_one_are_named_until_somebody_says_that_they_are_two(board: Board) -> None:
    desk = board.desk
    one, other, *_ = sorted(desk.animals())
    desk.decide(desk.entry(Kind.RENAME, "Ana", individual_id=other, into=one.lower()), really_new=True)
    found = animals(board)
    assert found[key_of(one)].similar[0][0] == one.lower() and "look alike" in found[key_of(one)].similar[0][1]
    desk.decide(desk.entry(Kind.APART, "Ana", individual_id=one, into=one.lower()))
    assert one.lower() not in {name for name, _ in animals(board)[key_of(one)].similar}


def test_the_folder_to_take_along_needs_nothing_else(board: Board, tmp_path: Path) -> None:
    result = write_catalogue(board, tmp_path / "take along")
    pages = list((tmp_path / "take along").glob("*.html"))
    assert len(pages) == result["animals"] + 1 == 5
    for page in pages:
        text = page.read_text(encoding="utf-8")
        links = re.findall(r'(?:src|href)="([^"]+)"', text)
        assert links and all((page.parent / link).is_file() for link in links) and "<form" not in text


def test_links_of_the_report_hold_in_a_copy_of_the_workspace_and_in_current(reviewed_workspace: Workspace) -> None:
    """The fixture is a copy; nothing in its pages may lead to where it was made."""
    generation = current_generation(reviewed_workspace)
    assert generation is not None and generation.run_id
    pages = [reviewed_workspace.current / PAGE, reviewed_workspace.runs / generation.run_id / PAGE]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        links = set(re.findall(r'<a [^>]*href="([^#"][^"]*)"', text))
        files = [Path(os.path.normpath(page.parent / unquote(link))) for link in links]
        assert len(files) >= 8 and all(file.is_file() and ".." not in file.parts for file in files)
        assert "file:" not in text and all(reviewed_workspace.root in file.parents for file in files)
    whole = pages[0].read_bytes()
    for content in (b"", None):
        pages[0].unlink()
        if content is not None:
            pages[0].write_bytes(content)
        told = CliRunner().invoke(cli, ["verify", "--repair", "-w", str(reviewed_workspace.root)])
        assert told.exit_code in (0, 1) and pages[0].read_bytes() == whole, told.output
    assert publish_generation(reviewed_workspace, run_id=generation.run_id) == generation, "it is there already"


def animal(name: str, *days: str) -> Animal:
    met = [Sighting(date.fromisoformat(day), day, 1, None) for day in days]
    return Animal(key_of(name), name, {}, [], met, [], [], [], [])


def test_numbers_of_a_season_worked_out_on_paper() -> None:
    found = {
        "a": animal("a", "2025-06-01", "2025-06-05", "2026-06-01"),
        "b": animal("b", "2025-06-11"),
        "c": animal("c"),
    }
    numbers = season(found)
    assert numbers.discovered == [(date(2025, 6, 1), 1), (date(2025, 6, 11), 2)]
    assert numbers.months == [("2025-06", 3), ("2026-06", 1)]
    assert dict(numbers.intervals) == {"same week": 1, "same month": 0, "within a year": 1, "later": 0}
    assert curve(numbers.discovered, 100, 10) == "0.0,10.0 0.0,5.0 100.0,5.0 100.0,0.0 100.0,0.0"
    assert season({}).discovered == [] and curve([]) == ""


def test_sightings_stand_on_a_line_of_all_animals_days() -> None:
    seen = animal("a", "2026-06-01", "2026-06-11").sightings
    ticks = timeline([*seen, replace(seen[0], day=None)], date(2026, 5, 22), date(2026, 6, 11), 100)
    assert [x for x, _, _ in ticks] == [50.0, 100.0] and ticks[0][2] == "2026-06-01: 1 photo"
    assert timeline(seen[:1], date(2026, 6, 1), date(2026, 6, 1), 100)[0][0] == 0.0


def test_a_map_keeps_distances_alike() -> None:
    ((west, south), (east, _), (_, north)), (bar, said) = plotted([(60.0, 10.0), (60.0, 12.0), (61.0, 10.0)])
    assert east - west == pytest.approx(south - north, rel=0.02), (
        "two degrees of longitude at 60 degrees are one of latitude"
    )
    assert (west + east, south + north) == pytest.approx((300, 220)), "in the middle"
    assert said == "50 km" and bar / (south - north) == pytest.approx(50 / 111.2)
    assert (
        plotted([(1.0, 2.0)]) == ([(150.0, 110.0)], (pytest.approx(77.34, abs=0.01), "100 m")) and plotted([])[0] == []
    )
