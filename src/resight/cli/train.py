"""`resight train`: networks trained on your photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result

train_app = typer.Typer(
    name="train",
    help="Train networks on your photos; nothing is used before `resight rebuild` accepts it.",
    rich_help_panel=Panel.TRAIN,
    no_args_is_help=True,
)


@train_app.command("embedding")
def train_embedding(
    directory: Annotated[
        Path, typer.Argument(help="Labelled folder; only encounters that an evaluation puts into the gallery are used.")
    ],
    workspace: options.WorkspaceOption = options.HERE,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps instead of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same weights.")] = 0,
    init: Annotated[str, typer.Option(help="Weights of an earlier training to begin with.")] = "",
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Train the global embedding (a ConvNeXt, circle loss); run again after a stop, it goes on where it was."""
    from resight.flows.training import run_train_embedding
    from resight.train.embedding.params import EmbeddingRecipe

    changed: dict[str, Any] = {"seed": seed, "init": init} | ({"steps": steps} if steps else {})
    recipe = EmbeddingRecipe(**changed)
    result = run_train_embedding(
        directory, options.absolute(workspace), recipe, options.overrides(settings), quiet=as_json
    )
    print_result(result, as_json, _show_embedding)


@train_app.command("matcher")
def train_matcher(
    workspace: options.WorkspaceOption = options.HERE,
    photos: Annotated[
        list[str] | None, typer.Option(help="Folders with photos; those of the workspace if not given.")
    ] = None,
    origin: Annotated[
        str, typer.Option("--from", help="Weights to go on from, by name or path; 'nothing' starts anew.")
    ] = "lightglue-sift-turtle",
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Animal to leave out, so that it can be tested on later; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for weights, views and curves; models/weights in the workspace.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps; 0 takes 6000 from nothing and 1000 otherwise.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Pairs per step.")] = 8,
    keypoints: Annotated[int, typer.Option(min=16, help="Keypoints per photo in a step, at most.")] = 160,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped training was.")] = False,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Adapt LightGlue for SIFT to your photos: unlabelled ones, and confirmed identifications."""
    from resight.flows.training import train_matcher as job

    result = job(
        workspace, photos or (), origin, leave_out or (), out, options.overrides(settings),
        steps=steps, batch=batch, keypoints=keypoints, seed=seed, device=device, resume=resume, quiet=as_json,
    )  # fmt: skip
    print_result(result, as_json, _show_matcher)


def _show_embedding(console: Console, result: dict[str, Any]) -> None:
    line(
        console,
        f"{result['n_crops']} crops of {result['n_individuals']} animals, {result['steps']} steps in "
        f"{result['seconds']:.0f} s on {result['device']}, loss {result['loss_first']:.2f} to {result['loss_last']:.2f}"
        f"{'' if result['computed'] else ' (trained before)'}.",
    )
    line(console, f"Weights {escape(result['path'])}")


def _show_matcher(console: Console, result: dict[str, Any]) -> None:
    line(console, f"Wrote {escape(result['weights'])}")
    line(
        console,
        f"To compare it with the accepted model, and to accept it if it is not worse: {escape(result['next'])}",
    )
