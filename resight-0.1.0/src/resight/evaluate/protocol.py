"""Which labelled encounters are gallery and which are queries, so that no animal is recognised by light and water of the day."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from resight.errors import LeakError, NothingToMeasure

AUTO, ROLE, TIME_AWARE, LEAVE_ONE_OUT = "auto", "role", "time-aware", "leave-one-encounter-out"
FIRST_YEAR = "first-year"
_COLUMNS = ["photo_id", "encounter_id", "individual_id", "taken_on", "role", "status"]


@dataclass(frozen=True)
class Split:
    """Gallery and queries.

    Attributes:
        gallery_encounters, query_encounters: Encounter ids; disjoint unless one encounter is left out at a time
            (``leave-one-encounter-out``) and has all others as its gallery, or photos of both roles are tolerated.
        protocol: ``role``, ``time-aware``, ``first-year`` or ``leave-one-encounter-out``.
        same_day_share: Share of query photos with a gallery photo of the same animal and day; 0 unless tolerated.
        notes: Sentences about what was left out and why.
    """

    gallery_encounters: frozenset[str]
    query_encounters: frozenset[str]
    protocol: str
    same_day_share: float
    notes: tuple[str, ...]


def split(photos: pa.Table, tolerate_leak: bool = False, protocol: str = AUTO, few_queries: int = 0) -> Split:
    """Choose gallery and queries.

    ``role``: as the column says. ``time-aware``: the encounters (animal and day) of every individual in order of date;
    the first half, rounded down but at least one, is gallery, all later ones are queries. Individuals with one encounter are
    gallery only: they can be confused with others but are never the right answer. Encounters without a date of an individual that
    also has dated ones are left out, as they may be from the day of a query.
    ``first-year``: as ``time-aware``, but the encounters of every individual's first calendar year are gallery, those of later
    years queries; which of their photos ask, see `folds.of_a_gallery_side`.
    ``leave-one-encounter-out``: every encounter of an individual that was met on several days is the query once,
    against all other encounters but those of the same animal and day. ``auto``: by role where one is given, otherwise
    by time, or by leaving one out where that gives fewer than ``few_queries`` query encounters.

    Args:
        photos: The ``photos`` table; only usable photos with a label count.
        tolerate_leak: Give the split back with its `Split.same_day_share` instead of refusing it.
        protocol: One of the above.
        few_queries: See ``auto``.

    Raises:
        LeakError: A query has a gallery photo of the same animal and day, or of the same encounter.
        NothingToMeasure: the protocol is ``role`` and no photo has one.
    """
    rows = [r for r in photos.select(_COLUMNS).to_pylist() if r["status"] == "ok" and r["individual_id"]]
    notes = _left_out(photos.num_rows - len(rows), "photos are unlabelled or unusable and take no part")
    chosen, gallery, query, more = _sides(rows, protocol, few_queries)
    share = 0.0
    if chosen != LEAVE_ONE_OUT:
        share = _share(*(_side(rows, chosen, encounters, role) for encounters, role in ((query, "query"), (gallery, "gallery"))))  # fmt: skip
        if share and not tolerate_leak:
            raise LeakError(leak_sentence(share) + _both_sides(gallery & query) + " Give all photos of one animal and day the same role in metadata.csv, or leave the roles out.")  # fmt: skip
    return Split(frozenset(gallery), frozenset(query), chosen, share, (*notes, *more))


def leak_sentence(share: float) -> str:
    """The error of the leak gate."""
    return (
        f"{share:.1%} of the query photos have a gallery photo of the same animal from the same day; accuracy would be "
        "overstated, so there is no headline figure."
    )


def refuse_leak(
    photos: pa.Table, queries: Collection[str], gallery: Collection[str], tolerate_leak: bool = False
) -> float:
    """The leak gate: what `same_day_share` says; above 0 it is an error unless tolerated.

    Raises:
        LeakError: See above.
    """
    share = same_day_share(photos, queries, gallery)
    if share and not tolerate_leak:
        raise LeakError(
            leak_sentence(share)
            + " Split by date or by encounter (evaluate.protocol = 'time-aware'), or look at the figures without a headline by --tolerate-leak."
        )
    return share


def same_day_share(photos: pa.Table, queries: Collection[str], gallery: Collection[str]) -> float:
    """Share of the query photos that have a gallery photo of the same animal and day, or of the same encounter.

    Args:
        photos: The ``photos`` table with all labels.
        queries: Photo ids.
        gallery: Photo ids.
    """
    rows = [r for r in photos.select(_COLUMNS[:4]).to_pylist() if r["individual_id"]]
    query_ids, gallery_ids = set(queries), set(gallery)
    return _share([r for r in rows if r["photo_id"] in query_ids], [r for r in rows if r["photo_id"] in gallery_ids])


def _share(queries: list[dict[str, Any]], gallery: list[dict[str, Any]]) -> float:
    days = {(r["individual_id"], r["taken_on"]) for r in gallery if r["taken_on"]}
    encounters = {r["encounter_id"] for r in gallery}
    leaks = [r["encounter_id"] in encounters or (r["individual_id"], r["taken_on"]) in days for r in queries]
    return sum(leaks) / len(leaks) if leaks else 0.0


def _side(rows: list[dict[str, Any]], protocol: str, encounters: Collection[str], role: str) -> list[dict[str, Any]]:
    """Photos of one side: by their own role where roles decide, otherwise by their encounter."""
    return [r for r in rows if r["encounter_id"] in encounters and (protocol != ROLE or r["role"] == role)]


def _both_sides(encounters: Collection[str]) -> str:
    return f" {len(encounters)} encounters have photos of both roles (first: {min(encounters)})." if encounters else ""


Sides = tuple[set[str], set[str], tuple[str, ...]]


def _sides(
    rows: list[dict[str, Any]], protocol: str, few_queries: int
) -> tuple[str, set[str], set[str], tuple[str, ...]]:
    has_roles = any(r["role"] for r in rows)
    if protocol == ROLE and not has_roles:
        raise NothingToMeasure("No photo has a role; fill the column role of metadata.csv, or choose another evaluate.protocol.")  # fmt: skip
    if protocol == ROLE or (protocol == AUTO and has_roles):
        return (ROLE, *_by_role(rows))
    if protocol == FIRST_YEAR:
        return (FIRST_YEAR, *_by_time(rows, _end_of_first_year))
    by_time = _by_time(rows, _end_of_first_half)
    if protocol == TIME_AWARE or (protocol == AUTO and len(by_time[1]) >= few_queries):
        return (TIME_AWARE, *by_time)
    gallery, query, notes = _leave_one_out(rows)
    if protocol == AUTO:
        notes = (f"With earlier encounters as gallery and later ones as queries there would be only {len(by_time[1])} query encounters, "
                 f"so each encounter is identified among all others ({LEAVE_ONE_OUT}).", *notes)  # fmt: skip
    return LEAVE_ONE_OUT, gallery, query, notes


def _by_role(rows: list[dict[str, Any]]) -> Sides:
    gallery = {r["encounter_id"] for r in rows if r["role"] == "gallery"}
    query = {r["encounter_id"] for r in rows if r["role"] == "query"}
    without = sum(not r["role"] for r in rows)
    undated = sum(r["role"] == "query" and r["taken_on"] is None for r in rows)
    unseen = "query photos have no date, so that a gallery photo of the same day would go unnoticed"
    notes = (*_left_out(without, "photos have no role and take no part"), *_left_out(undated, unseen))
    return gallery, query, notes


def _end_of_first_half(days: list[date]) -> date:
    return days[max(1, len(days) // 2) - 1]


def _end_of_first_year(days: list[date]) -> date:
    return max(day for day in days if day.year == days[0].year)


def _by_time(rows: list[dict[str, Any]], last_of: Callable[[list[date]], date]) -> Sides:
    """``last_of`` takes an animal's days in order and says which is the gallery's last."""
    gallery: set[str] = set()
    query: set[str] = set()
    undated: set[str] = set()
    for encounters in _first_days(rows).values():
        days = sorted({day for day in encounters.values() if day})
        if not days:
            gallery |= set(encounters)
            continue
        last_gallery_day = last_of(days)
        undated |= {e for e, day in encounters.items() if day is None}
        gallery |= {e for e, day in encounters.items() if day and day <= last_gallery_day}
        query |= {e for e, day in encounters.items() if day and day > last_gallery_day}
    return gallery, query, _left_out(len(undated), "encounters have no date and take no part")


def _leave_one_out(rows: list[dict[str, Any]]) -> Sides:
    gallery: set[str] = set()
    query: set[str] = set()
    undated = 0
    for encounters in _first_days(rows).values():
        dated = {e for e, day in encounters.items() if day}
        if len({encounters[e] for e in dated}) > 1:
            query |= dated
        gallery |= dated or set(encounters)
        undated += len(encounters) - len(dated) if dated else 0
    return gallery, query, _left_out(undated, "encounters have no date and take no part")


def _first_days(rows: list[dict[str, Any]]) -> dict[str, dict[str, date | None]]:
    """First day of every encounter, by animal."""
    first_day: dict[str, dict[str, date | None]] = {}
    for r in rows:
        of_animal = first_day.setdefault(r["individual_id"], {})
        days = [day for day in (of_animal.get(r["encounter_id"]), r["taken_on"]) if day]
        of_animal[r["encounter_id"]] = min(days, default=None)
    return first_day


def _left_out(count: int, what: str) -> tuple[str, ...]:
    return (f"{count} {what}.",) if count else ()
