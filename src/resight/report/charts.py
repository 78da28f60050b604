"""Curves of accuracy as SVG paths: places and texts, ready for the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from resight.evaluate.curves import series
from resight.evaluate.history import Earlier
from resight.report.drawings import svg_path

WIDTH, HEIGHT = 420.0, 268.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 14.0, 40.0
BOX = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
SHARES = tuple((y, f"{100 * y:.0f} %") for y in (0.0, 0.25, 0.5, 0.75, 1.0))
FIRST = "right animal first (top 1)"
Rows = Sequence[Mapping[str, Any]]
Tick = tuple[float, str]


@dataclass(frozen=True)
class Layer:
    """A line or histogram; ``style`` a, b or c is colour, dash and mark together, so that nobody depends on colour alone."""

    style: str
    name: str
    line: str = ""
    band: str = ""
    whiskers: str = ""
    dots: tuple[tuple[float, float, float], ...] = ()
    bars: str = ""


@dataclass(frozen=True)
class Chart:
    """A plot. ``guides`` are thin dashed lines without a name; ticks are (place, text)."""

    title: str
    hint: str
    x_name: str
    y_name: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    layers: tuple[Layer, ...]
    guides: str = ""
    box: tuple[float, float, float, float] = BOX
    notes: tuple[tuple[float, float, str], ...] = ()

    @property
    def label(self) -> str:
        """What the drawing shows, for those who cannot see it."""
        return f"{self.title}: {self.y_name} by {self.x_name}; {', '.join(layer.name for layer in self.layers)}."


@dataclass(frozen=True)
class Scale:
    """From values to places in `BOX`."""

    x: Callable[[float], float]
    y: Callable[[float], float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place of a point."""
        return self.x(x), self.y(y)


