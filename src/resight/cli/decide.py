"""`resight decide`, `rename` and `decisions`: what people know better than the program."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from typer import Argument, Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result

decide_app = typer.Typer()

KINDS = "confirm, new, same-as, reject, split, cannot-tell, bad-crop, not-a-head, does-not-belong, side, apart, second-opinion or undo"
SHOWN = 40

ByOption = Annotated[
    str | None, Option(help="Who decides; the name of your account if not given.", envvar="RESIGHT_REVIEWER")
]
NoteOption = Annotated[str, Option(help="Why, in your own words.")]
ReallyNewOption = Annotated[
    bool, Option("--really-new", help="It is another animal, although a known name looks alike.")
]


@decide_app.command(rich_help_panel=Panel.DECIDE)
def decide(
    kind: Annotated[str, Argument(help=f"{KINDS}.")],
    what: Annotated[
        str,
        Argument(help="Encounter as the report calls it, or one of its photos; for apart a name, for undo a decision."),
    ],
    answer: Annotated[
        str | None,
        Argument(
            help="The animal (confirm, new, reject, apart), the other encounter (same-as) or left, right, … (side)."
        ),
    ] = None,
    photo: Annotated[
        list[str] | None,
        Option(help="Only this photo of the encounter; may be repeated. For split: photos of the other animal."),
    ] = None,
    box: Annotated[
        str | None, Option(help="Where the head is, as x,y,width,height in pixels of the upright photo (bad-crop).")
    ] = None,
    by: ByOption = None,
    note: NoteOption = "",
    really_new: ReallyNewOption = False,
    workspace: options.WorkspaceOption = options.HERE,
    as_json: options.JsonOption = False,
) -> None:
    """Decide about an encounter; the next run and `identify` heed it, and `undo` takes it back."""
    from resight.decisions.asking import Asked, decide_asked
    from resight.store.workspace import open_workspace

    asked = Asked(kind, what, answer, tuple(photo or ()), box, by or account(), note, really_new)
    print_result(decide_asked(open_workspace(workspace), asked), as_json, _show_one)


@decide_app.command(rich_help_panel=Panel.DECIDE)
def rename(
    old: Annotated[str, Argument(help="What the animal is called now.")],
    new: Annotated[str, Argument(help="What it is to be called; the name of a known animal merges the two.")],
    by: ByOption = None,
    note: NoteOption = "",
    really_new: ReallyNewOption = False,
    merge: Annotated[bool, Option("--merge", help="Both names are one animal, and NEW stays.")] = False,
    workspace: options.WorkspaceOption = options.HERE,
    as_json: options.JsonOption = False,
) -> None:
    """Give an animal another name, or merge two names of one animal, in one decision that can be undone."""
    from resight.decisions.asking import Asked, decide_asked
    from resight.store.workspace import open_workspace

    asked = Asked("merge" if merge else "rename", old, new, (), None, by or account(), note, really_new)
    print_result(decide_asked(open_workspace(workspace), asked), as_json, _show_one)


@decide_app.command(rich_help_panel=Panel.DECIDE)
def decisions(
    names: Annotated[
        bool, Option("--names", help="List the animals instead, with their photos and earlier names.")
    ] = False,
    take: Annotated[
        Path | None, Option("--merge-from", help="Take over the decisions of another copy of the workspace first.")
    ] = None,
    workspace: options.WorkspaceOption = options.HERE,
    as_json: options.JsonOption = False,
) -> None:
    """List what was decided, by whom and when, the newest first."""
    from resight.decisions.asking import list_decisions
    from resight.store.workspace import open_workspace

    other = open_workspace(take) if take else None
    print_result(list_decisions(open_workspace(workspace), other), as_json, _show_names if names else _show_all)


def account() -> str:
    """Who decides where nobody says so."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no account, as in some containers
        return "somebody"


def _show_one(console: Console, result: dict[str, Any]) -> None:
    line(console, f"{escape(result['sentence'])} [dim]({result['decision_id'][:8]})[/]")
    line(console, "It counts from the next `resight nightly` on; `resight identify` heeds it at once.")


def _show_all(console: Console, result: dict[str, Any]) -> None:
    for note in result["notes"]:
        line(console, f"[yellow]Note:[/] {escape(note)}")
    if result["taken_over"] is not None:
        line(console, f"{result['taken_over']} decision{' was' if result['taken_over'] == 1 else 's were'} taken over.")
    table = Table(*(Column(name, overflow="fold") for name in ("decision", "when", "who", "what")))
    for row in result["decisions"][:SHOWN]:
        what = escape(row["sentence"]) if row["counts"] else f"[strike]{escape(row['sentence'])}[/] (undone)"
        table.add_row(row["decision_id"][:8], row["at"][:16].replace("T", " ") + " UTC", escape(row["by"]), what)
    console.print(table)
    if len(result["decisions"]) > SHOWN:
        line(console, f"and {len(result['decisions']) - SHOWN} more; --json lists all.")


def _show_names(console: Console, result: dict[str, Any]) -> None:
    table = Table("animal", "photos", "earlier names")
    for row in result["animals"]:
        table.add_row(escape(row["individual_id"]), str(row["n_photos"]), escape(", ".join(row["earlier_names"])))
    console.print(table)
