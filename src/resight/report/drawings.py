"""Match lines, confidence curves and bars as SVG paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from resight.report.data import Evidence
from resight.report.pictures import Picture

PAIR_HEIGHT = 400.0
PAIR_GAP = 10.0
LINES_SHOWN = 48
LEVELS = 5  # colours of the match lines, over equal parts of the confidence
CURVE_WH = (300.0, 190.0)
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 10.0, 10.0, 38.0


@dataclass(frozen=True)
class Lines:
    """Match lines of one colour: ``level`` 0 (weak) to `LEVELS` - 1, and whether they agree with the geometry."""

    level: int
    agrees: bool
    path: str
    dots: str


@dataclass(frozen=True)
class PairDrawing:
    """Two crops side by side, equally high, in one coordinate system."""

    query: Picture
    gallery: Picture
    width: float
    query_scale: float
    gallery_scale: float
    gallery_x: float
    lines: list[Lines]
    n_shown: int
    n_all: int


def draw_pair(query: Picture, gallery: Picture, evidence: Evidence | None) -> PairDrawing:
    """Crops and match lines; the strongest `LINES_SHOWN` matches, strong ones on top."""
    scale_q, scale_g = PAIR_HEIGHT / query.height_px, PAIR_HEIGHT / gallery.height_px
    gallery_x = query.width_px * scale_q + PAIR_GAP
    width = gallery_x + gallery.width_px * scale_g
    lines: list[Lines] = []
    n_all = 0 if evidence is None else len(evidence.confidence)
    if evidence is not None and n_all:
        keep = np.argsort(-evidence.confidence, kind="stable")[:LINES_SHOWN]
        start = (evidence.xy_query_px[keep] + 0.5) * scale_q  # pixel centres are integers; SVG counts from the edge
        end = (evidence.xy_gallery_px[keep] + 0.5) * scale_g + (gallery_x, 0)
        lines = _lines(start, end, evidence.confidence[keep], evidence.inlier[keep])
    return PairDrawing(query, gallery, width, scale_q, scale_g, gallery_x, lines, min(n_all, LINES_SHOWN), n_all)


def _lines(start: np.ndarray, end: np.ndarray, confidence: np.ndarray, inlier: np.ndarray) -> list[Lines]:
    level = np.clip((confidence * LEVELS).astype(int), 0, LEVELS - 1)
    agrees = inlier.astype(bool) if inlier.any() else np.ones(len(inlier), bool)
    found = []
    for together in (False, True):
        for one in range(LEVELS):
            mine = (level == one) & (agrees == together)
            if mine.any():
                path = "".join(
                    f"M{a:.0f} {b:.0f}L{c:.0f} {d:.0f}" for (a, b), (c, d) in zip(start[mine], end[mine], strict=True)
                )
                dots = "".join(f"M{a:.0f} {b:.0f}h0" for a, b in np.vstack([start[mine], end[mine]]))
                found.append(Lines(one, together, path, dots))
    return found


@dataclass(frozen=True)
class Curve:
    """Cumulative distributions of confidences, ready to draw.

    Attributes:
        pair: Path of the pair's curve.
        null: Path of the null's curve; empty where there is none.
        above: Outline of the area in which the pair is more confident than different animals are.
        x_ticks: Place and text.
        y_ticks: Place and text.
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
    width, height = CURVE_WH
    box = (_LEFT, _TOP, width - _RIGHT, height - _BOTTOM)

    def place(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([box[0] + x * (box[2] - box[0]), box[3] - (y - floor) / (1 - floor) * (box[3] - box[1])], 1)

    above = ""
    if null:
        beyond = np.interp(pair[0], *null)
        outline = np.vstack([place(pair[0], np.minimum(pair[1], beyond)), place(pair[0], beyond)[::-1]])
        above = _path(outline) + "Z"
    y_values = np.linspace(floor, 1.0, 3)
    return Curve(
        pair=_path(place(*pair)),
        null=_path(place(*null)) if null else "",
        above=above,
        x_ticks=[(float(place(np.array([x]), np.array([1.0]))[0, 0]), f"{x:g}") for x in (0.0, 0.25, 0.5, 0.75, 1.0)],
        y_ticks=[(float(place(np.array([0.0]), np.array([y]))[0, 1]), f"{100 * y:.3g} %") for y in y_values],
        box=box,
    )


def _path(points: np.ndarray) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
