"""`resight review`: look and decide, in a browser."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.markup import escape
from typer import Option

from resight.cli import options
from resight.cli.decide import ByOption, account
from resight.cli.options import Panel
from resight.cli.output import line, screen

review_app = typer.Typer()

PASSWORD = "RESIGHT_REVIEW_PASSWORD"


@review_app.command(rich_help_panel=Panel.DECIDE)
def review(
    workspace: options.WorkspaceOption = options.HERE,
    by: ByOption = None,
    port: Annotated[int, Option(help="Port; 0 for any that is free.", min=0, max=65535)] = 8765,
    browser: Annotated[bool, Option("--browser/--no-browser", help="Open the page.")] = True,
    share: Annotated[
        bool, Option("--share", help="Also for other machines of this network; --reviewer names who may log in.")
    ] = False,
    reviewer: Annotated[list[str] | None, Option(help="Who may log in, with --share; may be repeated.")] = None,
    host: Annotated[
        list[str] | None, Option(help="Another name under which this machine is reached, with --share.")
    ] = None,
) -> None:
    """Look at the answers of the newest run and decide, one screen for each encounter. Works without the internet."""
    from resight.review.serve import Sharing, serve_review
    from resight.store.workspace import open_workspace

    sharing = None
    if share:
        password = os.environ.get(PASSWORD) or typer.prompt("Password for the reviewers", hide_input=True)
        sharing = Sharing(reviewer or [], password, host or [])

    def ready(address: str, once: str) -> None:
        line(screen, f"Review  {escape(address)}")
        line(screen, "Ctrl+C ends it; every decision is kept the moment it is made.")
        if browser and not share:
            import webbrowser

            webbrowser.open(once)  # its command line is no place for the token

    serve_review(open_workspace(workspace), by or account(), port, sharing, ready)
