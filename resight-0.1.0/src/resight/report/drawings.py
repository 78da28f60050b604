"""Match lines and confidence curves as SVG paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resight.report.data import MatchedPoints
from resight.report.pictures import EmbeddedCrop

PAIR_HEIGHT = 400.0
PAIR_GAP = 10.0
LINES_SHOWN = 48
LEVELS = 5  # colours of the match lines, over equal parts of the confidence
CURVE_WH = (300.0, 190.0)
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 10.0, 10.0, 38.0


@dataclass(frozen=True)
class Lines:
    """Match lines of one colour: ``level`` 0 (weak) to `LEVELS` - 1."""

    level: int
    path: str


@dataclass(frozen=True)
class PairDrawing:
    """Two crops side by side, equally high, in one coordinate system."""

    query: EmbeddedCrop
    gallery: EmbeddedCrop
    width: float
    query_scale: float
    gallery_scale: float
    gallery_x: float
    lines: list[Lines]
    n_shown: int
    n_all: int
    tried: bool = True


def draw_pair(query: EmbeddedCrop, gallery: EmbeddedCrop, matches: MatchedPoints | None) -> PairDrawing:
    """Crops and lines between points that fit one pattern; the `LINES_SHOWN` most confident, the strongest on top.

    Any two pictures have some matches, and lines look like evidence; so matches that fit nothing have none.
    """
    scale_q, scale_g = PAIR_HEIGHT / query.height_px, PAIR_HEIGHT / gallery.height_px
    gallery_x = query.width_px * scale_q + PAIR_GAP
    lines: list[Lines] = []
    n_shown = 0
    n_all = 0 if matches is None else len(matches.confidence)
    if matches is not None and matches.inlier.any():
        fits = np.flatnonzero(matches.inlier)
        keep = fits[np.argsort(-matches.confidence[fits], kind="stable")[:LINES_SHOWN]]
        n_shown = len(keep)
        start = (matches.xy_query_px[keep] + 0.5) * scale_q  # pixel centres are integers; SVG counts from the edge
        end = (matches.xy_gallery_px[keep] + 0.5) * scale_g + (gallery_x, 0)
        lines = _lines(np.hstack([start, end]), matches.confidence[keep])
    width = gallery_x + gallery.width_px * scale_g
    tried = matches is None or matches.tried
    return PairDrawing(query, gallery, width, scale_q, scale_g, gallery_x, lines, n_shown, n_all, tried)


def _lines(ends: np.ndarray, confidence: np.ndarray) -> list[Lines]:
    """``ends`` (M, 4): x and y of both ends. Later groups are drawn over earlier ones."""
    levels = np.clip((confidence * LEVELS).astype(int), 0, LEVELS - 1)
    groups = ((level, ends[levels == level]) for level in range(LEVELS))
    return [
        Lines(level, "".join(f"M{a:.0f} {b:.0f}L{c:.0f} {d:.0f}" for a, b, c, d in group))
        for level, group in groups
        if len(group)
    ]


@dataclass(frozen=True)
class Curve:
    """Cumulative distributions of confidences, ready to draw.

    Attributes:
        pair: Path of the pair's curve.
        null: Path of the impostor pairs' curve; empty where there is none.
        above: Outline of the area in which the pair is more confident than impostor pairs.
        x_ticks, y_ticks: Place and text.
        box: x and y of the left, top, right and bottom of the plot.
    """

    pair: str
    null: str
    above: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    box: tuple[float, float, float, float]


def pair_cdf(pair: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Edges (B + 1,) and cumulative distribution (B + 1,) of a row of ``pairs``, both crops' keypoints together.

    Every match is a confidence of either crop; keypoints without a match have confidence 0. None where nothing was matched.
    """
    counts = pair.get("confidence_histogram")
    points = (pair.get("n_keypoints_query") or 0) + (pair.get("n_keypoints_gallery") or 0)
    if not counts or points <= 0:
        return None
    matched = 2 * np.cumsum(np.asarray(counts, np.float64))
    zeros = points - matched[-1]
    return np.linspace(0.0, 1.0, len(counts) + 1), np.concatenate([[zeros], zeros + matched]) / points


def draw_curve(pair: tuple[np.ndarray, np.ndarray], null: tuple[np.ndarray, np.ndarray] | None) -> Curve:
    """Both curves in one plot whose lower end fits the lower of the two."""
    lowest = min(float(pair[1].min()), float(null[1].min()) if null else 1.0)
    floor = min(np.floor(lowest * 20 - 0.01) / 20, 0.95)
    left, top, right, bottom = box = (_LEFT, _TOP, CURVE_WH[0] - _RIGHT, CURVE_WH[1] - _BOTTOM)

    def place(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([left + x * (right - left), bottom - (y - floor) / (1 - floor) * (bottom - top)], 1)

    above = ""
    if null:
        impostors = np.interp(pair[0], *null)
        outline = np.vstack([place(pair[0], np.minimum(pair[1], impostors)), place(pair[0], impostors)[::-1]])
        above = svg_path(outline) + "Z"
    x_values, y_values = np.linspace(0.0, 1.0, 5), np.linspace(floor, 1.0, 3)
    return Curve(
        pair=svg_path(place(*pair)),
        null=svg_path(place(*null)) if null else "",
        above=above,
        x_ticks=[(float(x), f"{v:g}") for x, v in zip(place(x_values, x_values)[:, 0], x_values, strict=True)],
        y_ticks=[
            (float(y), f"{100 * v:.3g} %") for y, v in zip(place(y_values, y_values)[:, 1], y_values, strict=True)
        ],
        box=box,
    )


def svg_path(points: Iterable[Sequence[float]] | np.ndarray) -> str:
    """A polyline as the ``d`` of an SVG path."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
