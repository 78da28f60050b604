"""The drawings of docs/how-accurate.md: what is right at once over gallery size, time, view, and photos that the gallery has.

    python benchmarks/bench_verdicts.py … --accuracy build/now.json
    python benchmarks/accuracy_curves.py build/now.json --points docs/how-accurate.csv   # keeps the figures that are drawn
    python benchmarks/accuracy_curves.py docs/how-accurate.csv                           # draws them again

One SVG for each of `PANELS`, beside the page. They follow the reader's choice of light or dark.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from resight.report.charts import HEIGHT, SHARES, WIDTH, Chart, Layer, Scale, share_scale, uprights
from resight.report.drawings import svg_path
from resight.report.templates import template

Row = Mapping[str, Any]
COLUMNS = ("group", "value", "level", "share", "ci_low", "ci_high", "queries", "animals")
LEVELS = {"encounter": ("a", "encounters"), "photo": ("b", "photos alone")}
LEAST = 10  # queries behind a point, for fewer say nothing
SMALLEST = 10  # animals: nobody has a gallery of two


@dataclass(frozen=True)
class Panel:
    """A drawing. ``names``: its groups from left to right, and how the axis calls them; none: numbers on a logarithmic axis."""

    file: str
    group: str
    title: str
    hint: str
    x_name: str
    names: Mapping[str, str]


PANELS = (
    Panel("how-accurate-size.svg", "gallery_size", "Right at once, by size of the gallery", "Photos alone lose some in a larger gallery, encounters hardly any.", "animals in the gallery", {}),
    Panel("how-accurate-time.svg", "days_between", "Right at once, by time", "Best within a month; beyond, the intervals are too wide to say.", "time since the nearest gallery photo of the animal",
          {"1-30": "a month", "31-365": "a year", "366-1825": "1 to 5 years", "1826+": "longer"}),
    Panel("how-accurate-view.svg", "viewpoint", "Right at once, by view", "From above hardly a scute of a side can be seen.", "view in the photo",
          {"left": "left side", "right": "right side", "top": "above", "front": "front"}),
    Panel("how-accurate-photos.svg", "gallery_photos", "Right at once, by photos of the animal", "What makes it fail: few photos of the animal to compare with.", "photos of the animal in the gallery",
          {"1": "1", "2-3": "2-3", "4-7": "4-7", "8-15": "8-15", "16+": "16 and more"}),
)  # fmt: skip


def points_of(accuracy: Sequence[Row]) -> list[dict[str, Any]]:
    """The figures that are drawn: top 1 by photo and by encounter, of all queries and by group. ``accuracy``: rows of the table."""
    groups = {panel.group for panel in PANELS}
    n_animals = next(f"{r['value']:.0f}" for r in accuracy if r["metric"] == "n_gallery_individuals")
    found = []
    for row in accuracy:
        level = row["metric"].removeprefix("top1_")
        group, value = ("gallery_size", n_animals) if row["stratum"] == "all" else row["stratum"].split("=", 1)
        if level not in LEVELS or group not in groups or row["value"] is None:
            continue
        if group == "gallery_size" and int(value) < SMALLEST:
            continue
        shares = ["" if v is None else f"{v:.4f}" for v in (row["value"], row["ci_low"], row["ci_high"])]
        found.append(dict(zip(COLUMNS, (group, value, level, *shares, row["n"], row["n_individuals"]), strict=True)))
    return found


def drawn(panel: Panel, points: Sequence[Row]) -> Chart | None:
    """The chart of one panel; groups with fewer than `LEAST` queries have no point. None where there is no point at all."""
    own = [p for p in points if p["group"] == panel.group and int(p["queries"]) >= LEAST]
    seen = {p["value"] for p in own}
    shown = [v for v in panel.names if v in seen] if panel.names else sorted(seen, key=float)
    if not shown:
        return None
    places = {v: float(k if panel.names else v) for k, v in enumerate(shown)}
    first, last = places[shown[0]], places[shown[-1]]
    # Groups stand apart from the frame, and their two levels from each other; they have no order that a line could show.
    scale = share_scale(first - 0.5, last + 0.5) if panel.names else share_scale(first, last, np.log)
    layers = []
    for (level, (style, name)), side in zip(LEVELS.items(), (-1, 1), strict=True):
        of_level = [_numbers(p, places) for p in own if p["level"] == level and p["value"] in places]
        layers.append(_layer(style, name, of_level, scale, side, joined=not panel.names))
    return Chart(
        panel.title, panel.hint, panel.x_name, "right at once",
        tuple((scale.x(places[v]), panel.names.get(v, v)) for v in shown), tuple((scale.y(v), text) for v, text in SHARES),
        tuple(layer for layer in layers if layer.dots),
    )  # fmt: skip


def _numbers(point: Row, places: Mapping[str, float]) -> dict[str, float | None]:
    """A kept point as `charts` takes it."""
    share, *ends = (float(point[name]) if point[name] else None for name in ("share", "ci_low", "ci_high"))
    return {"x": places[point["value"]], "y": share, "ci_low": ends[0], "ci_high": ends[1]}


def _layer(style: str, name: str, points: Sequence[Row], scale: Scale, side: int, joined: bool) -> Layer:
    points, shift = sorted(points, key=itemgetter("x")), side * (2.0 if joined else 5.0)
    dots = [(scale.x(p["x"]) + shift, scale.y(p["y"])) for p in points]
    line = svg_path(dots) if len(dots) > 1 and joined else ""
    return Layer(style, name, line, whiskers=uprights(points, scale, shift), dots=tuple((*at, 4.0) for at in dots))


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path, help="what bench_verdicts.py --accuracy wrote, or the kept points")
    parser.add_argument("--points", type=Path, help="where the figures that are drawn are kept, as CSV")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the drawings")
    chosen = parser.parse_args(given)
    text = chosen.figures.read_text(encoding="utf-8")
    points: list[Any] = list(csv.DictReader(text.splitlines()))
    if chosen.figures.suffix == ".json":
        points = points_of(json.loads(text))
    if chosen.points:
        with open(chosen.points, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(points)
    page = template("accuracy_curves.svg", Path(__file__).resolve().parent)
    for panel in PANELS:
        chart = drawn(panel, points)
        if chart is None:
            print(f"{panel.file}: no group has {LEAST} queries")
            continue
        (chosen.out / panel.file).write_text(page.render(c=chart, width=WIDTH, height=HEIGHT), encoding="utf-8")


if __name__ == "__main__":
    main()
