"""`resight models`: list models, and choose the one that `nightly` uses."""

from typing import Annotated, Any

import typer
from rich.console import Console
from typer import Argument

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result

models_app = typer.Typer(
    name="models",
    help="Models that were computed here, and which one `nightly` uses.",
    rich_help_panel=Panel.MODELS,
    no_args_is_help=True,
)


@models_app.command("list")
def models_list(workspace: options.WorkspaceOption = options.HERE, as_json: options.JsonOption = False) -> None:
    """All models that were computed here; a star marks the accepted one."""
    from resight.run.models import current_model, list_models
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    current = current_model(place)
    rows = [
        {"fingerprint": m.fingerprint, "current": m == current, "describe": m.describe(), "weights": m.weights}
        for m in list_models(place)
    ]
    print_result({"models": rows}, as_json, _show_models)


@models_app.command("promote")
def models_promote(
    name: Annotated[str, Argument(help="Fingerprint of the model, or the beginning of it.")],
    workspace: options.WorkspaceOption = options.HERE,
    as_json: options.JsonOption = False,
) -> None:
    """Make a model the accepted one, which `nightly` uses, whatever the comparison said."""
    from resight.run.models import load_model, promote
    from resight.store.attempts import attempt
    from resight.store.workspace import open_workspace

    place = open_workspace(workspace)
    with attempt(place, "models promote", model=name):
        model = load_model(place, name)
        with place.lock():
            promote(place, model)

    def show(console: Console, result: dict[str, Any]) -> None:
        accepted = f"{model.fingerprint} is now the accepted model: {model.describe()}."
        line(console, f"{accepted} Run `resight nightly` for its results.")

    print_result({"promoted": model.fingerprint}, as_json, show)


def _show_models(console: Console, result: dict[str, Any]) -> None:
    for row in result["models"]:
        line(console, f"{'*' if row['current'] else ' '} {row['fingerprint']}  {row['describe']}")
    if not result["models"]:
        console.print("No model yet; the first `resight nightly` accepts what the settings say.")
