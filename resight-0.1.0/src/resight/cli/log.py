"""`resight log`: what a command said, line by line, and how it ended."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Argument

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result
from resight.errors import WorkspaceError, machine_errors_at

log_app = typer.Typer()


@log_app.command(rich_help_panel=Panel.LOOK)
def log(
    which: Annotated[
        str | None,
        Argument(help="A night (2026-06-04), a run, or the beginning of an attempt's name; the last if not given."),
    ] = None,
    workspace: options.WorkspaceOption = options.HERE,
    as_json: options.JsonOption = False,
) -> None:
    """What a night or another command said, line by line, and how it ended."""
    from resight.store.attempts import read_attempts
    from resight.store.lines import read_lines
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    with machine_errors_at(place.root):
        attempts = read_attempts(place)
        found = [row for row in attempts if _is(row, which)] if which else attempts[-1:]
        if not found:
            raise WorkspaceError(
                f"Nothing is known of {which or 'any command'} in {place.log}; `resight status` shows the last night."
            )
        said: dict[str, list[dict[str, Any]]] = {str(row["attempt"]): [] for row in found}
        for one in read_lines(place, said):
            said[one.pop("attempt")].append(one)
    print_result({"attempts": [row | {"lines": said[str(row["attempt"])]} for row in found]}, as_json, _show)


def _is(row: dict[str, Any], which: str) -> bool:
    return which in (row.get("night"), row.get("run_id")) or str(row["attempt"]).startswith(which)


def _show(console: Console, result: dict[str, Any]) -> None:
    for row in result["attempts"]:
        began = str(row["began_at"])[:16].replace("T", " ")
        line(
            console,
            f"[bold]{row['command']} {row.get('night') or ''}[/] began {began} UTC on {escape(str(row['host']))} ({row['attempt']})",
        )
        for one in row["lines"]:
            colour = {"warning": "[yellow]", "error": "[bold red]"}.get(one["level"], "")
            line(console, f"  {one['time'][11:19]}  {colour}{escape(one['text'])}{'[/]' if colour else ''}")
        sentence = f": {escape(str(row['sentence']))}" if row["sentence"] else ""
        line(console, f"  {row['outcome'].replace('_', ' ')}{sentence}")
