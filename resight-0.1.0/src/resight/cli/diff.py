"""`resight diff`: what changed between two runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from typer import Argument

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, linked, print_result

diff_app = typer.Typer()

SHOWN = 40


@diff_app.command(rich_help_panel=Panel.LOOK)
def diff(
    old: Annotated[str, Argument(help="Earlier run, as its folder in runs/ is called.", metavar="RUN")],
    new: Annotated[str, Argument(help="Later run.", metavar="RUN")],
    workspace: options.WorkspaceOption = options.HERE,
    as_json: options.JsonOption = False,
) -> None:
    """Say which identities changed between two runs, and why: a label, photos, the gallery, the model or settings."""
    from resight.run.diff import diff as job
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    print_result(job(place, old, new), as_json, partial(_show, place.root))


def _show(root: Path, console: Console, result: dict[str, Any]) -> None:
    """Counts, what concerns all sightings once, and a row for each change."""
    counts = ", ".join(f"{n} {what}" for what, n in result["counts"].items())
    line(console, f"{escape(result['old']['run_id'])} → {escape(result['new']['run_id'])}: {counts}.")
    shared = _shared(result)
    for cause, detail in shared:
        line(console, f"[bold]{escape(cause)}[/]  {escape(detail)}")
    if not result["changes"]:
        return
    table = Table(*(Column(name, overflow="fold") for name in ("photos", "before", "now", "why")))
    for change in result["changes"][:SHOWN]:
        causes = [_cause(cause, shared) for cause in change["causes"]]
        table.add_row(
            _photos(change["photos"], root),
            _identity(change["old"]),
            _identity(change["new"]),
            escape("; ".join(causes)),
        )
    console.print(table)
    if len(result["changes"]) > SHOWN:
        line(console, f"and {len(result['changes']) - SHOWN} more; --json lists all.")


def _shared(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Causes that several changes have in the same words: they are said once, above the table."""
    times = Counter((cause["cause"], cause["detail"]) for change in result["changes"] for cause in change["causes"])
    return [cause for cause, n in times.items() if n > 1 and cause[0] not in {"label", "photo", "unrecorded"}]


def _cause(cause: Mapping[str, str], shared: list[tuple[str, str]]) -> str:
    said = (cause["cause"], cause["detail"]) in shared
    return cause["cause"] if said else f"{cause['cause']}: {cause['detail']}"


def _photos(uris: list[str], root: Path) -> str:
    from resight.report.words import photo_link, photo_path

    return linked(photo_path(uris[0]), photo_link(uris[0], root)) + (
        f" and {len(uris) - 1} more" if len(uris) > 1 else ""
    )


def _identity(side: Mapping[str, Any] | None) -> str:
    """Animal and how certain; the verdict of the program where it names nobody."""
    if side is None:
        return "-"
    share = f" {100 * side['probability']:.0f} %" if side["probability"] is not None else ""
    if side["certainty"] in {"confirmed", "decided"}:
        return escape(f"{side['individual_id']} ({side['certainty']}{share})")
    similar = f", most similar to {side['best_candidate_id']}" if side["best_candidate_id"] else ""
    return escape(f"{side['individual_id'] or 'nobody'} ({side['decision'] or side['certainty']}{similar})")
