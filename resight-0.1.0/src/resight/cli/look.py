"""`resight ingest` and `segment`: look at photos and crops without a run."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Argument, Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, place, print_notes, print_result, with_links

look_app = typer.Typer()


@look_app.command(rich_help_panel=Panel.LOOK)
def ingest(
    paths: Annotated[list[str], Argument(help="Folders, files, patterns such as '*.jpg', or fsspec addresses.")],
    workspace: options.WorkspaceOption = options.HERE,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Read photos and say which are usable; the next nightly run does not read them again."""
    from resight.flows.look import look_at_photos

    print_result(look_at_photos(workspace, paths, options.overrides(settings), quiet=as_json), as_json, _show_photos)


@look_app.command(rich_help_panel=Panel.LOOK)
def segment(
    paths: Annotated[list[str] | None, Argument(help="Photos; the workspace's own if not given.")] = None,
    workspace: options.WorkspaceOption = options.HERE,
    review: Annotated[bool, Option("--review", help="Also write a contact sheet, least certain crops first.")] = False,
    out: Annotated[
        Path | None, Option(help="File of the contact sheet; segment-review.html in the workspace if not given.")
    ] = None,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Cut the animals out of the photos and say how that went; the next nightly run does not do it again."""
    from resight.flows.look import look_at_crops

    target = (out or workspace / "segment-review.html") if review or out else None
    result = look_at_crops(workspace, paths or (), options.overrides(settings), review=target, quiet=as_json)
    print_result(result, as_json, _show_crops)


def _show_photos(console: Console, result: dict[str, Any]) -> None:
    """What became of each file."""
    counts = f"{result['n_files']} files, {result['n_photos']} different photos, {result['n_decoded']} read now."
    console.print(counts, highlight=False)
    for status, n in result["counts"].items():
        console.print(f"  {n:>6} {status}", highlight=False)
    for photo in result["rejected"]:
        said = with_links(photo["message"], {photo["uri"]: photo["link"]})
        line(console, f"[yellow]{escape(photo['reason'])}[/]  {said}")
    print_notes(console, result)


def _show_crops(console: Console, result: dict[str, Any]) -> None:
    for status, n in result["counts"].items():
        console.print(f"{n:>7} {status}", highlight=False)
    if result["review"]:
        line(console, f"Contact sheet  {place(result['review'])}")
