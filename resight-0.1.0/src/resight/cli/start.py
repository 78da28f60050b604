"""`resight init`, `doctor` and `demo`: the first day."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Argument, Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result

start_app = typer.Typer()


@start_app.command(rich_help_panel=Panel.START)
def init(
    directory: Annotated[Path, Argument(help="Folder to make the workspace in.")],
    as_json: options.JsonOption = False,
) -> None:
    """Make a workspace: a settings file with comments (resight.toml), and a folder for photos."""
    from resight.settings.init import init_workspace

    choice = init_workspace(directory.expanduser().absolute())

    def show(console: Console, result: dict[str, Any]) -> None:
        made, photos = escape(str(directory)), escape(str(directory / "photos"))
        kinds = f"[bold]{choice.extract['kind']}[/] + [bold]{choice.match['kind']}[/]"
        line(console, f"Made [bold]{made}[/].")
        line(console, f"It uses {kinds}, because {choice.why}.")
        line(console, f"Put photos into {photos}, then run: resight nightly --workspace '{made}'")

    print_result({"workspace": str(directory.absolute())} | asdict(choice), as_json, show)


@start_app.command(rich_help_panel=Panel.START)
def doctor(workspace: options.WorkspaceOption = options.HERE, as_json: options.JsonOption = False) -> None:
    """Check that everything the settings ask for is there; exit code 1 if something is missing."""
    from resight.run.doctor import examine
    from resight.store.workspace import open_workspace

    findings = examine(open_workspace(workspace))
    ok = all(finding.ok for finding in findings)

    def show(console: Console, result: dict[str, Any]) -> None:
        for finding in findings:
            mark = "[green]ok [/]" if finding.ok else "[bold red]NO [/]"
            line(console, f"{mark} {finding.what:>9}  {escape(finding.says)}")

    print_result({"ok": ok, "findings": [asdict(finding) for finding in findings]}, as_json, show)
    if not ok:
        raise typer.Exit(1)


@start_app.command(rich_help_panel=Panel.START)
def demo(
    workspace: Annotated[Path, Option("--workspace", "-w", help="Folder to work in; made if missing.")] = Path("demo"),
    photos: Annotated[Path | None, Option(help="Folder with real photos instead of rendered ones.")] = None,
    as_json: options.JsonOption = False,
    plain: options.PlainOption = False,
    record: options.RecordOption = False,
) -> None:
    """Try it out: a night's work on a small rendered survey, or on a folder of your own photos."""
    from resight.cli.screen.run import show_run
    from resight.flows import demo as flows
    from resight.flows.lazy import as_asked

    job = as_asked(flows, "demo", plain=plain, record=record)
    print_result(job(str(workspace), str(photos) if photos else None, quiet=as_json), as_json, show_run)
