"""`resight weights`: list, verify and fetch files with network weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer import Argument

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result

if TYPE_CHECKING:
    from resight.weights.store import WeightStore

weights_app = typer.Typer(
    name="weights",
    help="Files with network weights: which there are, where they lie, and whether they are intact.",
    rich_help_panel=Panel.MODELS,
    no_args_is_help=True,
)


def _store(workspace: Path) -> WeightStore:
    """The store that the settings of the workspace point to; any folder will do."""
    from resight.settings import load_settings

    home = workspace.absolute() if workspace.is_dir() else None
    return load_settings(home).weight_store(home)


@weights_app.command("list")
def weights_list(workspace: options.WorkspaceOption = options.HERE, as_json: options.JsonOption = False) -> None:
    """All weights that Resight can use, and where they lie."""
    from resight.weights.listing import list_weights

    rows = list_weights(_store(workspace))
    print_result({"weights": [asdict(row) for row in rows]}, as_json, _show_table)


@weights_app.command("verify")
def weights_verify(workspace: options.WorkspaceOption = options.HERE, as_json: options.JsonOption = False) -> None:
    """Check the digest of every weights file that is there; exit code 1 if one is wrong."""
    from resight.weights.listing import verify

    rows = verify(_store(workspace))
    ok = all(row.status != "wrong digest" for row in rows)

    def show(console: Console, result: dict[str, Any]) -> None:
        for row in rows:
            line(console, f"{row.name}: {row.status} {row.path}")

    print_result({"ok": ok, "weights": [asdict(row) for row in rows]}, as_json, show)
    if not ok:
        raise typer.Exit(1)


@weights_app.command("fetch")
def weights_fetch(
    names: Annotated[list[str], Argument(help="Names from `resight weights list`.")],
    workspace: options.WorkspaceOption = options.HERE,
    as_json: options.JsonOption = False,
) -> None:
    """Download weights from their official address into the cache folder."""
    from resight.weights.listing import fetch

    files = [fetch(_store(workspace), name) for name in names]

    def show(console: Console, result: dict[str, Any]) -> None:
        for file in files:
            line(console, f"{file.name}: {file.path} ({file.licence})")

    print_result({"weights": [asdict(file) for file in files]}, as_json, show)


def _show_table(console: Console, result: dict[str, Any]) -> None:
    table = Table()
    for column in ("name", "status", "licence"):
        table.add_column(column, no_wrap=True)
    table.add_column("where, or where to get it", overflow="fold")
    for row in result["weights"]:
        table.add_row(row["name"], row["status"], row["licence"], row["path"] or row["address"])
    console.print(table)
