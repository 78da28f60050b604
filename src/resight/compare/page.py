"""The comparison as one HTML page: nothing is fetched, no scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from resight.compare import chart
from resight.compare.base import MethodStatus
from resight.report.templates import template

FOLDER = Path(__file__).resolve().parent
STYLE = FOLDER.parent / "report" / "page.css"
FAMILIES = {
    "local": "keypoints and a matcher",
    "votes": "votes of single descriptors",
    "dense": "dense matching",
    "global": "one vector per crop",
    "pixels": "pixels",
}
STATUS_WORDS = {"missing_weights": "weights missing", "failed": "failed", "left_out": "left out"}


def render_comparison(rows: Sequence[Mapping[str, Any]], folder: str, notes: Sequence[str], n_photos: int) -> str:
    """The page of the ``comparison`` rows; texts are escaped, and the same rows give the same page.

    Args:
        rows: As they go into the catalog.
        folder: The labelled folder.
        notes: Sentences for people.
        n_photos: Photos in the folder.
    """
    measured = numbered(rows)
    charts = [
        chart.draw_chart(measured, "top1_encounter", "right at once, per encounter"),
        chart.draw_chart(measured, "top1_photo", "right at once, per photo"),
    ]
    return template(FOLDER, "page.html").render(
        folder=folder,
        facts=measured[0] if measured else None,
        measured=measured,
        others=[r for r in rows if r["status"] != MethodStatus.OK],
        charts=[c for c in charts if c],
        notes=list(notes),
        n_photos=n_photos,
        families={f: FAMILIES[f] for f in FAMILIES if any(r["family"] == f for r in measured)},
        statuses=STATUS_WORDS,
        share=share,
        span=span,
        seconds=seconds,
        box=chart,
        css=Markup(STYLE.read_text(encoding="utf-8") + (FOLDER / "page.css").read_text(encoding="utf-8")),
    )


def numbered(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with figures, best first (per encounter, then per photo, then by name), with ``number`` from 1."""
    ok = [r for r in rows if r["status"] == MethodStatus.OK]
    best = sorted(ok, key=lambda r: (-(r["top1_encounter"] or 0), -(r["top1_photo"] or 0), r["method"]))
    return [dict(r) | {"number": i} for i, r in enumerate(best, 1)]


def share(value: float | None) -> str:
    """A share in per cent."""
    return "–" if value is None else f"{100 * value:.1f}"


def span(row: Mapping[str, Any], metric: str) -> str:
    """The interval of a share, in per cent."""
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    return "" if low is None or high is None else f"{100 * low:.0f} to {100 * high:.0f}"


def seconds(value: float | None) -> str:
    """Seconds with two digits that count."""
    if value is None:
        return "–"
    if value < 0.001:
        return "<0.001"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"
