"""The page of a drawn year: growth, accuracy over time, every alert; and the same as a table for the documentation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import mean, median
from typing import Any

Row = Mapping[str, Any]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 460, 200, 52, 24, 10
COLOURS = ("#00695c", "#b35900", "#4a4a9c", "#7a7a7a", "#9c2f2f", "#3b7d23")
CSS = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 0 auto; padding: 1rem; color: #1d2426; background: #fff }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2rem }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem }
figure { margin: 0; min-width: 0 } figcaption { font-weight: 600 } svg { width: 100%; height: auto }
.wide { overflow-x: auto; max-width: 100% } table { border-collapse: collapse; font-size: .9rem } td, th { padding: .2rem .6rem; border-bottom: 1px solid #d5dcdc; text-align: right; vertical-align: top }
td:first-child, th:first-child, .text td, .text th { text-align: left } td:first-child { white-space: nowrap } .key span { margin-right: 1rem } .text td:last-child { min-width: 16rem }
@media (prefers-color-scheme: dark) { body { color: #e4eaea; background: #14191a } td, th { border-color: #3a4445 } svg { background: #f7f9f9 } }
"""


def write_page(file: Path, rows: Sequence[Row], alerts: Mapping[str, Sequence[Row]]) -> None:
    """One page with all sites."""
    parts = [_site(site, [row for row in rows if row["site"] == site], alerts[site]) for site in alerts]
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width, initial-scale=1'><title>A year</title><style>{CSS}</style>"
    file.write_text(
        f"<!doctype html><html lang=en>{head}<h1>A drawn year, night by night</h1>{''.join(parts)}", encoding="utf-8"
    )


def by_part(rows: Sequence[Row], parts: int = 12) -> list[dict[str, Any]]:
    """The year in equal parts: what came, what a night cost, what lies on the disk at the end, how good it was.

    A night with new photos and one without are told apart; CPU seconds are medians, memory is the highest.
    """
    days = sorted({row["night"] for row in rows})
    size, found = max(1, -(-len(days) // parts)), []
    for first in range(0, len(days), size):
        some = set(days[first : first + size])
        own = [row for row in rows if row["night"] in some]
        nights = [row for row in own if row["command"] == "nightly" and row["code"] == 0]
        if nights:
            found.append(_part(days[first], own, nights))
    return found


def _part(first: str, own: Sequence[Row], nights: Sequence[Row]) -> dict[str, Any]:
    last, busy = nights[-1], [row for row in nights if row["new_photos"]]
    quiet = [row for row in nights if not row["new_photos"]]
    files, size = (sum(space[k] for space in last["space"].values()) for k in (0, 1))
    measured = [row["accuracy"] for row in own if row.get("accuracy")]
    return {
        "from": first, "nights": len(nights), "photos": last["photos"], "open": last["open"], "pairs": last["pairs"],
        "cpu_new_s": median(row["cpu_s"] for row in busy) if busy else None,
        "cpu_quiet_s": median(row["cpu_s"] for row in quiet) if quiet else None,
        "memory_mb": max(row["memory_mb"] for row in nights), "files": files, "mb": size / 1e6,
        "named": mean(row["right"] / row["named"] for row in nights if row["named"]) if any(r["named"] for r in nights) else None,
        "accuracy": measured[-1] if measured else None,
    }  # fmt: skip


def markdown(rows: Sequence[Row]) -> str:
    """The year's table as it stands in the documentation."""
    heads = ("from", "photos", "open encounters", "pairs", "CPU s, new photos", "CPU s, none", "memory, MB", "files", "MB on disk", "named rightly", "right at once, measured")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(part))} |" for part in by_part(rows))])


def _cells(part: Mapping[str, Any]) -> list[str]:
    accuracy = part["accuracy"]
    measured = f"{_share(accuracy[0])} ({_share(accuracy[1])} to {_share(accuracy[2])}) of {accuracy[3]}" if accuracy else "-"  # fmt: skip
    return [
        part["from"], f"{part['photos']:,}", f"{part['open']:,}", f"{part['pairs']:,}", _number(part["cpu_new_s"], 2), _number(part["cpu_quiet_s"], 2),
        f"{part['memory_mb']:,.0f}", f"{part['files']:,}", f"{part['mb']:,.1f}", _share(part["named"]), measured,
    ]  # fmt: skip


