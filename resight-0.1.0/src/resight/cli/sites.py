"""`resight deploy`: schedules of many sites on a Prefect server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Argument

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_notes, print_result

sites_app = typer.Typer()


@sites_app.command(rich_help_panel=Panel.NIGHTS)
def deploy(
    sites: Annotated[
        Path, Argument(help="TOML file with all sites; deploy/sites.toml is one to copy.", metavar="SITES.toml")
    ],
    as_json: options.JsonOption = False,
) -> None:
    """Make or update the schedules of all sites on a Prefect server (PREFECT_API_URL); a worker of its pool runs them."""
    from resight.flows.deploying import run_deploy

    print_result(run_deploy(sites), as_json, _show)


def _show(console: Console, result: dict[str, Any]) -> None:
    for row in result["deployments"]:
        when = f"{row['cron']} {row['timezone']}" if row["cron"] else "by hand"
        line(console, f"{'made   ' if row['new'] else 'updated'} {escape(row['name'])}  {escape(when)}")
    for row in result["automations"]:
        line(console, f"{'made   ' if row['new'] else 'updated'} automation  {escape(row['name'])}")
    print_notes(console, result)
    line(console, f"A worker runs them: prefect worker start --pool '{escape(result['pool'])}'")
