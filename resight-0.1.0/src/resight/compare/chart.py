"""Accuracy against seconds per query, as numbers that a template draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resight.report.charts import linear

WIDTH, HEIGHT = 500.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 14.0, 44.0
LABEL_GAP = 15.0
DIRECTIONS = ((1.0, -0.4), (-1.0, -0.4), (1.0, 0.7), (-1.0, 0.7), (0.0, -1.1), (0.0, 1.2), (1.9, -0.4), (-1.9, -0.4))
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Point:
    """A method: where it lies, its interval, and where its number stands."""

    number: int
    title: str
    family: str
    x: float
    y: float
    y_low: float
    y_high: float
    label_x: float
    label_y: float
    text: str


@dataclass(frozen=True)
class SpeedChart:
    """A plot of `WIDTH` x `HEIGHT` with a logarithmic x axis.

    Attributes:
        heading: What is on the y axis.
        points: Methods that have both numbers.
        x_ticks, y_ticks: Place and text.
    """

    heading: str
    points: list[Point]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def draw_chart(rows: Sequence[Mapping[str, Any]], metric: str, heading: str) -> SpeedChart | None:
    """``metric`` of the numbered ``rows`` over ``seconds_per_query``; None where no row has both."""
    plotted = [r for r in rows if r.get(metric) is not None and (r.get("seconds_per_query") or 0) > 0]
    if not plotted:
        return None
    logs = [math.log10(r["seconds_per_query"]) for r in plotted]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    high = max(high, low + 1)

    x_of, y_of = linear(low, high, LEFT, WIDTH - RIGHT), linear(0, 1, HEIGHT - BOTTOM, TOP)

    places = [(x_of(log), y_of(r[metric])) for r, log in zip(plotted, logs, strict=True)]
    labels = place_labels(places)
    points = [
        Point(
            r["number"], r["title"], r["family"], x, y, y_of(_or(r[f"{metric}_low"], r[metric])),
            y_of(_or(r[f"{metric}_high"], r[metric])), *label,
            f"{r['title']}: {100 * r[metric]:.1f} % in {r['seconds_per_query']:.2g} s",
        )
        for r, (x, y), label in zip(plotted, places, labels, strict=True)
    ]  # fmt: skip
    x_ticks = [(x_of(e), _seconds(e)) for e in range(low, high + 1)]
    return SpeedChart(heading, points, x_ticks, [(y_of(s), f"{100 * s:.0f} %") for s in SHARES])


def place_labels(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A place beside each point that is furthest from all points and from the labels placed before."""
    placed: list[tuple[float, float]] = []
    for x, y in places:
        tried = [(x + LABEL_GAP * dx, y + LABEL_GAP * dy) for dx, dy in DIRECTIONS]
        taken = [p for p in places if p != (x, y)] + placed
        rooms = [_room(spot, taken) for spot in tried]
        placed.append(tried[rooms.index(max(rooms))])  # the first of equals
    return placed


def _room(spot: tuple[float, float], taken: Sequence[tuple[float, float]]) -> float:
    """Distance to the nearest place that is taken, up to `LABEL_GAP`; -1 outside of the plot."""
    inside = LEFT < spot[0] < WIDTH - RIGHT and TOP < spot[1] < HEIGHT - BOTTOM
    return min([LABEL_GAP, *(math.dist(spot, place) for place in taken)]) if inside else -1.0


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _seconds(exponent: int) -> str:
    return f"{10.0**exponent:g} s" if exponent >= -3 else f"1e{exponent} s"