def _site(site: str, rows: Sequence[Row], alerts: Sequence[Row]) -> str:
    nights = [row for row in rows if row["command"] == "nightly" and row["code"] == 0]
    ends = Counter((row["command"], row["code"]) for row in rows)
    said = "; ".join(f"{command} with {code}: {n}" for (command, code), n in sorted(ends.items(), key=str))
    days = len({row["night"] for row in rows})
    table = markdown(rows).splitlines()
    body = [f"<h2>{escape(site)}: {days} nights</h2><p>How commands ended: {escape(said)}.</p>", "<div class=charts>"]
    body += [_chart(title, series) for title, series in _charts(nights).items()]
    body += ["</div><h3>Part by part</h3>", _table([line.strip("| ").split(" | ") for line in (table[0], *table[2:])])]
    told = [alert for alert in alerts if alert["event"] != "done"]
    kinds = Counter(alert["event"] for alert in alerts)
    body += [
        f"<h3>Alerts</h3><p>{', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}; those of finished nights are not listed.</p>"
    ]
    body.append(
        _table(
            [["when", "what", "said"], *([a["time"][:10], a["event"].replace("_", " "), a["text"]] for a in told)],
            "wide text",
        )
    )
    bad = [row for row in rows if row["code"] not in (0, None)]
    body.append("<h3>Commands that did not end with 0</h3>")
    lines = [[row["night"], row["command"], str(row["code"]), row["trouble"], row["said"]] for row in bad]
    body.append(_table([["night", "command", "code", "what was wrong", "said"], *lines], "wide text"))
    return "".join(body)


def _charts(nights: Sequence[Row]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    def line(value: Callable[[Row], Any]) -> list[tuple[float, float]]:
        return [(k, float(v)) for k, row in enumerate(nights) if (v := value(row)) is not None]

    space: dict[str, dict[str, list[tuple[float, float]]]] = {"files": defaultdict(list), "bytes": defaultdict(list)}
    for k, row in enumerate(nights):
        for part, (files, size) in row["space"].items():
            space["files"][part].append((k, files))
            space["bytes"][part].append((k, size / 1e6))
    accuracy = {
        "right at once, measured": line(lambda row: row["accuracy"] and row["accuracy"][0]),
        "named rightly, of all named": line(lambda row: row["right"] / row["named"] if row["named"] else None),
    }
    return {
        "CPU seconds of a night": {
            "with new photos": line(lambda row: row["cpu_s"] if row["new_photos"] else None),
            "without": line(lambda row: None if row["new_photos"] else row["cpu_s"]),
        },
        "Memory of a night, MB": {"peak": line(lambda row: row["memory_mb"])},
        "Files": space["files"],
        "MB on disk": space["bytes"],
        "Accuracy": accuracy,
        "Photos, open encounters, animals": {name: line(lambda row, name=name: row[name]) for name in ("photos", "open", "animals")},  # type: ignore[misc]
    }  # fmt: skip


def _chart(title: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    right, high = max(1.0, max(x for x, _ in points)), max(max(y for _, y in points), 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / right * (WIDTH - LEFT - 8), HEIGHT - BOTTOM - y / high * (HEIGHT - BOTTOM - TOP)

    drawn = [f"<line x1={LEFT} x2={WIDTH - 8} y1={place(0, y)[1]:.1f} y2={place(0, y)[1]:.1f} stroke='#d5dcdc'/><text x={LEFT - 6} y={place(0, y)[1] + 4:.1f} text-anchor=end font-size=12>{_short(y)}</text>" for y in (0, high / 2, high)]  # fmt: skip
    drawn += [f"<text x={place(x, 0)[0]:.1f} y={HEIGHT - 6} text-anchor={anchor} font-size=12>night {x + 1:.0f}</text>" for x, anchor in ((0, "start"), (right, "end"))]  # fmt: skip
    keys = []
    for colour, (name, line) in zip(COLOURS, series.items(), strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        drawn.append(f"<polyline points='{path}' fill=none stroke='{colour}' stroke-width=1.6 />")
        keys.append(f"<span style='white-space:nowrap'><b style='color:{colour}'>&#9644;</b> {escape(name)}</span>")
    return (
        f"<figure><figcaption>{escape(title)}</figcaption><svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='{escape(title)}'>"
        f"{''.join(drawn)}</svg><div class=key>{''.join(keys)}</div></figure>"
    )


def _table(rows: Iterable[Sequence[str]], kind: str = "wide") -> str:
    head, *rest = rows
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rest]
    return f"<div class='{kind}' tabindex=0><table>{''.join(lines)}</table></div>"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.2g}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
