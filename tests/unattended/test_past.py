"""A night of the past as it was: photos, names and decisions of then, in `runs/` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from flow_helpers import BY_PLACE, TABLES
from typer.testing import CliRunner
from warm import PHOTOS, make_season, photo

from resight.cli.app import app
from resight.decisions.desk import Desk
from resight.decisions.entry import Kind
from resight.errors import SettingsError
from resight.flows import past, steps
from resight.flows.nightly import run_nightly
from resight.flows.past import nights_of, run_past
from resight.ingest.past import Then, Told, _in_turn, then
from resight.run.overview import overview
from resight.runner.runner import ClusterLost
from resight.store.attempts import read_attempts
from resight.store.generations import current_generation
from resight.store.runs import read_run
from resight.store.workspace import Workspace, open_workspace

JUNE = [date(2026, 6, day) for day in range(1, 31)]
Season = dict[str, tuple[int, int, str, str]]


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dict[str, str]]:
    """Nights of the 4th, 5th and 9th, with a decision after the first, and the run of each; the 6th to the 8th were missed."""
    root = tmp_path_factory.mktemp("past") / "my season"
    make_season(root)
    place, photos = open_workspace(root), dict(PHOTOS)
    runs = {"2026-06-04": _night(place, photos, "2026-06-04")}
    desk = Desk(place)
    desk.decide(desk.entry(Kind.CONFIRM, "Ana", _ids(place, runs["2026-06-04"], "who1.png"), individual_id="Ada"))
    photos["late.png"] = (4, 1, "", "2019-06-05")  # an archive that came on the second night
    runs["2026-06-05"] = _night(place, photos, "2026-06-05")
    desk.decide(desk.entry(Kind.NEW, "Ana", _ids(place, runs["2026-06-05"], "who2.png"), individual_id="Cleo"))
    photos["late.png"] = (4, 1, "Dora", "2019-06-05")
    for day in (6, 8):
        photos[f"missed{day}.png"] = (1 + day % 3, day, "", f"2026-06-0{day}")
    runs["2026-06-09"] = _night(place, photos, "2026-06-09")
    return place, runs


def _night(place: Workspace, photos: Season, night: str) -> str:
    for name, (animal, look, _, _) in photos.items():
        if not (place.root / "photos" / name).exists():
            photo(place.root / "photos" / name, animal, look)
    rows = [f"{name},{animal},{day},left" for name, (_, _, animal, day) in photos.items()]
    (place.root / "photos" / "metadata.csv").write_text("\n".join(["file,individual_id,date,viewpoint", *rows, ""]))
    return str(run_nightly(place.root, night, quiet=True)["run_id"])


def _ids(place: Workspace, run_id: str, name: str) -> list[str]:
    return [str(row["photo_id"]) for row in _photos(place, run_id).values() if row["uri"].endswith(name)]


def _photos(place: Workspace, run_id: str) -> dict[str, Mapping[str, Any]]:
    return {Path(row["uri"]).name: row for row in read_run(place, run_id, "photos").to_pylist()}


def _table(place: Workspace, run_id: str, name: str) -> pa.Table:
    return read_run(place, run_id, name).drop_columns(["run_id", *BY_PLACE.get(name, ())])


@pytest.mark.parametrize("night", ["2026-06-04", "2026-06-05"])
def test_a_night_says_what_it_said_then(season: tuple[Workspace, dict[str, str]], night: str) -> None:
    place, runs = season
    before, state = current_generation(place), overview(place)["published"]
    (result,) = run_past(place.root, night, quiet=True)
    assert (result["flow"], result["status"], result["night"]) == ("past", "past", night)
    assert result["run_id"] not in runs.values()
    for name in TABLES:
        assert _table(place, result["run_id"], name).equals(_table(place, runs[night], name)), name
    assert current_generation(place) == before
    assert before is not None and before.run_id == runs["2026-06-09"]
    after = overview(place)["published"]
    assert (after["run_id"], after["at"]) == (state["run_id"], state["at"])
    assert read_attempts(place)[-1]["command"] == "past night"
    (again,) = run_past(place.root, night, quiet=True)
    assert again["run_id"] == result["run_id"]
    assert any("Nothing is new" in note and "current" not in note for note in again["notes"])


def test_a_view_whose_cluster_is_lost_goes_on_by_itself(
    season: tuple[Workspace, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest, lost = past.ingest_photos, [ClusterLost("The Dask scheduler went away.")]

    def work(*args: Any) -> Any:
        if lost:
            raise lost.pop()
        return ingest(*args)

    monkeypatch.setattr(past, "ingest_photos", work)
    monkeypatch.setattr(steps, "RETRY_S", 0.01)
    (view,) = run_past(season[0].root, "2026-06-04", quiet=True)
    assert view["status"] == "past" and not lost


def test_missed_nights_see_what_was_taken_by_then(season: tuple[Workspace, dict[str, str]]) -> None:
    place, runs = season
    views = run_past(place.root, "2026-06-06..2026-06-08", quiet=True)
    there = [set(_photos(place, view["run_id"])) for view in views]
    first = {*PHOTOS, "late.png", "missed6.png"}
    assert there == [first, first, first | {"missed8.png"}]
    last = _photos(place, views[-1]["run_id"])
    assert (last["missed8.png"]["first_night"], last["missed6.png"]["first_night"]) == (
        date(2026, 6, 8),
        date(2026, 6, 6),
    )
    assert last["late.png"]["individual_id"] is None  # named on the 9th
    assert _photos(place, runs["2026-06-09"])["late.png"]["individual_id"] == "Dora"
    names = _table(place, views[-1]["run_id"], "provisional")["provisional_individual_id"].to_pylist()
    assert names[: (before := _table(place, runs["2026-06-05"], "provisional")).num_rows] == (
        before["provisional_individual_id"].to_pylist()
    )


def test_a_first_view_leaves_no_model_and_nothing_current(tmp_path: Path) -> None:
    make_season(tmp_path)
    place = open_workspace(tmp_path)
    (view,) = run_past(tmp_path, "2025-05-20", quiet=True)
    assert set(_photos(place, view["run_id"])) == {"ada1.png", "bob1.png"}  # taken by then; nobody has looked before
    assert current_generation(place) is None
    assert not list((place.models / "fusion").glob("*/accepted.json"))
    tonight = _photos(place, _night(place, dict(PHOTOS), date.today().isoformat()))
    assert {row["first_night"] for row in tonight.values()} == {date.today()}


def test_the_command_takes_a_night_or_a_range_and_nothing_that_publishes(
    season: tuple[Workspace, dict[str, str]],
) -> None:
    place, _ = season

    def call(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["nightly", "-w", str(place.root), "--plain", *arguments])

    one = call("--as-of", "2026-06-04")
    assert one.exit_code == 0 and "As it was on 2026-06-04" in one.stdout
    both = json.loads(call("--as-of", "2026-06-04..2026-06-05", "--json").stdout)
    assert [night["night"] for night in both["nights"]] == ["2026-06-04", "2026-06-05"]
    for wrong in (["--accept"], ["--night", "2026-06-04"]):
        assert isinstance(call("--as-of", "2026-06-04", *wrong).exception, SettingsError)


@pytest.mark.parametrize(
    ("text", "why"),
    [("2026-06-05..2026-06-04", "comes after the last"), ("2026-06-31", "no date"), ("2999-01-01", "in the future"), ("", "no date"), ("2026-06-04..", "no date"), ("2026-06-04..x", "no date")],
)  # fmt: skip
def test_what_is_no_night_of_the_past_is_refused(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        nights_of(text)


def test_a_range_holds_both_ends() -> None:
    assert nights_of("2026-02-27..2026-03-01") == ["2026-02-27", "2026-02-28", "2026-03-01"]


def test_a_photo_came_on_its_day_within_the_nights_that_were_missed() -> None:
    view = Then(JUNE[9], datetime.max.replace(tzinfo=UTC), nights=[JUNE[1], JUNE[5], JUNE[12]])
    assert view.came(JUNE[5], None) == JUNE[5]
    assert view.came(JUNE[5], JUNE[3]) == JUNE[3]
    assert view.came(JUNE[5], date(2019, 1, 1)) == JUNE[2]  # not before the night after the one that did not see it
    assert view.came(JUNE[5], JUNE[8]) == JUNE[5]  # a clock that is wrong
    assert view.came(JUNE[1], date(2019, 1, 1)) == date(2019, 1, 1)  # no night before that


def test_a_run_made_out_of_turn_tells_nothing_of_its_night(workspace: Workspace) -> None:
    """A night of the past that was run late, with everything known today, is no record of that time."""
    began = datetime(2026, 6, 20, tzinfo=UTC)
    runs = [("2026-06-04", 0), ("2026-06-09", 1), ("2026-06-05", 2), ("2026-06-10", 3)]
    for night, hour in runs:
        _record(workspace, night, began + timedelta(hours=hour))
    view = then(workspace, date(2026, 6, 6))
    assert view.told == Told("2026-06-04-nightly-x", date(2026, 6, 4), began)
    assert [run.night.day for run in view.later] == [9, 10]
    assert view.until == began + timedelta(hours=0)
    assert then(workspace, date(2026, 6, 3)).told is None


def _record(place: Workspace, night: str, began: datetime) -> None:
    from resight.catalog import table as catalog_table
    from resight.store.tables import write_table

    folder = place.runs / f"{night}-nightly-x"
    folder.mkdir(parents=True)
    text = {f.name: "{}" for f in catalog_table("runs").schema if f.type == pa.string()}
    row = text | {"run_id": folder.name, "flow": "nightly", "status": "accepted", "night": date.fromisoformat(night), "started_at": began, "ended_at": began}  # fmt: skip
    write_table(folder, "runs", pa.Table.from_pylist([row], schema=catalog_table("runs").schema))


def test_a_run_for_a_night_to_come_hides_none_of_those_that_followed() -> None:
    def told(night: date) -> Told:
        return Told(f"{night}-nightly-x", night, datetime(2026, 6, 4, 20, tzinfo=UTC) + (night - JUNE[4]))

    mistyped = Told("2027-06-02-nightly-x", date(2027, 6, 2), datetime(2026, 6, 5, 19, tzinfo=UTC))
    runs = [told(JUNE[4]), mistyped, told(JUNE[5]), told(JUNE[6])]
    assert [run.night for run in _in_turn(runs)] == [JUNE[4], JUNE[5], JUNE[6]]
