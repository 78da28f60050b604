"""`resight export`: files for other programs."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Argument, Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_notes, print_result
from resight.store.workspace import checked_night

export_app = typer.Typer()

KINDS = "wildbook, dwca, camtrap-dp, capture-history, xlsx, geoparquet or datapackage"
SHOWN = 12


@export_app.command(rich_help_panel=Panel.LOOK)
def export(
    kind: Annotated[str, Argument(help=f"{KINDS}.")],
    workspace: options.WorkspaceOption = options.HERE,
    out: Annotated[
        Path | None, Option(help="File or folder to write; below exports/ in the workspace if not given.")
    ] = None,
    run: Annotated[str | None, Option(help="Run to export; the newest accepted one if not given.")] = None,
    since: Annotated[str | None, Option(help="Only sightings from that day on, e.g. 2026-06-04.")] = None,
    species: Annotated[
        str | None, Option(help="Scientific name, e.g. 'Caretta caretta', where metadata.csv has no column species.")
    ] = None,
    time_zone: Annotated[
        str | None,
        Option(help="Offset of the cameras' clocks, e.g. +03:00 or Europe/Athens, where photos do not say it."),
    ] = None,
    publisher: Annotated[str | None, Option(help="Who publishes the data (dwca, camtrap-dp).")] = None,
    occasion: Annotated[
        str | None, Option(help="Length of a capture occasion: day, month, year, or a number of days such as 14.")
    ] = None,
    by_side: Annotated[
        bool, Option("--by-side", help="Capture histories also for left, right and both sides.")
    ] = False,
    with_unconfirmed: Annotated[
        bool,
        Option("--with-unconfirmed", help="Capture histories also from the program's own answers, with probabilities."),
    ] = False,
    all_periods: Annotated[
        bool, Option("--all-periods", help="Capture occasions also where nothing was photographed.")
    ] = False,
    with_photos: Annotated[
        bool, Option("--with-photos", help="Copy the photos under the names in the sheet (wildbook).")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Write sightings for another program; what no person has confirmed is marked as unconfirmed everywhere."""
    from resight.export.base import Wishes
    from resight.export.job import export as job
    from resight.store.workspace import open_workspace

    wishes = Wishes(species, time_zone, publisher, occasion, by_side, with_unconfirmed, all_periods, with_photos)
    day = date.fromisoformat(checked_night(since)) if since else None
    result = job(open_workspace(workspace), kind, out=out, run_id=run, since=day, wishes=wishes)
    print_result(result, as_json, _show)


def _show(console: Console, result: dict[str, Any]) -> None:
    counts = ", ".join(f"{n} {certainty}" for certainty, n in result["counts"].items() if n)
    line(console, f"Run {escape(result['run_id'])}: {counts} sightings.")
    for file in result["files"][:SHOWN]:
        line(console, f"  {escape(file)}")
    if len(result["files"]) > SHOWN:
        line(console, f"  and {len(result['files']) - SHOWN} more in {escape(result['out'])}")
    print_notes(console, result)