def linear(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From ``low`` … ``high`` to ``start`` … ``end``."""
    span = (high - low) or 1.0
    return lambda v: start + (v - low) / span * (end - start)


def share_scale(x_low: float, x_high: float, transform: Callable[[float], float] = float) -> Scale:
    """y from 0 to 1; x between two values, on a transformed axis."""
    place = linear(transform(x_low), transform(x_high), BOX[0] + 8, BOX[2] - 8)
    return Scale(lambda v: place(transform(v)), linear(0.0, 1.0, BOX[3], BOX[1]))


def cmc(rows: Rows) -> Chart | None:
    """Cumulative match characteristic: share of queries whose animal is among the first k candidates."""
    by_level = _by_level(rows, "cmc")
    most = max(map(len, by_level.values()))
    if most < 2:
        return None
    scale = share_scale(1, most)
    ticks = tuple((scale.x(k), str(k)) for k in (1, 3, 5, 10, 15, 20) if k <= most)
    return Chart(
        "Cumulative match characteristic (CMC)", "How often the right animal is among the first k candidates.",
        "k", "right animal among the first k", ticks, _shares(scale), _level_lines(by_level, scale),
    )  # fmt: skip


def reliability(rows: Rows) -> Chart | None:
    """Stated probability against the share that was right; a dot is as large as the number of encounters behind it."""
    points = [p for p in series(rows, "reliability", "mixed") if p["y"] is not None]
    if not points:
        return None
    scale = share_scale(0, 1)
    dots = tuple((*scale.at(p["x"], p["y"]), min(3.0 + 1.6 * float(np.sqrt(p["n"])), 14.0)) for p in points)
    layer = Layer("a", "best candidate right", whiskers=uprights(points, scale), dots=dots)
    return Chart(
        "Calibration", "On the dashed line probabilities are exact; below it they are too high.", "stated probability",
        "share right", tuple((scale.x(v), text) for v, text in SHARES), _shares(scale), (layer,),
        guides=svg_path([scale.at(0, 0), scale.at(1, 1)]),
    )  # fmt: skip


def scores(rows: Rows, name: str) -> Chart | None:
    """Scores of the right animal (genuine), and of the best wrong one (impostor)."""
    bins = {kind: series(rows, "scores", kind) for kind in ("impostor", "genuine")}
    if not all(sum(p["n"] for p in points) for points in bins.values()):
        return None
    highest = max(p["y"] for points in bins.values() for p in points)
    low, high = bins["genuine"][0]["x_low"], bins["genuine"][-1]["x_high"]
    place = linear(_root(low), _root(high), BOX[0], BOX[2])
    scale = Scale(lambda v: place(_root(v)), linear(0.0, highest * 1.05, BOX[3], BOX[1]))
    layers = tuple(
        Layer(style, name_of, bars=_bars(bins[kind], scale), line=_outline(bins[kind], scale))
        for style, kind, name_of in (("b", "impostor", "impostor: best wrong animal"), ("a", "genuine", "genuine: right animal"))
    )  # fmt: skip
    return Chart(
        "Genuine and impostor scores", "The less the two overlap, the easier the decision.", f"score ({name}), square root scale",
        "encounters", tuple((scale.x(v), f"{v:.2g}") for v in _nice(low, high)),
        tuple((scale.y(v), f"{100 * v:.0f} %") for v in np.linspace(0, highest, 3)), layers,
    )  # fmt: skip


def days(rows: Rows) -> Chart | None:
    """Top 1 by days since the animal was last photographed."""
    by_level = _by_level(rows, "days_between")
    if max(map(len, by_level.values())) < 2:
        return None
    last = max(30.0, *(p["x"] for points in by_level.values() for p in points))
    scale = share_scale(0, last, np.log1p)
    ticks = [(0, "0"), (7, "week"), (30, "month"), (365, "year"), (1825, "5 years"), (3650, "10")]
    return Chart(
        "Time between the photos", "Animals change, and so do cameras and light.", "since the nearest gallery photo of the animal",
        FIRST, tuple((scale.x(d), text) for d, text in ticks if d <= last), _shares(scale),
        _level_lines(by_level, scale, whiskers=True),
    )  # fmt: skip


def sizes(rows: Rows) -> Chart | None:
    """Top 1 in smaller galleries."""
    by_level = _by_level(rows, "gallery_size")
    points = by_level["photo"] or by_level["encounter"]
    if len(points) < 2:
        return None
    scale = share_scale(points[0]["x"], points[-1]["x"], np.log)
    ticks = tuple((scale.x(p["x"]), f"{p['x']:.0f}") for p in points)
    return Chart(
        "Size of the gallery", "The same queries, averaged over all smaller galleries.", "animals in the gallery", FIRST,
        ticks, _shares(scale), _level_lines(by_level, scale),
    )  # fmt: skip


def trend(runs: Sequence[Earlier], metrics: Mapping[str, str]) -> Chart | None:
    """The same metrics over the runs so far, the last of ``runs`` being this one; a dashed line where the model changed."""
    if len(runs) < 2:
        return None
    scale = share_scale(0, len(runs) - 1)
    layers = []
    for style, (metric, name) in zip("abc", metrics.items(), strict=False):
        values = [(k, *run.values[metric]) for k, run in enumerate(runs) if metric in run.values]
        points = [dict(zip(("x", "y", "ci_low", "ci_high"), value, strict=True)) for value in values]
        layers.append(_layer(style, name, points, scale, whiskers=True))
    shown = sorted({0, len(runs) - 1, *range(0, len(runs), max(1, len(runs) // 5))})
    dates = tuple((scale.x(k), f"{runs[k].ended_at.day} {runs[k].ended_at:%b %y}") for k in shown)
    changes = [scale.x(k - 0.5) for k in range(1, len(runs)) if runs[k].model != runs[k - 1].model]
    return Chart(
        "Over the runs so far", "Runs by the same protocol on at least half of the same query encounters.", "run", "value", dates,
        _shares(scale), tuple(layers), guides="".join(svg_path([(x, BOX[1]), (x, BOX[3])]) for x in changes),
        notes=tuple((x, BOX[1] + 9, "new model") for x in changes[-3:]),
    )  # fmt: skip


def spark(values: Sequence[float | None]) -> str:
    """A path 100 wide and 24 high, over at least a tenth so that noise stays small; empty for fewer than two values."""
    points = [(k, v) for k, v in enumerate(values) if v is not None]
    if len(points) < 2:
        return ""
    low, high = min(v for _, v in points), max(v for _, v in points)
    half = max((high - low) / 2, 0.05)
    x, y = linear(0, len(values) - 1, 2, 98), linear((low + high) / 2 - half, (low + high) / 2 + half, 21, 3)
    return svg_path([(x(k), y(v)) for k, v in points])


def _shares(scale: Scale) -> tuple[Tick, ...]:
    return tuple((scale.y(v), text) for v, text in SHARES)


def _by_level(rows: Rows, curve: str) -> dict[str, Rows]:
    return {level: series(rows, curve, level) for level in ("encounter", "photo")}


def _level_lines(by_level: Mapping[str, Rows], scale: Scale, whiskers: bool = False) -> tuple[Layer, ...]:
    lines = zip("ab", by_level.items(), strict=True)
    return tuple(_layer(style, f"{level}s", points, scale, whiskers) for style, (level, points) in lines if points)


def _layer(style: str, name: str, points: Rows, scale: Scale, whiskers: bool) -> Layer:
    """A line with dots, and its intervals as whiskers or as a band."""
    drawn = [p for p in points if p["y"] is not None]
    places = [scale.at(p["x"], p["y"]) for p in drawn]
    layer = Layer(
        style, name, svg_path(places) if len(places) > 1 else "", dots=tuple((*place, 3.6) for place in places)
    )
    if whiskers:  # of two lines at the same x they would cover each other
        return replace(layer, whiskers=uprights(drawn, scale, -2.0 if style == "a" else 2.0))
    ends = [p for p in drawn if p["ci_low"] is not None]
    if len(ends) < 2:
        return layer
    edge = [scale.at(p["x"], p["ci_low"]) for p in ends] + [scale.at(p["x"], p["ci_high"]) for p in reversed(ends)]
    return replace(layer, band=svg_path(edge) + "Z")


def uprights(points: Rows, scale: Scale, shift: float = 0.0) -> str:
    """Whiskers: a line over the interval of each point that has one, so many px beside it."""
    places = [
        (scale.x(p["x"]) + shift, scale.y(p["ci_low"]), scale.y(p["ci_high"]))
        for p in points
        if p["ci_low"] is not None
    ]
    return "".join(f"M{x:.1f} {low:.1f}V{high:.1f}" for x, low, high in places)


def _bars(points: Rows, scale: Scale) -> str:
    return "".join(
        f"M{scale.x(p['x_low']):.1f} {BOX[3]:.1f}V{scale.y(p['y']):.1f}H{scale.x(p['x_high']):.1f}V{BOX[3]:.1f}Z"
        for p in points
        if p["y"]
    )


def _outline(points: Rows, scale: Scale) -> str:
    corners = [(scale.x(p[end]), scale.y(p["y"])) for p in points for end in ("x_low", "x_high")]
    return svg_path([(corners[0][0], BOX[3]), *corners, (corners[-1][0], BOX[3])])


def _root(value: float) -> float:
    return float(np.sign(value) * np.sqrt(abs(value)))


def _nice(low: float, high: float) -> list[float]:
    """Round values whose roots are about evenly spaced."""
    roots = np.linspace(_root(low), _root(high), 6)[:-1]
    values = [float(np.sign(root) * root**2) for root in roots]
    return sorted({round(v, -int(np.floor(np.log10(abs(v)))) if v else 0) for v in values})
