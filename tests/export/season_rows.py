"""A season written by hand: rows of the tables that exports and comparisons read."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

Rows = Sequence[Mapping[str, Any]]
MakeRun = Callable[..., str]
RUN_ID = "2026-06-05-nightly-0a1b2c3d"


def photo(name: str, encounter: str, day: date | None, **more: Any) -> dict[str, Any]:
    """A usable photo, taken at nine o'clock."""
    uri = f"photos/{encounter}/{name}.JPG"
    taken_at = datetime(day.year, day.month, day.day, 9) if day else None
    return {
        "photo_id": f"id-{name}", "uri": uri, "uris": [uri], "n_files": 1, "encounter_id": encounter, "encounter_source": "metadata",
        "individual_id": None, "extra": None, "latitude_deg": None, "longitude_deg": None, "viewpoint": "left", "first_night": date(2026, 6, 5), "status": "ok", "taken_on": day, "taken_at": taken_at,
    } | more  # fmt: skip


def verdict(encounter: str, decision: str, **more: Any) -> dict[str, Any]:
    return {
        "encounter_id": encounter, "n_photos": 1, "n_photos_compared": 1, "decision": decision, "n_calibration": 30,
        "method": "likelihood", "evidence": "Because of the pattern.", "status": "ok",
    } | more  # fmt: skip


def candidate(encounter: str, rank: int, animal: str, probability: float | None) -> dict[str, Any]:
    best = {f"best_{role}_{what}_id": f"{role} {what}" for role in ("query", "gallery") for what in ("crop", "photo")}
    return {
        "level": "encounter", "query_id": encounter, "encounter_id": encounter, "rank": rank, "individual_id": animal,
        "score": 1 / rank, "probability": probability, "n_photos": 1, "n_pairs": 1,
    } | best  # fmt: skip


def season() -> dict[str, Rows]:
    """Two summers at two sites: Ida and Nia are confirmed, one animal is decided, one provisional, one open."""
    laganas, dafni = json.dumps({"site": "Laganas, east"}), json.dumps({"site": "Dafni", "utc_offset": "+3"})
    at = {"latitude_deg": 37.72, "longitude_deg": 20.87}
    east = {"latitude_deg": 37.71, "longitude_deg": 20.96}
    photos = [
        photo("a1", "e1", date(2025, 6, 14), individual_id="Ida", extra=laganas, **at),
        photo("a2", "e1", date(2025, 6, 14), viewpoint="right", extra=laganas, **at)
        | {"taken_at": datetime(2025, 6, 14, 9, 2)},
        photo("a3", "e2", date(2025, 7, 1), individual_id="Ida", extra=dafni, **east),
        photo("a4", "e3", date(2025, 7, 2), individual_id="Nia", viewpoint="right", extra=laganas, **at),
        photo("a5", "e4", date(2025, 7, 2), individual_id="Nia", extra=laganas, **at),
        photo("b1", "e5", date(2026, 6, 3), extra=dafni, **east),
        photo("b2", "e6", date(2026, 6, 4), viewpoint="right"),
        photo("b3", "e7", None, viewpoint="unknown"),
        photo("bad", "e8", date(2026, 6, 4), status="rejected", reason="truncated"),
    ]
    novelty = [
        verdict("e5", "likely", individual_id="Ida", probability=0.9, p_new=0.04),
        verdict("e6", "likely_new", individual_id="Nia", probability=0.1, p_new=0.8, provisional_individual_id="new-1"),
        verdict("e7", "not_compared"),
    ]
    ranked = [candidate("e5", 1, "Ida", 0.9), candidate("e5", 2, "Nia", 0.03), candidate("e6", 1, "Nia", 0.1)]
    return {"photos": photos, "novelty": novelty, "identifications": ranked}
