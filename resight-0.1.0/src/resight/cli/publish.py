"""`resight publish`: the results in object storage."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result

publish_app = typer.Typer()


@publish_app.command(rich_help_panel=Panel.NIGHTS)
def publish(
    workspace: options.WorkspaceOption = options.HERE,
    to: Annotated[
        str, Option(help="Address, e.g. s3://bucket/zakynthos; the setting publish.to if not given.", metavar="ADDRESS")
    ] = "",
    check: Annotated[bool, Option("--check", help="Also compare everything that was published before.")] = False,
    take_over: Annotated[
        bool, Option("--take-over", help="Publish although the address holds the results of another workspace.")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Copy runs and what is current to object storage: only what is missing there, and what is current last."""
    from resight.run.publishing import in_words, published
    from resight.store.workspace import open_workspace

    result = published(open_workspace(workspace), to, check=check, take_over=take_over)

    def show(console: Console, result: dict[str, Any]) -> None:
        line(console, escape(in_words(result)))
        for sentence in result["damaged"]:
            line(console, f"[bold red]Left out:[/] {escape(sentence)}")

    print_result(result, as_json, show)
    if result["damaged"]:
        raise typer.Exit(1)
