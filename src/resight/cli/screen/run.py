"""A run on the terminal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from resight.cli.output import line, linked, place, print_notes
from resight.report.words import photo_link, photo_path
from resight.status import KEPT_ASIDE, PAST
from resight.store.runs import read_run
from resight.store.workspace import Workspace

STAGES = ("ingest", "segment", "extract", "embed", "shortlist", "match", "calibration", "score", "novelty", "photos")
ROWS_SHOWN = 25
WORK_NAMES = {
    "photos_decoded": "photos decoded",
    "crops_cut": "crops cut",
    "features_computed": "features",
    "pairs_matched": "pairs",
}
METRIC_NAMES = {
    "top1_encounter": "right at once, per encounter", "top1_photo": "right at once, per photo", "top3_photo": "among the best 3",
    "top5_photo": "among the best 5", "map_photo": "mean average precision, per photo", "novelty_auroc": "known against new (AUROC)",
    "novelty_accuracy": "known or new called rightly", "baks_baus_gm": "geometric mean of BAKS and BAUS",
    "open_baks_baus_gm": "the same, whole animals left out", "false_known_rate": "new animals called known", "ece_mixed": "calibration error (ECE)",
    "candidate_set_coverage": "candidate sets that hold the right animal", "background_top1_photo": "right at once with the animals painted over",
}  # fmt: skip
COLOURS = {
    "new": "cyan", "likely_new": "cyan", "likely": "green", "unsure": "yellow", "known": "green", "not_compared": "dim",
}  # fmt: skip


OUTCOMES = {
    "known": ["known"], "likely known": ["likely"], "perhaps new": ["new", "likely_new"], "unsure": ["unsure"],
    "that could not be compared": ["not_compared"],
}  # fmt: skip


def show_run(console: Console, result: dict[str, Any]) -> None:
    """Counts, verdicts, metrics, and where everything lies."""
    console.print()
    if result["flow"] == "nightly" and result["decisions"]:
        line(console, f"[bold]{escape(_the_night(result))}[/]")
    if result["status"] == PAST:
        line(console, f"[bold]As it was on {result['night']}.[/] What is current stays as it is.")
    console.print(_counts(result))
    work = ", ".join(f"{result['work'].get(k, 0)} {name}" for k, name in WORK_NAMES.items())
    console.print(f"Computed in this run: {work}.", highlight=False)
    if result.get("metrics"):
        if result["metrics"]["leak"]:
            console.print(f"[bold white on red] The split leaks: {result['metrics']['leak']:.1%} of the query photos have a gallery photo of the same animal and day. There is no headline. [/]")  # fmt: skip
        console.print(_metrics(result))
        if result["against"]:
            line(console, _comparison(result))
    elif result["decisions"]:
        console.print(_verdicts(result))
    print_notes(console, result, _addresses(result) if result["notes"] and result["run_id"] else {})
    line(console, f"Model   {escape(result['model']['describe'])}")
    line(console, f"Tables  {place(result['folder'])}")
    if result["report"]:
        line(console, f"Report  {place(result['report'])}")
    if result.get("accuracy_page"):
        line(console, f"Accuracy {place(result['accuracy_page'])}")
    if "promoted" in result:
        what = "nothing but the comparison was computed" if result.get("refused") else "this run is kept aside"
        stays = f"[bold]The accepted model stays;[/] {what}."
        console.print("The new model is accepted." if result["promoted"] else stays)
    elif result["flow"] == "nightly" and result["status"] == KEPT_ASIDE:
        console.print("[bold]This night is kept aside;[/] what was current stays so (exit code 3).", highlight=False)


def _the_night(result: dict[str, Any]) -> str:
    """The first line: how tonight's encounters ended, how many are open from before, and what to do."""
    folder = Path(result["folder"])
    workspace, run_id = Workspace(folder.parent.parent), result["run_id"]
    photos = read_run(workspace, run_id, "photos").select(["encounter_id", "first_night"]).to_pylist()
    fresh = {r["encounter_id"] for r in photos if str(r["first_night"]) == str(result["night"])}
    verdicts = read_run(workspace, run_id, "novelty").select(["encounter_id", "decision"]).to_pylist()
    tonight = Counter(r["decision"] for r in verdicts if r["encounter_id"] in fresh)
    said = [f"{n} {words}" for words, kinds in OUTCOMES.items() if (n := sum(tonight[kind] for kind in kinds))]
    before = len(verdicts) - tonight.total()
    backlog = f" {before} more from before {'is' if before == 1 else 'are'} open." if before else ""
    return f"Tonight: {', '.join(said) or 'nothing new'}.{backlog} Look at them: resight review"


