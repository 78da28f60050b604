"""The comparison as one HTML page: nothing is fetched, no scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resight.compare import chart
from resight.compare.base import MethodStatus
from resight.report.templates import template

FOLDER = Path(__file__).resolve().parent
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
    headings = {"top1_encounter": "right animal first, per encounter", "top1_photo": "right animal first, per photo"}
    charts = [chart.draw_chart(measured, metric, heading) for metric, heading in headings.items()]
    families = {row["family"] for row in measured}
    return template("page.html", FOLDER).render(
        title="Resight, methods compared",
        folder=folder,
        facts=measured[0] if measured else None,
        measured=measured,
        without=[r for r in rows if r["status"] != MethodStatus.OK],
        charts=[c for c in charts if c],
        notes=list(notes),
        n_photos=n_photos,
        families={family: text for family, text in FAMILIES.items() if family in families},
        statuses=STATUS_WORDS,
        share=share,
        span=span,
        seconds=seconds,
        box=chart,
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
    """Seconds with two significant digits."""
    if value is None:
        return "–"
    if value < 0.001:
        return "<0.001"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"
