"""`resight status`: how a workspace stands."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import accuracy_line, line, print_result

MISSING_EXIT = 4
SHOWN = 5
overview_app = typer.Typer()


@overview_app.command(rich_help_panel=Panel.NIGHTS)
def status(
    workspace: options.WorkspaceOption = options.HERE,
    missing_after: Annotated[
        float | None,
        Option(
            min=0, help="End with exit code 4 if no night was published in the last so many hours.", metavar="HOURS"
        ),
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """How it stands: last night, next night, what failed since, what is to be looked at, model, workers, disk."""
    from resight.notify.events import night_missing
    from resight.run.overview import overview
    from resight.run.telling import notify_params, tell
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    result = overview(place, missing_after) | {"next_night": _next_night(str(place.root))}
    print_result(result, as_json, _show)
    if missing_after is not None and result["missing"]:
        published = result["published"]
        last = published and published["night"]
        tell(place, [night_missing(missing_after, last)], notify_params(place))
        raise typer.Exit(MISSING_EXIT)


@overview_app.command(rich_help_panel=Panel.NIGHTS)
def notify(workspace: options.WorkspaceOption = options.HERE, as_json: options.JsonOption = False) -> None:
    """Send a message on every way that section [notify] of the settings names, to try them; exit code 1 if one fails."""
    from resight.notify.send import send
    from resight.run.telling import notify_params
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    text = f"This is a test from {place.root}; it means nothing."
    answers = send(notify_params(place), {"event": "test", "title": f"Resight {place.root.name}: test", "text": text})

    def show(console: Console, result: dict[str, Any]) -> None:
        for way, why in answers.items():
            line(console, f"{way}: {escape(why) if why else 'taken'}")
        if not answers:
            line(
                console, "Nobody is told: section \\[notify] of resight.toml names no webhook, e-mail, chat or command."
            )

    print_result({"ok": not any(answers.values()), "ways": answers}, as_json, show)
    if any(answers.values()):
        raise typer.Exit(1)


def _next_night(workspace: str) -> dict[str, Any]:
    """When, as a Prefect server says; without one nobody here knows what starts the nights."""
    import os

    if not os.environ.get("PREFECT_API_URL"):
        return {"at": None, "says": "not known here (PREFECT_API_URL is not set; cron or systemd know their own)"}
    from resight.flows.upcoming import next_night

    return next_night(workspace)


def _show(console: Console, result: dict[str, Any]) -> None:
    published, last = result["published"], result["last"]
    if result["missing"]:
        line(console, "[bold white on red] A night is missing. [/]")
    says = f"{published['night']}, {published['hours_ago']:.0f} h ago" if published else "none yet"
    _row(console, "last night", says)
    if last and last["outcome"] not in ("done", "under_way"):
        _row(
            console,
            "",
            f"[bold red]{last['outcome'].replace('_', ' ')}[/] on {last['night']}: {escape(last['sentence'])}",
        )
    for row in result["under_way"]:
        _row(console, "under way", f"{row['command']} since {row['began_at'][:16]} on {escape(str(row['host']))}")
    for row in result["failed_since"][-SHOWN:]:
        _row(
            console, "since then", f"{row['command']} {row['night'] or ''} {row['outcome']}: {escape(row['sentence'])}"
        )
    coming = result["next_night"]
    _row(console, "next night", coming["at"] or coming["says"])
    waiting = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in result["to_look_at"].items() if n)
    _row(console, "to look at", waiting or "nothing")
    _row(console, "accuracy", accuracy_line(result["accuracy"]))
    model = result["model"]
    other = "" if model["as_set"] else "; the settings ask for another one: `resight rebuild`"
    accepted = f"{model['accepted']}: " if model["accepted"] else ""
    _row(console, "model", escape(f"{accepted}{model['describe']} ({model['registered']} registered){other}"))
    _row(console, "workers", escape(result["workers"]["says"]))
    disk = result["disk"]
    colour = "" if disk["ok"] else "[bold red]"
    _row(console, "disk", f"{colour}{disk['free_gb']:.1f} of {disk['total_gb']:.0f} GB free{'[/]' if colour else ''}")


def _row(console: Console, what: str, says: str) -> None:
    line(console, f"{what:>10}  {says}")
