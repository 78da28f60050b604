"""`resight du` and `prune`: what takes the space, and what of it can go."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer import Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_notes, print_result
from resight.errors import machine_errors_at

MOST_ROWS = 20
UNITS = ("B", "kB", "MB", "GB", "TB")
space_app = typer.Typer()


@space_app.command(rich_help_panel=Panel.LOOK)
def du(
    workspace: options.WorkspaceOption = options.HERE,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """What takes the space: by stage, by model, and the largest results and runs."""
    from resight.run.usage import usage
    from resight.settings import load_settings
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    with machine_errors_at(place.root):
        result = usage(place, load_settings(place.root, options.overrides(settings)))
    print_result(result, as_json, _show_usage)


@space_app.command(rich_help_panel=Panel.LOOK)
def prune(
    workspace: options.WorkspaceOption = options.HERE,
    remove: Annotated[bool, Option("--remove", help="Remove it; without this, only say what would go.")] = False,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Say, or with --remove do away with, old runs and results that nothing refers to (section [retention])."""
    from resight.run.prune import prune as job
    from resight.settings import load_settings
    from resight.store.attempts import attempt
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    changing = attempt(place, "prune --remove") if remove else nullcontext()
    with machine_errors_at(place.root), changing as tried:
        result = job(place, load_settings(place.root, options.overrides(settings)), remove=remove)
        if tried is not None:
            tried.follow(removed=[row["path"] for row in result["items"]], removed_bytes=result["bytes"])
    print_result(result, as_json, _show_pruned)


def _show_usage(console: Console, result: dict[str, Any]) -> None:
    stages = Table("stage", "size")
    for stage, size in result["by_stage"].items():
        stages.add_row(stage, in_words(size))
    console.print(stages)
    models = Table("model", "size of what it uses")
    for model, size in result["by_model"].items():
        models.add_row(f"{'* ' if model == result['accepted'] else ''}{model}", in_words(size))
    console.print(models)
    items = Table("largest", "size", "files", "used by")
    for row in result["items"][:MOST_ROWS]:
        users = row["used_by"]
        shown = ", ".join(users[:2]) + (f" and {len(users) - 2} more" if len(users) > 2 else "")
        items.add_row(escape(row["path"]), in_words(row["bytes"]), str(row["files"]), escape(shown or "-"))
    console.print(items)
    line(console, f"{in_words(result['bytes'])} in {result['files']} files.")
    print_notes(console, result)


def _show_pruned(console: Console, result: dict[str, Any]) -> None:
    for row in result["items"]:
        line(console, f"{in_words(row['bytes']):>10}  {escape(row['path'])}: {escape(row['why'])}")
    done = "were removed" if result["removed"] else "would be removed"
    line(
        console,
        f"{in_words(result['bytes'])} in {result['files']} files {done}; {in_words(result['kept_bytes'])} stay.",
    )
    if result["items"] and not result["removed"]:
        line(console, "`resight prune --remove` removes them.")
    print_notes(console, result)


def in_words(size: float) -> str:
    """A number of bytes with a unit."""
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == UNITS[0] else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {UNITS[-1]}"
