"""A year of a site, cut down to five nights in one process; `benchmarks/bench_year.py` has the long one."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from bench_year import Site
from year_page import by_part, markdown, write_page
from year_plan import KNOWN_BEFORE, Meeting, Night, name_of, plan_year

from resight.decisions.desk import Desk
from resight.run.models import current_model

FIRST = date(2027, 3, 1)
NEWCOMER = KNOWN_BEFORE + 1


def test_five_nights_with_all_that_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    days = [FIRST + timedelta(days=k) for k in range(5)]
    met = [Meeting(1, f"{days[0]}/dive 1", (10, 11)), Meeting(NEWCOMER, f"{days[0]}/dive 2", (10,))]
    plan = [
        Night(days[0], met, review=True), Night(days[1], trouble="disk"), Night(days[2], trouble="missed"),
        Night(days[3], [Meeting(NEWCOMER, f"{days[3]}/dive 1", (11,))]), Night(days[4], model="worse"),
    ]  # fmt: skip
    record = tmp_path / "year.jsonl"
    site = Site(tmp_path, "site-1", 1, record)
    site.begin(FIRST)
    models = []
    for night in plan:
        site.night(night)
        model = current_model(site.place)
        models.append(model.fingerprint if model else None)
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [(row["command"], row["code"]) for row in rows if row["command"] != "status"] == [
        ("nightly", 0), ("prune", 0), ("nightly", 3), ("nightly", 0), ("nightly", 0), ("rebuild", 5),
    ]  # fmt: skip
    alerts = [json.loads(text) for text in site.alerts.read_text().splitlines() if text]
    assert {alert["event"] for alert in alerts} == {"done", "kept_aside", "refused", "met_again"}
    assert models[0] is not None and set(models) == {models[0]}, "a refused model changes nothing"
    animals = Desk(site.place).animals()
    assert animals[name_of(NEWCOMER)] == 1, "the first photo of the newcomer was named, and it is in the gallery"
    last = [row for row in rows if row["command"] == "nightly"][-1]
    assert (last["photos"], last["named"], last["right"]) == (2 * KNOWN_BEFORE + 4, 1, 1), "and recognised"
    write_page(tmp_path / "year.html", rows, {"site-1": alerts})
    page = (tmp_path / "year.html").read_text()
    assert all(text in page for text in ("kept aside", "is refused", "CPU seconds of a night", "<polyline"))
    assert markdown(rows).count("\n") == len(by_part(rows)) + 1


def test_a_year_holds_everything_and_is_the_same_each_time() -> None:
    year = plan_year(FIRST, 365, 0.6, seed=1)
    assert year == plan_year(FIRST, 365, 0.6, seed=1) != plan_year(FIRST, 365, 0.6, seed=2)
    months = [sum(len(night.meetings) for night in year[k : k + 61]) for k in (0, 183)]
    assert months[1] > 3 * months[0], "summer"
    assert {night.trouble for night in year} == {"", "missed", "disk", "damaged"}
    assert [night.model for night in year if night.model] == ["better", "worse"]
    assert sum(night.killed_after_s > 0 for night in year) == 6
    animals = {meeting.animal for night in year for meeting in night.meetings}
    assert len(animals) > KNOWN_BEFORE + 20 and len({name_of(animal) for animal in animals}) == len(animals)
