"""The comparison on a terminal."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from resight.cli.output import line, print_notes
from resight.compare.base import MethodStatus
from resight.compare.page import STATUS_WORDS, numbered, seconds, share, span

HEADINGS = ("photo: first", "of 3", "of 5", "enc.: first", "new", "s/query")


def show_comparison(console: Console, result: dict[str, Any]) -> None:
    """The figures, what is missing, and where everything lies."""
    title = "Right animal in per cent (95 % interval), best first"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("method", overflow="fold")
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for r in numbered(result["rows"]):
        auroc = "–" if r["novelty_auroc"] is None else f"{r['novelty_auroc']:.2f}"
        table.add_row(
            escape(r["method"]), _with_span(r, "top1_photo"), share(r["top3_photo"]), share(r["top5_photo"]),
            _with_span(r, "top1_encounter"), auroc, seconds(r["seconds_per_query"]),
        )  # fmt: skip
    console.print(table)
    line(console, "new: known against new animals (AUROC); s/query: seconds per query photo, one core.")
    for r in result["rows"]:
        if r["status"] != MethodStatus.OK:
            line(console, f"[yellow]{escape(r['method'])}, {STATUS_WORDS[r['status']]}:[/] {escape(r['reason'])}")
    computed = ", ".join(result["computed"]) or "nothing, all rows were there already"
    line(console, f"Computed in this run: {escape(computed)}.")
    print_notes(console, result)
    line(console, f"Tables  {escape(result['folder'])}")
    line(console, f"Page    {escape(result['report'])}")


def _with_span(row: dict[str, Any], metric: str) -> str:
    """``58.8 (40-71)``."""
    interval = span(row, metric).replace(" to ", "-")
    return f"{share(row[metric])} ({interval})" if interval else share(row[metric])
