"""Decisions on a real night: the next run heeds them, `identify` does at once, and each can be taken back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from flow_helpers import FIRST_NIGHT, SMALL
from typer.testing import CliRunner

from resight.cli.app import app
from resight.decisions.desk import Desk
from resight.decisions.entry import Kind
from resight.errors import SettingsError
from resight.flows.identify import identify
from resight.flows.nightly import run_nightly
from resight.store.runs import read_current
from resight.store.workspace import Workspace


def call(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json", "--workspace", str(workspace.root)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def current(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    table = read_current(workspace, name)
    assert table is not None
    return table.to_pylist()


def candidates(workspace: Workspace, encounter: str) -> list[str]:
    return [r["individual_id"] for r in current(workspace, "identifications") if r["query_id"] == encounter]


def names(workspace: Workspace) -> dict[str, str | None]:
    return {r["photo_id"]: r["individual_id"] for r in current(workspace, "photos")}


def test_decisions_reach_the_next_night_and_identify(reviewed_workspace: Workspace) -> None:
    before = {r["encounter_id"]: r for r in current(reviewed_workspace, "novelty")}
    refused, confirmed, *_ = sorted(before)
    first = candidates(reviewed_workspace, refused)[0]
    photos = {r["encounter_id"]: r for r in current(reviewed_workspace, "photos") if r["encounter_id"] in before}
    whole, known = names(reviewed_workspace), sorted({n for n in names(reviewed_workspace).values() if n})

    call(reviewed_workspace, "decide", "reject", refused, first, "--by", "Ana")
    animal = candidates(reviewed_workspace, confirmed)[0]
    call(reviewed_workspace, "decide", "confirm", photos[confirmed]["uri"], animal, "--by", "Ana", "--note", "scar")
    renamed = next(name for name in known if name != animal)
    call(reviewed_workspace, "rename", renamed, "Aphrodite", "--by", "Ben")

    file = reviewed_workspace.root / photos[refused]["uri"]
    (answer,) = identify(reviewed_workspace.root, [file], SMALL, quiet=True)["queries"]
    gone = {renamed: "Aphrodite"}.get(first, first)
    asked = [c["individual_id"] for c in answer["candidates"]]
    assert gone not in asked and asked, "identify heeds decisions before any night does"
    assert ("Aphrodite" in asked) != (first == renamed) and renamed not in asked

    run_nightly(reviewed_workspace.root, "2026-06-05", SMALL, quiet=True)
    now = names(reviewed_workspace)
    assert gone not in candidates(reviewed_workspace, refused) != []
    assert now[photos[confirmed]["photo_id"]] == animal and confirmed not in {r["encounter_id"] for r in current(reviewed_workspace, "novelty")}  # fmt: skip
    assert "Aphrodite" in now.values() and renamed not in now.values()
    rows = {r["kind"]: r for r in current(reviewed_workspace, "decisions")}
    assert set(rows) == {"reject", "confirm", "rename"} and rows["confirm"]["note"] == "scar"
    assert json.loads(rows["confirm"]["evidence"])["candidates"][0]["individual_id"] == animal
    again = run_nightly(reviewed_workspace.root, "2026-06-05", SMALL, quiet=True)
    assert any(note.startswith("Nothing is new") for note in again["notes"])

    for row in call(reviewed_workspace, "decisions")["decisions"]:
        call(reviewed_workspace, "decide", "undo", row["decision_id"], "--by", "Ana")
    run_nightly(reviewed_workspace.root, "2026-06-06", SMALL, quiet=True)
    assert names(reviewed_workspace) == whole
    after = {r["encounter_id"]: r for r in current(reviewed_workspace, "novelty")}
    assert {e: r["probability"] for e, r in after.items()} == {e: r["probability"] for e, r in before.items()}


def test_whom_a_person_refuses_leaves_its_place_of_the_shortlist_to_others(field_workspace: Workspace) -> None:
    """With one place: another animal gets it, the refused one is compared beside it, and all pairs are accounted for."""
    short = SMALL | {"shortlist": {"enabled": "on", "k": 1}, "pairs": {"viewpoint": "any"}}
    run_nightly(field_workspace.root, FIRST_NIGHT, short, quiet=True)
    animal_of = {r["photo_id"]: r["individual_id"] for r in current(field_workspace, "photos")}
    refused = next(r["encounter_id"] for r in current(field_workspace, "novelty") if r["decision"] != "not_compared")
    photos = {r["photo_id"] for r in current(field_workspace, "photos") if r["encounter_id"] == refused}

    def asked(name: str) -> list[dict[str, Any]]:
        rows = (r for r in current(field_workspace, name) if r["purpose"] == "identify")
        return [r for r in rows if r["query_photo_id"] in photos]

    def compared() -> list[str | None]:
        return sorted(animal_of[r["gallery_photo_id"]] for r in asked("pairs"))

    def n_pairs() -> int:
        return len(compared()) + sum(r["n_left_out"] for r in asked("pairs_left_out"))

    (name, *more), n_before = compared(), n_pairs()
    assert not more and candidates(field_workspace, refused) == [name]
    call(field_workspace, "decide", "reject", refused, name, "--by", "Ana")
    run_nightly(field_workspace.root, "2026-06-05", short, quiet=True)
    (other,) = (animal for animal in compared() if animal != name)
    assert candidates(field_workspace, refused) == [other]
    assert name in compared() and n_pairs() == n_before


def test_decisions_follow_moved_photos_and_what_is_not_compared_says_truly_why(reviewed_workspace: Workspace) -> None:
    moved, out, nobody, *_ = sorted({r["encounter_id"] for r in current(reviewed_workspace, "novelty")})
    uri = {r["encounter_id"]: r["uri"] for r in current(reviewed_workspace, "photos")}
    call(reviewed_workspace, "decide", "new", moved, "Zora")
    call(reviewed_workspace, "decide", "not-a-head", out)
    refused = sorted({n for n in names(reviewed_workspace).values() if n} | {"Zora"})
    for animal in refused:
        call(reviewed_workspace, "decide", "reject", nobody, animal)
    target = reviewed_workspace.root / "photos" / "moved here" / Path(uri[moved]).name
    target.parent.mkdir()
    shutil.move(reviewed_workspace.root / uri[moved], target)
    run_nightly(reviewed_workspace.root, "2026-06-05", SMALL, quiet=True)
    rows = [r for r in current(reviewed_workspace, "photos") if r["individual_id"] == "Zora"]
    assert len(rows) == 2 and all(r["labelled_individual_id"] is None for r in rows)
    assert [r["uri"] for r in rows if r["uri"].startswith("photos/moved here/")]
    verdicts = {r["encounter_id"]: r for r in current(reviewed_workspace, "novelty")}
    assert {verdicts[e]["decision"] for e in (out, nobody)} == {"not_compared"}
    assert (
        verdicts[out]["reason"] == "no_usable_head" and "a person has taken the crop out" in verdicts[out]["evidence"]
    )
    assert verdicts[nobody]["reason"] == "all_rejected", (
        "it was compared, and a person has refused whom it was compared with"
    )
    assert f"it is not {', '.join(refused[:3])}" in verdicts[nobody]["evidence"]
    page = (reviewed_workspace.current / "report.html").read_text(encoding="utf-8")
    assert "No candidate is left" in page and page.count(">no head<br>") == 2, (
        "the photos are shown where there is no head"
    )
    photos = {r["photo_id"] for r in current(reviewed_workspace, "photos") if r["encounter_id"] == out}
    assert {r["status"] for r in current(reviewed_workspace, "crops") if r["photo_id"] in photos} == {"taken_out"}


def test_names_that_look_like_known_ones_are_stopped_with_a_question(reviewed_workspace: Workspace) -> None:
    desk = Desk(reviewed_workspace)
    encounter = sorted(desk.tables.verdicts)[0]
    photos = desk.tables.encounters[encounter]
    known = sorted(desk.animals())[0]
    typed = known.upper() if known.upper() != known else known.lower()

    def say(kind: Kind, name: str, **how: bool) -> None:
        desk.decide(desk.entry(kind, "Ana", photos, individual_id=name), **how)

    for kind in (Kind.CONFIRM, Kind.NEW):
        with pytest.raises(SettingsError, match=f"did you mean {known}"):
            say(kind, typed)
    with pytest.raises(SettingsError, match="is known already"):
        say(Kind.NEW, known)
    with pytest.raises(SettingsError, match="Nobody is called Xanthippe"):
        say(Kind.CONFIRM, "Xanthippe")
    with pytest.raises(SettingsError, match="Nothing here is called"):
        desk.find("no such photo.jpg")
    assert desk.log.entries() == ()
    say(Kind.NEW, typed, really_new=True)
    assert typed in desk.animals()


def test_what_is_said_of_a_photo_is_said_of_no_other(reviewed_workspace: Workspace) -> None:
    desk = Desk(reviewed_workspace)
    encounter = sorted(desk.tables.verdicts)[0]
    one, other = desk.tables.encounters[encounter]
    uri = desk.tables.photos[one]["uri"]
    call(reviewed_workspace, "decide", "not-a-head", uri)
    call(reviewed_workspace, "decide", "side", uri, "top")
    call(reviewed_workspace, "decide", "bad-crop", uri)
    assert [e.photos for e in Desk(reviewed_workspace).log.entries()] == [(one,)] * 3
    call(reviewed_workspace, "decide", "side", encounter, "top")
    assert Desk(reviewed_workspace).log.entries()[-1].photos == tuple(sorted((one, other)))


def test_after_a_split_each_part_is_decided_on_by_itself(reviewed_workspace: Workspace) -> None:
    desk = Desk(reviewed_workspace)
    encounter = sorted(desk.tables.verdicts)[0]
    one, other = desk.tables.encounters[encounter]
    uri = {p: desk.tables.photos[p]["uri"] for p in (one, other)}
    call(reviewed_workspace, "decide", "split", encounter, "--photo", uri[one])
    call(reviewed_workspace, "decide", "new", uri[one], "Marina")
    call(reviewed_workspace, "decide", "new", uri[other], "Xanthippe")
    desk = Desk(reviewed_workspace)
    assert {desk.name_of(desk.tables.photos[p]): p for p in (one, other)} == {"Marina": one, "Xanthippe": other}
    with pytest.raises(SettingsError, match="was split"):
        desk.find(encounter)
    (part,) = {desk.find(uri[one])[0]}
    assert desk.find(part) == (part, [one])
