"""Which photos without a name form an encounter where nobody has said so."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from resight.ingest.encounters import default_encounters, distance_m
from resight.ingest.params import EncounterParams

DAY = datetime(2026, 6, 3, 9)


def row(uri: str, minutes: float | None = None, name: str | None = None, **more: Any) -> dict[str, Any]:
    at = None if minutes is None else DAY + timedelta(minutes=minutes)
    facts = {"taken_at": at, "taken_on": at.date() if at else None, "latitude_deg": None, "longitude_deg": None}
    return {"photo_id": uri, "uri": uri, "individual_id": name} | facts | more


def groups(*rows: dict[str, Any], **params: Any) -> list[list[str]]:
    """Photos by encounter, single ones left out."""
    found = default_encounters(rows, EncounterParams(**params))
    together: dict[str, list[str]] = {}
    for photo, (encounter, _) in found.items():
        together.setdefault(encounter, []).append(photo)
    return sorted(sorted(photos) for photos in together.values() if len(photos) > 1)


def test_folders_side_by_side_are_dives_and_a_flat_folder_is_none() -> None:
    dives = [row(f"photos/dive {d}/{k}.jpg") for d in range(3) for k in range(2)]
    assert groups(*dives) == [[f"photos/dive {d}/0.jpg", f"photos/dive {d}/1.jpg"] for d in range(3)]
    assert groups(*(row(f"photos/{k}.jpg") for k in range(5))) == []
    assert groups(*(row(f"photos/card/{k}.jpg") for k in range(5))) == [], "one folder alone may hold everything"


def test_folders_that_hold_more_than_a_dive_stay_photo_by_photo() -> None:
    large = [row(f"photos/{side}/{k}.jpg") for side in ("a", "b", "c") for k in range(21)]
    assert groups(*large) == []
    assert groups(*(row(f"photos/{what}/{k}.jpg") for what in ("gallery", "queries") for k in range(5))) == []
    nested = [row(f"photos/{folder}/{k}.jpg") for folder in ("a", "a/b", "c", "c/d") for k in range(2)]
    assert groups(*nested) == []
    two_animals = [row("photos/a/1.jpg", name="Ada"), row("photos/a/2.jpg", name="Bo"), row("photos/a/3.jpg")]
    with_others = [*two_animals, row("photos/a/4.jpg"), *(row(f"photos/{d}/{k}.jpg") for d in "bc" for k in range(2))]
    assert groups(*with_others) == []


def test_folders_called_like_their_animal_make_no_dive_of_the_inbox_beside_them() -> None:
    inbox = [row(f"photos/new/{k}.jpg") for k in range(3)]
    catalogue = [row(f"photos/{name}/1.jpg", name=name.title()) for name in ("ada", "bo", "cy")]
    assert groups(*catalogue, *inbox) == []
    dives = [row(f"photos/dive {d}/1.jpg", name="Ada") for d in (1, 2)]
    assert groups(*dives, *inbox) == [[r["uri"] for r in inbox]], "a dive whose photos all have a name is one still"


def test_times_cut_a_folder_that_holds_everything() -> None:
    card = [row(f"card/{k}.jpg", minutes) for k, minutes in enumerate((0, 0.5, 1.4, 3, 3.2, 60))]
    assert groups(*card) == [["card/0.jpg", "card/1.jpg", "card/2.jpg"], ["card/3.jpg", "card/4.jpg"]]
    assert groups(*card, gap_minutes=2) == [[f"card/{k}.jpg" for k in range(5)]]
    others = [row(f"{other}/{k}.jpg", minutes) for other in ("b", "c") for k, minutes in enumerate((0, 4))]
    assert [len(g) for g in groups(*card, *others)] == [2, 2, 5], "folders that are dives: pauses of five minutes"
    untimed = [row(f"card/x{k}.jpg") for k in range(2)]
    assert groups(*card[:2], *untimed) == [["card/0.jpg", "card/1.jpg"]]


def test_a_camera_that_never_rests_is_cut_every_hour() -> None:
    card = [row(f"card/{k:03}.jpg", k / 2) for k in range(300)]
    assert [len(photos) for photos in groups(*card)] == [121, 121, 58]


def test_photos_of_two_places_are_two_encounters() -> None:
    here = {"latitude_deg": 37.72, "longitude_deg": 20.87}
    there = here | {"latitude_deg": 37.7225}
    assert distance_m(here, there) == pytest.approx(278, abs=1)  # 0.0025 degrees of 111.2 km each
    photos = [row("card/1.jpg", 0, **here), row("card/2.jpg", 0.1, **here), row("card/3.jpg", 0.2, **there), row("card/4.jpg", 0.3)]  # fmt: skip
    assert groups(*photos) == [["card/1.jpg", "card/2.jpg"], ["card/3.jpg", "card/4.jpg"]]


def test_two_places_are_two_encounters_in_the_same_second_too() -> None:
    here = {"latitude_deg": 37.72, "longitude_deg": 20.87}
    there = here | {"latitude_deg": 37.7225}
    rows = [row(f"photos/card/{c}{k}.jpg", 0, **place) for c, place in (("a", here), ("b", there)) for k in range(2)]
    assert groups(*rows) == [[f"photos/card/{c}{k}.jpg" for k in range(2)] for c in "ab"]


def test_what_has_a_name_or_an_encounter_is_left_alone_and_the_setting_counts() -> None:
    rows = [row("a/1.jpg", 0, name="Ada"), row("a/2.jpg", 0, encounter_id="dive 7"), row("a/3.jpg", 0), row("a/4.jpg", 0), row("a/5.jpg", 9)]  # fmt: skip
    assert list(default_encounters(rows, EncounterParams())) == ["a/3.jpg", "a/4.jpg"], "and a photo alone stays one"
    assert default_encounters(rows, EncounterParams(unlabelled="photo")) == {}
    assert groups(row("a/1.jpg"), row("a/2.jpg"), unlabelled="folder") == [["a/1.jpg", "a/2.jpg"]]


def test_names_tell_folders_outside_of_the_workspace_apart_and_nothing_about_the_machine() -> None:
    roots = ("/home/ada/June", "/media/card/June", "s3://bucket/June")
    rows = [row(f"{root}/dive {d}/1.jpg") for root in roots for d in (1, 2, 3)]
    names = {name for name, _ in default_encounters(rows, EncounterParams()).values()}
    assert len(names) == 9 and all(name.startswith("June/dive ") for name in names)
