"""Which labelled encounters are the gallery and which ask, so that no animal is found by the day's light and water."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from resight.errors import LeakError

ROLE, TIME_AWARE = "role", "time-aware"
_COLUMNS = ["photo_id", "encounter_id", "individual_id", "taken_on", "role", "status"]


@dataclass(frozen=True)
class Split:
    """Gallery and queries.

    Attributes:
        gallery_encounters, query_encounters: Disjoint encounter ids.
        protocol: ``role`` or ``time-aware``.
        same_day_share: Share of query photos with a gallery photo of the same animal and day; 0 unless tolerated.
        notes: Sentences about what was left out and why.
    """

    gallery_encounters: frozenset[str]
    query_encounters: frozenset[str]
    protocol: str
    same_day_share: float
    notes: tuple[str, ...]


def split(photos: pa.Table, tolerate_leak: bool = False) -> Split:
    """Split by the photos' ``role`` where one is given, otherwise by time.

    ``time-aware``: the encounters (animal and day) of every individual in order of date; the first half, rounded down
    but at least one, is gallery, all later ones ask. Individuals with one encounter are gallery only: they can be
    confused with others but not asked for. Encounters without a date of an individual that also has dated ones are
    left out, as nobody can say that they are not from the day of a query.

    Args:
        photos: The ``photos`` table; only usable photos with a label count.
        tolerate_leak: Give the split back with its `Split.same_day_share` instead of refusing it.

    Raises:
        LeakError: An encounter is on both sides, or a query has a gallery photo of the same animal and day.
    """
    rows = [r for r in photos.select(_COLUMNS).to_pylist() if r["status"] == "ok" and r["individual_id"]]
    notes = _left_out(photos.num_rows - len(rows), "photos are unlabelled or unusable and take no part")
    by_role = any(r["role"] for r in rows)
    gallery, query, more = _by_role(rows) if by_role else _by_time(rows)
    share = _share([r for r in rows if r["encounter_id"] in query], [r for r in rows if r["encounter_id"] in gallery])
    if share and not tolerate_leak:
        raise LeakError(
            f"{share:.1%} of the query photos have a gallery photo of the same animal from the same day; accuracy would be "
            "overstated. Give all photos of one animal and day the same role in metadata.csv, or leave the roles out."
        )
    return Split(frozenset(gallery), frozenset(query), ROLE if by_role else TIME_AWARE, share, (*notes, *more))


def same_day_share(photos: pa.Table, queries: Collection[str], gallery: Collection[str]) -> float:
    """Share of the query photos that have a gallery photo of the same animal and day, or of the same encounter.

    Args:
        photos: The ``photos`` table with all labels.
        queries: Photo ids.
        gallery: Photo ids.
    """
    rows = [r for r in photos.select(_COLUMNS[:4]).to_pylist() if r["individual_id"]]
    asking, known = set(queries), set(gallery)
    return _share([r for r in rows if r["photo_id"] in asking], [r for r in rows if r["photo_id"] in known])


def _share(queries: list[dict[str, Any]], gallery: list[dict[str, Any]]) -> float:
    days = {(r["individual_id"], r["taken_on"]) for r in gallery if r["taken_on"]}
    encounters = {r["encounter_id"] for r in gallery}
    leaks = [r["encounter_id"] in encounters or (r["individual_id"], r["taken_on"]) in days for r in queries]
    return sum(leaks) / len(leaks) if leaks else 0.0


def _by_role(rows: list[dict[str, Any]]) -> tuple[set[str], set[str], tuple[str, ...]]:
    gallery = {r["encounter_id"] for r in rows if r["role"] == "gallery"}
    query = {r["encounter_id"] for r in rows if r["role"] == "query"}
    both = sorted(gallery & query)
    if both:
        raise LeakError(
            f"{len(both)} encounters have photos of both roles (first: {both[0]}); "
            "give all photos of one encounter the same role in metadata.csv"
        )
    without = sum(not r["role"] for r in rows)
    undated = sum(r["role"] == "query" and r["taken_on"] is None for r in rows)
    return (
        gallery,
        query,
        (
            *_left_out(without, "photos have no role and take no part"),
            *_left_out(
                undated, "query photos have no date, so that a gallery photo of the same day would go unnoticed"
            ),
        ),
    )


def _by_time(rows: list[dict[str, Any]]) -> tuple[set[str], set[str], tuple[str, ...]]:
    first_day: dict[str, dict[str, date | None]] = {}
    for r in rows:
        of_animal = first_day.setdefault(r["individual_id"], {})
        of_animal[r["encounter_id"]] = _earlier(of_animal.get(r["encounter_id"]), r["taken_on"])
    gallery: set[str] = set()
    query: set[str] = set()
    undated: set[str] = set()
    for encounters in first_day.values():
        days = sorted({day for day in encounters.values() if day})
        if not days:
            gallery |= set(encounters)
            continue
        last_gallery_day = days[max(1, len(days) // 2) - 1]
        undated |= {e for e, day in encounters.items() if day is None}
        gallery |= {e for e, day in encounters.items() if day and day <= last_gallery_day}
        query |= {e for e, day in encounters.items() if day and day > last_gallery_day}
    return gallery, query, _left_out(len(undated), "encounters have no date and take no part")


def _earlier(one: date | None, other: date | None) -> date | None:
    return min(day for day in (one, other) if day) if one or other else None


def _left_out(count: int, what: str) -> tuple[str, ...]:
    return (f"{count} {what}.",) if count else ()
