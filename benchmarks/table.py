"""A table of contestants on the terminal, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One contestant in one group.

    Attributes:
        group: What all of its rows share: model and keypoints.
        contestant: Who.
        ms_per_pair: Best of several, milliseconds.
        gain: Times faster than the reference of the group; None where it does another job.
        peak_fraction: Arithmetic that the contestant needs, divided by time and measured matrix-product peak; None where it makes no sense.
        difference: Largest relative difference of a pair's score sum from the reference; None where sums are not comparable.
        rounds: Measurements taken.
        note: What to know about it.
    """

    group: str
    contestant: str
    ms_per_pair: float
    gain: float | None
    peak_fraction: float | None
    difference: float | None
    rounds: int
    note: str = ""


HEADINGS = ("contestant", "ms/pair", "pairs/s", "gain", "% of peak", "sum differs", "note")


def render(rows: Sequence[Row]) -> str:
    """Plain text, one block per group."""
    lines: list[str] = []
    for group in dict.fromkeys(row.group for row in rows):
        cells = [HEADINGS, *(_cells(row) for row in rows if row.group == group)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(HEADINGS))]
        lines += ["", group, *(_line(row, widths) for row in cells)]
    return "\n".join(lines)


def write_json(path: Path, rows: Sequence[Row], machine: dict[str, object]) -> None:
    """Rows and what they were measured on."""
    path.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers, note = cells
    return "  ".join(
        [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(numbers, widths[1:-1], strict=True)), note]
    ).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    gain = "" if row.gain is None else f"{row.gain:.2f}x"
    peak = "" if row.peak_fraction is None else f"{100 * row.peak_fraction:.0f}"
    differs = "" if row.difference is None else f"{row.difference:.0e}"
    pairs = f"{1e3 / row.ms_per_pair:.2f}" if row.ms_per_pair else ""
    return row.contestant, f"{row.ms_per_pair:.2f}", pairs, gain, peak, differs, row.note
