"""Unknown animals over three nights: their names stay, and everything that happens to them is written down once."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
from flow_helpers import SMALL

from resight.flows.nightly import run_nightly
from resight.store.runs import read_current
from resight.store.workspace import Workspace


def night(workspace: Workspace, date: str) -> dict[str, Any]:
    """Fused evidence says by itself how likely two are one; three animals could not teach that to another score."""
    asked = SMALL | {"segment": {"kind": "whole"}, "score": {"name": "fused"}}
    return run_nightly(workspace.root, date, asked, quiet=True)


def names(workspace: Workspace) -> dict[str, str]:
    table = read_current(workspace, "novelty")
    assert table is not None
    return dict(zip(table["encounter_id"].to_pylist(), table["provisional_individual_id"].to_pylist(), strict=True))


def events(workspace: Workspace) -> list[tuple[str, str, str, str, str | None]]:
    table = read_current(workspace, "provisional")
    assert table is not None
    keys = ("night", "event", "provisional_individual_id", "encounter_id", "into")
    return [tuple(str(row[k]) if k == "night" else row[k] for k in keys) for row in table.to_pylist()]  # type: ignore[misc]


def label(file: Path, name: str, **columns: str) -> None:
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    fields = list(rows[0])
    row = next((r for r in rows if r["file"] == name), None)
    if row is None:
        row = dict.fromkeys(fields, "") | {"file": name}
        rows.append(row)
    row |= columns
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, fields)
        writer.writeheader()
        writer.writerows(rows)


def test_names_of_unknown_animals_last_from_night_to_night(field_workspace: Workspace) -> None:
    survey = field_workspace.root / "photos" / "survey"
    night(field_workspace, "2026-06-04")
    first, told = names(field_workspace), events(field_workspace)
    assert len(first) == 4 and all(first.values()), "three animals cannot promise anything, so nobody is called known"
    assert {(e[0], e[2], e[3]) for e in told} == {("2026-06-04", first[e], e) for e in first}

    night(field_workspace, "2026-06-04")  # once more
    assert events(field_workspace) == told

    with (survey / "metadata.csv").open(newline="", encoding="utf-8") as opened:
        asked = next(r for r in csv.DictReader(opened) if not r["individual_id"])
    picture = cv2.imread(str(survey / asked["file"]))
    height = picture.shape[0]
    cv2.imwrite(str(survey / "seen again.jpg"), cv2.GaussianBlur(picture, (3, 3), 0)[: height - 4])
    label(
        survey / "metadata.csv",
        "seen again.jpg",
        encounter_id="seen again",
        taken_at="2026-07-01",
        viewpoint=asked["viewpoint"],
    )
    night(field_workspace, "2026-06-05")
    second = names(field_workspace)
    assert second["seen again"] == second[asked["encounter_id"]] == first[asked["encounter_id"]]
    assert {e: second[e] for e in first} == first
    assert events(field_workspace)[: len(told)] == told
    assert [e[:2] for e in events(field_workspace)[len(told) :]] == [("2026-06-05", "joined")]

    label(survey / "metadata.csv", asked["file"], individual_id="Zora")
    night(field_workspace, "2026-06-06")
    after = events(field_workspace)
    assert ("2026-06-06", "confirmed", first[asked["encounter_id"]], asked["encounter_id"], "Zora") in after
    assert asked["encounter_id"] not in names(field_workspace)
    assert names(field_workspace)["seen again"] in (first[asked["encounter_id"]], None)
    night(field_workspace, "2026-06-07")
    assert events(field_workspace) == after, "a night without news adds nothing"


def test_naming_a_photo_that_was_an_encounter_of_its_own_is_logged_as_confirmed(field_workspace: Workspace) -> None:
    survey = field_workspace.root / "photos" / "survey"
    with (survey / "metadata.csv").open(newline="", encoding="utf-8") as opened:
        asked = next(r for r in csv.DictReader(opened) if not r["individual_id"])
    label(survey / "metadata.csv", asked["file"], encounter_id="")
    night(field_workspace, "2026-06-04")
    before = names(field_workspace)
    photos = read_current(field_workspace, "photos")
    assert photos is not None
    (encounter,) = [r["encounter_id"] for r in photos.to_pylist() if r["uri"].endswith(asked["file"])]
    assert encounter != asked["encounter_id"]
    label(survey / "metadata.csv", asked["file"], individual_id="Zora")
    night(field_workspace, "2026-06-05")
    assert encounter not in names(field_workspace)
    assert ("2026-06-05", "confirmed", before[encounter], encounter, "Zora") in events(field_workspace)
