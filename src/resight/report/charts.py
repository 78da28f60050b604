"""Curves of accuracy as SVG paths: places and texts, ready for the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from resight.evaluate.curves import series
from resight.evaluate.history import Earlier

WIDTH, HEIGHT = 420.0, 268.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 14.0, 40.0
BOX = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
SHARES = tuple((y, f"{100 * y:.0f} %") for y in (0.0, 0.25, 0.5, 0.75, 1.0))
Rows = Sequence[Mapping[str, Any]]
Tick = tuple[float, str]


@dataclass(frozen=True)
class Layer:
    """One line or histogram; ``style`` a, b or c is colour, dash and mark together, so that none of them is needed alone."""

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
    notes: tuple[tuple[float, float, str], ...] = field(default_factory=tuple)

    @property
    def label(self) -> str:
        """What the drawing shows, for those who cannot see it."""
        return f"{self.title}: {self.y_name} by {self.x_name}; {', '.join(one.name for one in self.layers)}."


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
    """Share of queries whose animal is among the first k."""
    found = {name: series(rows, "cmc", name) for name in ("encounter", "photo")}
    most = max((len(of) for of in found.values()), default=0)
    if most < 2:
        return None
    scale = share_scale(1, most)
    steps = [k for k in (1, 3, 5, 10, 15, 20) if k <= most]
    return Chart(
        "Among the best k", "How far down the list one has to look.", "candidates looked at", "right animal among them",
        tuple((scale.x(k), str(k)) for k in steps), _shares(scale), _lines(found, scale, {"encounter": "encounters", "photo": "photos"}),
    )  # fmt: skip


def reliability(rows: Rows) -> Chart | None:
    """Stated probability against what came true; dots as large as the number of encounters behind them."""
    points = [p for p in series(rows, "reliability", "mixed") if p["y"] is not None]
    if not points:
        return None
    scale = share_scale(0, 1)
    dots = tuple((*scale.at(p["x"], p["y"]), 3.0 + 1.6 * float(np.sqrt(p["n"]))) for p in points)
    layer = Layer(
        "a", "best candidate right", whiskers=_whiskers(points, scale), dots=tuple((x, y, min(r, 14.0)) for x, y, r in dots)
    )  # fmt: skip
    diagonal = _path([scale.at(0, 0), scale.at(1, 1)])
    return Chart(
        "Do the probabilities hold?", "On the dashed line they mean what they say; below it they promise too much.", "stated probability",
        "came true", tuple((scale.x(v), text) for v, text in SHARES), _shares(scale), (layer,), diagonal,
    )  # fmt: skip


def scores(rows: Rows, name: str) -> Chart | None:
    """Scores of the right animal, and of the best of all others."""
    found = {kind: series(rows, "scores", kind) for kind in ("impostor", "genuine")}
    if not all(sum(p["n"] for p in of) for of in found.values()):
        return None
    highest = max(p["y"] for of in found.values() for p in of)
    low, high = found["genuine"][0]["x_low"], found["genuine"][-1]["x_high"]
    place = linear(_root(low), _root(high), BOX[0], BOX[2])
    scale = Scale(lambda v: place(_root(v)), linear(0.0, highest * 1.05, BOX[3], BOX[1]))
    names = {"impostor": "best of the others", "genuine": "right animal"}
    layers = tuple(
        Layer(style, names[kind], bars=_bars(found[kind], scale), line=_outline(found[kind], scale))
        for style, kind in (("b", "impostor"), ("a", "genuine"))
    )
    ticks = tuple((scale.x(v), f"{v:.2g}") for v in _nice(low, high))
    heights = tuple((scale.y(v), f"{100 * v:.0f} %") for v in np.linspace(0, highest, 3))
    return Chart("Right animals against others", "The less the two overlap, the easier the decision.", f"score ({name}), root scale", "encounters", ticks, heights, layers)  # fmt: skip


def days(rows: Rows) -> Chart | None:
    """Top 1 by days since the animal was last photographed."""
    found = {name: series(rows, "days_between", name) for name in ("encounter", "photo")}
    if not any(len(of) > 1 for of in found.values()):
        return None
    last = max(p["x"] for of in found.values() for p in of)
    scale = share_scale(0, max(last, 30.0), np.log1p)
    ticks = [(0, "0"), (7, "week"), (30, "month"), (365, "year"), (1825, "5 years"), (3650, "10")]
    shown = tuple((scale.x(d), text) for d, text in ticks if d <= max(last, 30.0))
    return Chart("Time between the photos", "Animals change, and so do cameras and light.", "since the nearest gallery photo of the animal", "right animal first", shown, _shares(scale), _lines(found, scale, {"encounter": "encounters", "photo": "photos"}, whiskers=True))  # fmt: skip


def sizes(rows: Rows) -> Chart | None:
    """Top 1 in smaller galleries."""
    found = {name: series(rows, "gallery_size", name) for name in ("encounter", "photo")}
    points = found["photo"] or found["encounter"]
    if len(points) < 2:
        return None
    scale = share_scale(points[0]["x"], points[-1]["x"], np.log)
    ticks = tuple((scale.x(p["x"]), f"{p['x']:.0f}") for p in points)
    return Chart("Size of the gallery", "The same queries, in the mean of all smaller galleries.", "animals in the gallery", "right animal first", ticks, _shares(scale), _lines(found, scale, {"encounter": "encounters", "photo": "photos"}))  # fmt: skip


def trend(earlier: Sequence[Earlier], metrics: Mapping[str, str]) -> Chart | None:
    """The same metrics over the runs so far, the last one being this run; a dashed line where the model changed."""
    if len(earlier) < 2:
        return None
    scale = share_scale(0, len(earlier) - 1)
    layers = []
    for style, (metric, name) in zip("abc", metrics.items(), strict=False):
        points = [_moment(k, one.values.get(metric)) for k, one in enumerate(earlier)]
        layers.append(_layer(style, name, [p for p in points if p], scale, band=False, whiskers=True))
    dates = [f"{one.ended_at.day} {one.ended_at:%b %y}" for one in earlier]
    keep = sorted({0, len(earlier) - 1, *range(0, len(earlier), max(1, len(earlier) // 5))})
    changes = [k for k in range(1, len(earlier)) if earlier[k].model != earlier[k - 1].model]
    guides = "".join(_path([(scale.x(k - 0.5), BOX[1]), (scale.x(k - 0.5), BOX[3])]) for k in changes)
    notes = tuple((scale.x(k - 0.5), BOX[1] + 9, "new model") for k in changes[-3:])
    return Chart("Over the runs so far", "The same kind of run on at least half of the same encounters.", "run", "value", tuple((scale.x(k), dates[k]) for k in keep), _shares(scale), tuple(layers), guides, notes=notes)  # fmt: skip


def spark(values: Sequence[float | None]) -> str:
    """A path 100 wide and 24 high, over at least a tenth so that noise stays small; empty for fewer than two values."""
    known = [(k, v) for k, v in enumerate(values) if v is not None]
    if len(known) < 2:
        return ""
    middle = (max(v for _, v in known) + min(v for _, v in known)) / 2
    half = max(max(v for _, v in known) - middle, 0.05)
    x, y = linear(0, len(values) - 1, 2, 98), linear(middle - half, middle + half, 21, 3)
    return _path([(x(k), y(v)) for k, v in known])


def _moment(k: int, found: tuple[Any, Any, Any] | None) -> dict[str, Any] | None:
    if not found or found[0] is None:
        return None
    return {"x": float(k), "y": found[0], "ci_low": found[1], "ci_high": found[2], "n": 1}


def _shares(scale: Scale) -> tuple[Tick, ...]:
    return tuple((scale.y(v), text) for v, text in SHARES)


def _lines(
    found: Mapping[str, Rows], scale: Scale, names: Mapping[str, str], whiskers: bool = False
) -> tuple[Layer, ...]:
    return tuple(
        _layer(style, names[kind], found[kind], scale, band=not whiskers, whiskers=whiskers)
        for style, kind in zip("ab", names, strict=False)
        if found[kind]
    )


def _layer(style: str, name: str, points: Rows, scale: Scale, band: bool, whiskers: bool) -> Layer:
    known = [p for p in points if p["y"] is not None]
    layer = Layer(style, name, line=_path([scale.at(p["x"], p["y"]) for p in known]) if len(known) > 1 else "",
                  dots=tuple((*scale.at(p["x"], p["y"]), 3.6) for p in known))  # fmt: skip
    sure = [p for p in known if p["ci_low"] is not None]
    if band and len(sure) > 1:
        edge = [scale.at(p["x"], p["ci_low"]) for p in sure] + [scale.at(p["x"], p["ci_high"]) for p in reversed(sure)]
        layer = replace(layer, band=_path(edge) + "Z")
    return replace(layer, whiskers=_whiskers(known, scale, -2.0 if style == "a" else 2.0)) if whiskers else layer


def _whiskers(points: Rows, scale: Scale, shift: float = 0.0) -> str:
    sure = [p for p in points if p["ci_low"] is not None]
    return "".join(
        f"M{scale.x(p['x']) + shift:.1f} {scale.y(p['ci_low']):.1f}V{scale.y(p['ci_high']):.1f}" for p in sure
    )


def _bars(points: Rows, scale: Scale) -> str:
    return "".join(
        f"M{scale.x(p['x_low']):.1f} {BOX[3]:.1f}V{scale.y(p['y']):.1f}H{scale.x(p['x_high']):.1f}V{BOX[3]:.1f}Z"
        for p in points
        if p["y"]
    )


def _outline(points: Rows, scale: Scale) -> str:
    corners = [(scale.x(points[0]["x_low"]), BOX[3])]
    for p in points:
        corners += [(scale.x(p["x_low"]), scale.y(p["y"])), (scale.x(p["x_high"]), scale.y(p["y"]))]
    return _path([*corners, (scale.x(points[-1]["x_high"]), BOX[3])])


def _root(value: float) -> float:
    return float(np.sign(value) * np.sqrt(abs(value)))


def _nice(low: float, high: float) -> list[float]:
    """Round values whose roots lie about evenly."""
    wanted = np.linspace(_root(low), _root(high), 6)[:-1]
    found: list[float] = []
    for root in wanted:
        value = float(np.sign(root) * root**2)
        digits = -int(np.floor(np.log10(abs(value)))) if value else 0
        found.append(round(value, digits))
    return sorted(set(found))


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
