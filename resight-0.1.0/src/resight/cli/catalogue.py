"""`resight catalogue`: all animals as pages to take along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result

catalogue_app = typer.Typer()


@catalogue_app.command(rich_help_panel=Panel.LOOK)
def catalogue(
    workspace: options.WorkspaceOption = options.HERE,
    out: Annotated[
        Path | None, Option(help="Folder to write; exports/catalogue in the workspace if not given.")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Write a page for each animal: best photo of each side, sightings, places, decisions, and who may be the same."""
    from resight.decisions.desk import Desk
    from resight.review.board import Board
    from resight.review.catalogue import write_catalogue
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    target = (out or place.root / "exports" / "catalogue").expanduser().absolute()
    print_result(dict(write_catalogue(Board(Desk(place)), target)), as_json, _show)


def _show(console: Console, result: dict[str, Any]) -> None:
    line(console, f"{result['animals']} animals: {escape(result['page'])}")
