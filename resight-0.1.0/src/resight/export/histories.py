"""Capture histories: which animal was photographed on which occasion, from which side, and how certain that is."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from resight.errors import SettingsError
from resight.export.sightings import Row

LEFT, RIGHT = "left", "right"
NEITHER, LEFT_ONLY, RIGHT_ONLY, BOTH_APART, BOTH_TOGETHER = range(5)
LENGTHS = ("day", "month", "year")
DAYS = re.compile(r"([1-9]\d{0,3})\s*d?(?:ays?)?")


@dataclass(frozen=True)
class Occasion:
    """A period in which an animal counts as captured or not: days ``start`` to ``end``, both included."""

    number: int
    start: date
    end: date
    n_sightings: int


@dataclass(frozen=True)
class Capture:
    """An animal on an occasion, from one encounter."""

    animal: str
    occasion: int
    row: Row


def checked_length(text: str) -> str:
    """The length of an occasion if it is one: day, month, year, or a number of days such as ``14``.

    Raises:
        SettingsError: It is not.
    """
    if text not in LENGTHS and not DAYS.fullmatch(text):
        raise SettingsError(
            f"{text!r} is no length of an occasion; write day, month, year, or a number of days such as 14."
        )
    return text


def occasions_of(days: Sequence[date], length: str, all_periods: bool = False) -> list[Occasion]:
    """The occasions that these days fall into, numbered from 1.

    Args:
        days: Days of all sightings, also of animals that nobody has named: photos were taken on them.
        length: ``day``, ``month``, ``year``, or a number of days, counted from the first day.
        all_periods: Also the periods between first and last in which nothing was photographed.
    """
    if not days:
        return []
    ordered = sorted(days)
    periods, start = [], _start(ordered[0], length)
    while start <= ordered[-1]:
        after = _next(start, length)
        n_sightings = bisect_left(ordered, after) - bisect_left(ordered, start)
        periods.append((start, after - timedelta(days=1), n_sightings))
        start = after
    kept = [period for period in periods if period[2] or all_periods]
    return [Occasion(number, *period) for number, period in enumerate(kept, 1)]


def _start(day: date, length: str) -> date:
    if length == "year":
        return day.replace(month=1, day=1)
    return day.replace(day=1) if length == "month" else day


def _next(start: date, length: str) -> date:
    if length == "year":
        return start.replace(year=start.year + 1)
    if length == "month":
        return (start + timedelta(days=31)).replace(day=1)
    match = DAYS.fullmatch(length)
    return start + timedelta(days=int(match[1]) if match else 1)


def occasion_on(day: date, occasions: Sequence[Occasion]) -> int:
    """Number of the occasion that holds a day, which one of them does."""
    return occasions[bisect_right(occasions, day, key=lambda occasion: occasion.start) - 1].number


def captures_of(rows: Sequence[Row], occasions: Sequence[Occasion]) -> list[Capture]:
    """The sightings that have an animal and a day, each on its occasion; in the order of animal, occasion and sighting."""
    captures = []
    for row in rows:
        if row["individual_id"] and row["taken_on"]:
            captures.append(Capture(row["individual_id"], occasion_on(row["taken_on"], occasions), row))
    return sorted(captures, key=lambda capture: (capture.animal, capture.occasion, capture.row["sighting_id"]))


def matrix_of(captures: Sequence[Capture], n_occasions: int, side: str | None = None) -> dict[str, list[int]]:
    """For each animal one 0 or 1 per occasion; animals that were never captured (from that side) are left out."""
    matrix: dict[str, list[int]] = {}
    for capture in captures:
        if side is None or side in capture.row["viewpoints"]:
            matrix.setdefault(capture.animal, [0] * n_occasions)[capture.occasion - 1] = 1
    return matrix


def two_sided_matrix_of(captures: Sequence[Capture], n_occasions: int) -> dict[str, list[int]]:
    """For each animal one code per occasion, as the R package multimark has them.

    0: not captured; 1: left only; 2: right only; 3: both, but in no encounter together; 4: both in one encounter. Sightings
    that show neither side are left out.
    """
    codes: dict[str, list[int]] = {}
    for capture in captures:
        sides = {LEFT, RIGHT} & set(capture.row["viewpoints"])
        if sides:
            history = codes.setdefault(capture.animal, [NEITHER] * n_occasions)
            place = capture.occasion - 1
            history[place] = _together(history[place], _code(sides))
    return codes


def _code(sides: set[str]) -> int:
    if len(sides) == 2:
        return BOTH_TOGETHER
    return LEFT_ONLY if LEFT in sides else RIGHT_ONLY


def _together(before: int, new: int) -> int:
    if NEITHER in (before, new) or before == new:
        return max(before, new)
    return BOTH_TOGETHER if BOTH_TOGETHER in (before, new) else BOTH_APART