def _counts(result: dict[str, Any]) -> Table:
    table = Table("stage", "in", "how they ended", title=f"{result['flow']} {result['night']}", title_justify="left")
    counts = result["counts"]
    for stage in [s for s in STAGES if s in counts] + [s for s in counts if s not in STAGES]:
        c = counts[stage]
        table.add_row(stage, str(c["in"]), ", ".join(f"{n} {status}" for status, n in c["out"].items()))
    return table


def _metrics(result: dict[str, Any]) -> Table:
    metrics, rows = result["metrics"], {r["metric"]: r for r in result["accuracy"] if r["stratum"] == "all"}
    table = Table("measure", "value", "95 % interval", "queries", title=f"Accuracy ({result['protocol']})", title_justify="left")  # fmt: skip
    for key, name in METRIC_NAMES.items():
        row = rows.get(key)
        if row is None or metrics["leak"]:
            continue
        value, ends = row["value"], [row["ci_low"], row["ci_high"]]
        plain = row["unit"] == "score" or key.endswith("auroc")
        shown = [f"{v:.3f}" if plain else f"{100 * v:.1f} %" for v in (value, *ends) if v is not None]
        table.add_row(name, shown[0] if shown else row["missing_because"], " to ".join(shown[1:]), str(row["n"]))
    seconds = metrics.get("seconds_per_query")
    table.add_row("seconds per query", "all from the cache" if seconds is None else f"{seconds:.2f}", "", str(metrics["n_queries"]))  # fmt: skip
    return table


def _comparison(result: dict[str, Any]) -> str:
    """One line on what changed since the run before."""
    rows = {r["metric"]: r for r in result["differences"]}
    changes = [
        f"{100 * r['difference']:+.1f} points per {level} ({r['n_gained']} gained, {r['n_lost']} lost, p = {r['p_value_mcnemar']:.2g})"
        for level in ("encounter", "photo")
        if (r := rows.get(f"top1_{level}")) and r["difference"] is not None
    ]
    return f"Against {result['against']}: right at once {', '.join(changes)}." if changes else ""


def _verdicts(result: dict[str, Any]) -> Table:
    workspace = Workspace(Path(result["folder"]).parent.parent)
    rows = read_run(workspace, result["run_id"], "novelty").to_pylist()
    files = _files(workspace, result["run_id"])
    order = list(COLOURS)
    rows.sort(key=lambda r: (order.index(r["decision"]), r["encounter_id"]))
    table = Table(title="Who it is", title_justify="left")
    for name in ("first photo", "photos", "verdict", "best candidate", "probability", "new?"):
        table.add_column(name, overflow="fold")
    for r in rows[:ROWS_SHOWN]:
        colour = COLOURS[r["decision"]]
        table.add_row(
            files.get(r["encounter_id"], escape(r["encounter_id"])), str(r["n_photos"]), f"[{colour}]{r['decision'].replace('_', ' ')}[/]",
            escape(r["individual_id"] or "-"), _percent(r["probability"]), _percent(r["p_new"]),
        )  # fmt: skip
    if len(rows) > ROWS_SHOWN:
        table.caption = f"{len(rows) - ROWS_SHOWN} more in the report and in novelty.parquet"
    return table


def _files(workspace: Workspace, run_id: str) -> dict[str, str]:
    """The first photo of each encounter, by its path: people know no other names."""
    rows = read_run(workspace, run_id, "photos").select(["encounter_id", "uri"]).to_pylist()
    first = {r["encounter_id"]: r["uri"] for r in sorted(rows, key=lambda r: r["uri"], reverse=True)}
    return {encounter: linked(photo_path(uri), photo_link(uri, workspace.root)) for encounter, uri in first.items()}


def _addresses(result: dict[str, Any]) -> dict[str, str]:
    """Where each photo of the run lies, by its uri."""
    workspace = Workspace(Path(result["folder"]).parent.parent)
    uris = read_run(workspace, result["run_id"], "photos")["uri"].to_pylist()
    return {uri: address for uri in uris if (address := photo_link(uri, workspace.root))}


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
