"""What the command line shows at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from resight.runs import read_run
from resight.workspace import Workspace

STAGES = ("ingest", "segment", "extract", "shortlist", "match", "score", "novelty", "photos")
ROWS_SHOWN = 25
WORK_NAMES = {
    "photos_decoded": "photos decoded",
    "crops_cut": "crops cut",
    "features_computed": "features",
    "pairs_matched": "pairs",
}
METRIC_NAMES = {
    "top1_photo": "right at once, per photo", "top3_photo": "among the best 3", "top5_photo": "among the best 5",
    "top1_encounter": "right at once, per encounter", "map_photo": "mean average precision, per photo", "novelty_auroc": "known against new (AUROC)",
}  # fmt: skip


def show_run(console: Console, result: dict[str, Any]) -> None:
    """Counts, verdicts, metrics, and where everything lies."""
    console.print()
    console.print(_counts(result))
    work = ", ".join(f"{result['work'].get(k, 0)} {name}" for k, name in WORK_NAMES.items())
    console.print(f"Computed in this run: {work}.", highlight=False)
    if result.get("metrics"):
        console.print(_metrics(result["metrics"]))
    elif result["decisions"]:
        console.print(_verdicts(result))
    for note in result["notes"]:
        console.print(f"[yellow]Note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    console.print(f"Model   {escape(result['model']['describe'])}", highlight=False, soft_wrap=True)
    console.print(f"Tables  {escape(result['folder'])}", highlight=False, soft_wrap=True)
    if result["report"]:
        console.print(f"Report  {escape(result['report'])}", highlight=False, soft_wrap=True)
    if "promoted" in result:
        console.print(
            "The new model is promoted."
            if result["promoted"]
            else "[bold]The accepted model stays;[/] this run is kept aside."
        )


def _counts(result: dict[str, Any]) -> Table:
    table = Table("stage", "in", "how they ended", title=f"{result['flow']} {result['night']}", title_justify="left")
    counts = result["counts"]
    for stage in [s for s in STAGES if s in counts] + [s for s in counts if s not in STAGES]:
        c = counts[stage]
        table.add_row(stage, str(c["in"]), ", ".join(f"{n} {status}" for status, n in c["out"].items()))
    return table


def _metrics(metrics: dict[str, Any]) -> Table:
    table = Table("measure", "value", title="Accuracy", title_justify="left")
    for key, name in METRIC_NAMES.items():
        value = metrics.get(key)
        shown = (
            "cannot be computed"
            if value is None
            else f"{value:.3f}"
            if key == "novelty_auroc"
            else f"{100 * value:.1f} %"
        )
        table.add_row(name, shown)
    seconds = metrics.get("seconds_per_query")
    table.add_row("queries", str(metrics["n_queries"]))
    table.add_row("seconds per query", "all from the cache" if seconds is None else f"{seconds:.2f}")
    return table


def _verdicts(result: dict[str, Any]) -> Table:
    folder = Path(result["folder"])
    rows = read_run(Workspace(folder.parent.parent), result["run_id"], "novelty").to_pylist()
    order = {"new": 0, "unsure": 1, "known": 2, "not_compared": 3}
    rows.sort(key=lambda r: (order[r["decision"]], r["encounter_id"]))
    table = Table(title="Who it is", title_justify="left")
    for name in ("encounter", "photos", "verdict", "best candidate", "probability", "new?"):
        table.add_column(name, overflow="fold")
    for r in rows[:ROWS_SHOWN]:
        colour = {"known": "green", "new": "cyan", "unsure": "yellow", "not_compared": "dim"}[r["decision"]]
        table.add_row(
            escape(r["encounter_id"]), str(r["n_photos"]), f"[{colour}]{r['decision'].replace('_', ' ')}[/]",
            escape(r["individual_id"] or "-"), _percent(r["probability"]), _percent(r["p_new"]),
        )  # fmt: skip
    if len(rows) > ROWS_SHOWN:
        table.caption = f"{len(rows) - ROWS_SHOWN} more in the report and in novelty.parquet"
    return table


def show_ingest(console: Console, result: dict[str, Any]) -> None:
    """What became of each file."""
    console.print(
        f"{result['n_files']} files, {result['n_photos']} different photos, {result['n_decoded']} read now.",
        highlight=False,
    )
    for status, n in result["counts"].items():
        console.print(f"  {n:>6} {status}", highlight=False)
    for photo in result["rejected"]:
        console.print(
            f"[yellow]{escape(photo['reason'])}[/]  {escape(photo['message'])}", highlight=False, soft_wrap=True
        )
    for note in result["notes"]:
        console.print(f"[yellow]Note:[/] {escape(note)}", highlight=False, soft_wrap=True)


def show_identify(console: Console, result: dict[str, Any]) -> None:
    """Candidates of each query, best first."""
    for query in result["queries"]:
        table = Table("rank", "individual", "score", "probability", title=escape(query["name"]), title_justify="left")
        for c in query["candidates"]:
            table.add_row(str(c["rank"]), escape(c["individual_id"]), f"{c['score']:.4g}", _percent(c["probability"]))
        console.print(table)
        console.print(
            f"[bold]{query['decision'].replace('_', ' ')}[/]: {escape(query['evidence'])}",
            highlight=False,
            soft_wrap=True,
        )
    for note in result["notes"]:
        console.print(f"[yellow]Note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    if result["report"]:
        console.print(f"Report  {escape(result['report'])}", highlight=False, soft_wrap=True)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
