"""`resight import`: names that somebody has already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Argument, Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result, screen

importing_app = typer.Typer()

SHOWN = 12


@importing_app.command("import", rich_help_panel=Panel.DECIDE)
def import_names(
    folder: Annotated[
        Path, Argument(metavar="DIR", help="Folder with photos, in folders named by animal or with a table.")
    ],
    keep: Annotated[
        list[str] | None, Option(help="This folder is an animal although it does not look so; may be repeated.")
    ] = None,
    yes: Annotated[bool, Option("--yes", help="Count them without asking.")] = False,
    workspace: options.WorkspaceOption = options.HERE,
    as_json: options.JsonOption = False,
) -> None:
    """Take names from folders, Excel, CSV, Wildbook or SeaTurtleID: says what it understood, and asks before it counts."""
    from resight.decisions.desk import Desk
    from resight.decisions.importing import described, is_read, look, take_over
    from resight.settings import load_settings
    from resight.store.workspace import open_workspace

    place, source = open_workspace(workspace), folder.expanduser().absolute()
    desk = Desk(place)
    known = list(desk.animals()) if desk.has_run else []
    ingest = load_settings(place.root).ingest
    found = look(place, source, ingest.extensions, known, keep or [])
    result = described(found) | {"written": None, "is_read": is_read(place, source, ingest.sources)}
    if not result["is_read"]:
        result["doubts"].append(
            f"No run reads {source}: ingest.sources is {', '.join(ingest.sources)}. Add the folder there, or move it into one of them."
        )
    if not as_json:
        _show(screen, result)
    if found.entries and (yes or (not as_json and typer.confirm("Count these names?"))):
        result["written"] = str(take_over(source, found))
    print_result(result, as_json, _show_end)


def _show(console: Console, result: dict[str, Any]) -> None:
    line(console, f"[bold]{escape(result['sentence'])}[/]")
    animals = list(result["animals"].items())
    for name, n in animals[:SHOWN]:
        line(console, f"  {escape(name)}: {n}")
    if len(animals) > SHOWN:
        line(console, f"  and {len(animals) - SHOWN} more")
    for doubt in result["doubts"]:
        line(console, f"[yellow]Note:[/] {escape(doubt)}")


def _show_end(console: Console, result: dict[str, Any]) -> None:
    if result["written"]:
        then = "The next `resight nightly` counts them." if result["is_read"] else "No run reads this folder yet."
        line(console, f"Written: {escape(result['written'])}. {then}")
    else:
        line(console, "Nothing was written.")
