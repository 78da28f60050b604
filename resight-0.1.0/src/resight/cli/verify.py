"""`resight verify`: is everything still what was written?"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result
from resight.errors import machine_errors_at

verify_app = typer.Typer()


@verify_app.command(rich_help_panel=Panel.LOOK)
def verify(
    workspace: options.WorkspaceOption = options.HERE,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set damaged files aside, so that the next run computes them again.")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Read everything that was computed and say what is damaged or lost; exit code 1 if something is."""
    from resight.run.verify import verify as job
    from resight.store.attempts import Outcome, attempt
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    changing = attempt(place, "verify --repair") if repair else nullcontext()
    with machine_errors_at(options.absolute(workspace)), changing as tried:
        result = job(place, repair=repair, quiet=as_json)
        if tried is not None and not result["ok"]:
            tried.end(Outcome.FAILED, "Something is damaged or lost that cannot be computed again.")
    print_result(result, as_json, _show)
    if not result["ok"]:
        raise typer.Exit(1)


def _show(console: Console, result: dict[str, Any]) -> None:
    table = Table("stage", "whole", "without digest", "damaged", "missing")
    for stage, counts in result["stages"].items():
        table.add_row(stage, *(str(counts[name]) for name in ("whole", "without_digest", "damaged", "missing")))
    console.print(table)
    for row in result["damaged"]:
        colour = "yellow" if row["fate"] == "again" else "bold red"
        done = "set right: " if row["repaired"] else ""
        line(console, f"[{colour}]{escape(row['path'])}[/]: {escape(row['why'])}; {done}{escape(row['then'])}.")
    if result["ok"] and not result["damaged"]:
        line(console, "Everything is what was written.")
    elif any(row["fate"] == "again" and not row["repaired"] for row in result["damaged"]):
        now = "" if result["repair"] else "; `resight verify --repair` sets aside now what is damaged"
        line(console, f"The next run makes again what is not set right{now}.")
