"""`resight train`: networks trained on your photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

train_app = typer.Typer(
    help="Train networks on your photos; nothing is used before `resight rebuild`.", no_args_is_help=True
)
screen = Console()
WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="Folder with resight.toml.", envvar="RESIGHT_WORKSPACE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="A setting above all other layers, e.g. extract.max_keypoints=512.")
]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Training steps instead of the recipe's.")]
HERE = Path()


@train_app.command("embedding")
def train_embedding(
    directory: Annotated[
        Path, typer.Argument(help="Labelled folder; only the encounters that an evaluation calls gallery are used.")
    ],
    workspace: WorkspaceOption = HERE,
    steps: StepsOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same weights.")] = 0,
    init: Annotated[str, typer.Option("--from", "--init", help="Weights of an earlier training to begin with.")] = "",
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the global embedding (a ConvNeXt, circle loss); run again after a stop, it goes on where it was."""
    from resight.flows.training import run_train_embedding
    from resight.train.embedding.params import EmbeddingRecipe

    changed: dict[str, Any] = {"seed": seed, "init": init} | ({"steps": steps} if steps else {})
    root = str(workspace.expanduser().absolute())
    result = run_train_embedding(directory, root, EmbeddingRecipe(**changed), _overrides(settings), quiet=as_json)
    _print(
        result,
        as_json,
        f"{result['n_crops']} crops of {result['n_individuals']} animals, {result['steps']} steps in "
        f"{result['seconds']:.0f} s on {result['device']}, loss {result['loss_first']:.2f} to {result['loss_last']:.2f}"
        f"{'' if result['computed'] else ' (trained before)'}.",
        f"Weights {result['path']}",
    )


@train_app.command("matcher")
def train_matcher(
    workspace: WorkspaceOption = HERE,
    photos: Annotated[
        list[str] | None, typer.Option(help="Folders with photos; those of the workspace if not given.")
    ] = None,
    origin: Annotated[
        str, typer.Option("--from", help="Weights to go on from, by name or path; 'nothing' starts anew.")
    ] = "lightglue-sift-turtle",
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Animal that is not to be seen, to be tested on later; may be repeated.")
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
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Adapt LightGlue for SIFT to your photos: unlabelled ones, and confirmed identifications."""
    from resight.flows.training import run_train_matcher

    result = run_train_matcher(
        workspace, photos or (), origin, leave_out or (), out, _overrides(settings),
        steps=steps, batch=batch, keypoints=keypoints, seed=seed, device=device, resume=resume, quiet=as_json,
    )  # fmt: skip
    _print(
        result,
        as_json,
        f"Wrote {result['weights']}",
        f"To compare it with the accepted model, and to accept it if it is not worse: {result['next']}",
    )


@train_app.command("segmenter")
def train_segmenter(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders with photos, metadata.csv and outlines (annotations.coco.json).")
    ],
    out: Annotated[Path, typer.Option(help="File of the weights; their recipe goes beside it.")] = Path(
        "headfinder.safetensors"
    ),
    origin: Annotated[
        Path | None, typer.Option("--from", help="Weights to go on from; from scratch if not given.")
    ] = None,
    steps: StepsOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random; the recipe's if not given.")] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Finish within this time; 0 for no limit.")] = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File that a stopped training goes on from; beside the weights if not given.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; a GPU if there is one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the head finder on outlined photos; run again after a stop, it goes on where it was."""
    from resight.flows.training import run_train_segmenter

    result = run_train_segmenter(
        folders, out, checkpoint,
        steps=steps, seed=seed, minutes=minutes, start=origin, device=device, quiet=as_json,
    )  # fmt: skip
    _print(
        result,
        as_json,
        f"{result['photos']}, {result['steps']} steps in {result['seconds']} s on {result['device']}.",
        f"Weights {result['weights']} (use them with --set segment.kind=head-finder --set 'segment.weights={result['weights']}')",
    )


@train_app.command("fusion")
def train_fusion(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of `resight evaluate` on labelled folders.")],
    names: Annotated[
        list[str] | None, typer.Option("--name", help="What a labelled folder is called in the file; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the prior to this file; only judged if not given.")] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Error level of the decisions that are judged; novelty.alpha's default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn how evidence adds up from labelled runs, and judge that on animals that it has not seen."""
    from resight.flows.training import run_train_fusion

    result = run_train_fusion(runs, names or [folder.name for folder in runs], out, alpha)
    rows = [{key: value for key, value in row.items() if key not in ("run", "features")} for row in result["judged"]]
    _print(
        result,
        as_json,
        *(
            f"{row['run']}, {', '.join(row['features'])}: {json.dumps(measures)}"
            for row, measures in zip(result["judged"], rows, strict=True)
        ),
        f"Prior {out}" if out else "Nothing was written; --out writes the prior.",
    )


def _print(result: dict[str, Any], as_json: bool, *lines: str) -> None:
    if as_json:
        print(json.dumps(result, default=str, allow_nan=False))
        return
    for line in lines:
        screen.print(escape(line), soft_wrap=True, highlight=False)


def _overrides(assignments: list[str] | None) -> dict[str, Any] | None:
    from resight.settings import parse_assignments

    return parse_assignments(assignments) if assignments else None
