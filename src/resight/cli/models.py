"""`resight models`: which models there are, and which one `nightly` uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Argument

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import accuracy_line, line, print_result

if TYPE_CHECKING:
    from resight.run.models import Model
    from resight.store.workspace import Workspace

models_app = typer.Typer(
    name="models",
    help="Models that were computed here, and which one `nightly` uses.",
    rich_help_panel=Panel.MODELS,
    no_args_is_help=True,
)
NameArgument = Annotated[str, Argument(help="Fingerprint of the model, or the beginning of it.")]
SHOWN = 6


@models_app.command("list")
def models_list(workspace: options.WorkspaceOption = options.HERE, as_json: options.JsonOption = False) -> None:
    """All models that were computed here, with what each has otherwise than the accepted one (*), and how good it was."""
    from resight.run.model_history import model_rows
    from resight.store.workspace import open_workspace

    print_result({"models": model_rows(open_workspace(workspace))}, as_json, _show_models)


@models_app.command("show")
def models_show(
    name: NameArgument, workspace: options.WorkspaceOption = options.HERE, as_json: options.JsonOption = False
) -> None:
    """One model: its settings, weights, when and by whom it was accepted, accuracy, and what it has otherwise."""
    from resight.run.model_history import model_row
    from resight.store.workspace import open_workspace

    print_result(model_row(open_workspace(workspace), name), as_json, _show_model)


@models_app.command("promote")
def models_promote(
    name: NameArgument, workspace: options.WorkspaceOption = options.HERE, as_json: options.JsonOption = False
) -> None:
    """Make a model the accepted one, which `nightly` uses, whatever the comparison said; published where `[publish]` says so."""
    from resight.run.models import load_model, promote

    def accept(place: Workspace) -> Model:
        model = load_model(place, name)
        promote(place, model)
        return model

    _accept("models promote", workspace, accept, as_json)


@models_app.command("rollback")
def models_rollback(workspace: options.WorkspaceOption = options.HERE, as_json: options.JsonOption = False) -> None:
    """Accept again the model that was accepted before the current one."""
    from resight.run.model_history import roll_back

    _accept("models rollback", workspace, roll_back, as_json)


@models_app.command("remove")
def models_remove(
    name: NameArgument, workspace: options.WorkspaceOption = options.HERE, as_json: options.JsonOption = False
) -> None:
    """Forget a model that is not the accepted one; runs that it made stay."""
    from resight.run.model_history import remove
    from resight.store.attempts import attempt
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    with attempt(place, "models remove", model=name), place.lock():
        model = remove(place, name)

    def show(console: Console, result: dict[str, Any]) -> None:
        line(console, f"{model.fingerprint} is forgotten: {escape(model.describe())}.")

    print_result({"removed": model.fingerprint}, as_json, show)


def _accept(command: str, workspace: Path, accept: Callable[[Workspace], Model], as_json: bool) -> None:
    from resight.run.telling import publish_and_tell
    from resight.store.attempts import attempt
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    with attempt(place, command) as tried, place.lock():
        model = accept(place)
        tried.follow(accepted_model=model.fingerprint)
    publish_and_tell(tried)

    def show(console: Console, result: dict[str, Any]) -> None:
        accepted = f"{model.fingerprint} is now the accepted model: {escape(model.describe())}."
        line(console, f"{accepted} Run `resight nightly` for its results.")

    print_result({"promoted": model.fingerprint}, as_json, show)


def _show_models(console: Console, result: dict[str, Any]) -> None:
    for row in result["models"]:
        line(console, f"{'*' if row['current'] else ' '} {row['fingerprint']}  {escape(row['describe'])}")
        line(console, f"      {escape(_used(row))}; {accuracy_line(row['accuracy'], row['current'])}")
        for text in _differences(row)[:SHOWN]:
            line(console, f"      {escape(text)}")
        if len(row["differences"]) > SHOWN:
            line(console, f"      and {len(row['differences']) - SHOWN} more: resight models show {row['fingerprint']}")
    if not result["models"]:
        console.print("No model yet; the first `resight nightly` accepts what the settings say.")


def _show_model(console: Console, row: dict[str, Any]) -> None:
    line(console, f"{row['fingerprint']}{' (accepted)' if row['current'] else ''}  {escape(row['describe'])}")
    line(console, f"{escape(_used(row))}; {accuracy_line(row['accuracy'], row['current'])}")
    for when in row["accepted"]:
        line(console, f"accepted {when['when'][:16]} by {escape(str(when['user']))} ({when['command']})")
    for name, digest in row["weights"].items():
        line(console, f"weights {escape(name)}: {digest}")
    for text in _differences(row):
        line(console, escape(text))


def _differences(row: Mapping[str, Any]) -> list[str]:
    return [f"{one['setting']} = {one['here']} (accepted: {one['accepted']})" for one in row["differences"]]


def _used(row: Mapping[str, Any]) -> str:
    return f"nights {row['first_run']} to {row['last_run']}" if row["first_run"] else "no run yet"
