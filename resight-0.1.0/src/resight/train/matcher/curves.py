"""Loss and matching recall over the steps, as CSV and as a drawing."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from resight.store.parts import write_bytes

WIDTH, HEIGHT, LEFT, TOP, GAP = 420, 260, 56, 34, 70
COLOURS = ("#0b6e8a", "#d1495b", "#6a994e", "#7b5ea7", "#c98a1b", "#444444", "#2a9d8f", "#8d6e63", "#b5179e")


def write_curves(folder: Path, curve: Sequence[dict[str, float]]) -> None:
    """``curve.csv`` and ``curve.svg``."""
    if not curve:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(curve[-1]), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    write_bytes(folder / "curve.csv", text.getvalue().encode())
    write_bytes(folder / "curve.svg", drawing(curve).encode())


def drawing(curve: Sequence[dict[str, float]]) -> str:
    """Two panels: loss (training, pairs kept apart), and recall of every layer with precision of the last one."""
    steps = [row["step"] for row in curve]
    losses = {"loss": "training", "apart_loss": "kept apart"}
    layers = sorted(int(key.rsplit("_", 1)[1]) for key in curve[-1] if key.startswith("recall_"))
    scores = {f"recall_{n}": f"recall, layer {n}" for n in layers}
    if layers:
        scores[f"precision_{layers[-1]}"] = f"precision, layer {layers[-1]}"
    panels = [
        _panel("Loss", steps, {label: [r.get(key) for r in curve] for key, label in losses.items()}, 0, None),
        _panel("Matches found and right", steps, {label: [r.get(key) for r in curve] for key, label in scores.items()}, 1, (0.0, 1.0)),
    ]  # fmt: skip
    width, height = 2 * WIDTH + 2 * LEFT + GAP, HEIGHT + TOP + 44 + 18 * (max(len(scores), 2) // 2 + 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>{"".join(panels)}</svg>\n'
    )


def _panel(
    title: str,
    steps: Sequence[float],
    lines: dict[str, list[float | None]],
    place: int,
    limits: tuple[float, float] | None,
) -> str:
    values = [v for line in lines.values() for v in line if v is not None]
    low, high = limits or (0.0, max(values, default=1.0) * 1.05)
    left, last = LEFT + place * (WIDTH + GAP), max(steps[-1], 1.0)

    def at(step: float, value: float) -> str:
        share = (min(max(value, low), high) - low) / ((high - low) or 1)
        return f"{left + WIDTH * step / last:.1f},{TOP + HEIGHT * (1 - share):.1f}"

    out = [
        f'<text x="{left}" y="{TOP - 12}" font-size="14">{title}</text>',
        f'<rect x="{left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
        f'<text x="{left + WIDTH}" y="{TOP + HEIGHT + 16}" text-anchor="end">{last:.0f} steps</text>',
    ]
    for mark in range(5):
        value = low + (high - low) * mark / 4
        y = TOP + HEIGHT * (1 - mark / 4)
        out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>')
        out.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
    for number, (label, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(at(s, v) for s, v in zip(steps, line, strict=True) if v is not None)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        x, y = left + (number % 2) * WIDTH / 2, TOP + HEIGHT + 36 + 18 * (number // 2)
        out.append(f'<rect x="{x}" y="{y - 9}" width="14" height="4" fill="{colour}"/>')
        out.append(f'<text x="{x + 20}" y="{y - 3}">{label}</text>')
    return "".join(out)
