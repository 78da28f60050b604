"""`resight train`: networks trained on your photos."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer import Argument, Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, print_result

train_app = typer.Typer(
    name="train",
    help="Train networks on your photos; nothing is used before `resight rebuild` accepts it.",
    rich_help_panel=Panel.TRAIN,
    no_args_is_help=True,
)
StepsOption = Annotated[int | None, Option(min=1, help="Training steps instead of the recipe's.")]
MinutesOption = Annotated[float, Option(min=0, help="Finish within this time; 0 for no limit.")]
SplitOption = Annotated[
    Path | None,
    Option(
        help="List of `resight train split`: of the named animals its training ones alone are used, with all photos."
    ),
]
LeaveOutOption = Annotated[
    list[str] | None, Option(help="Animal to leave out, so that it can be tested on later; may be repeated.")
]


@train_app.command("split")
def train_split(
    directory: Annotated[Path, Argument(help="Labelled folder, whose metadata.csv names the animals.")],
    leave_out: LeaveOutOption = None,
    out: Annotated[Path, Option(help="File to write.")] = Path("animals.csv"),
    as_json: options.JsonOption = False,
) -> None:
    """Deal the animals, by a hash of their names, into those to train on and those to choose by; writes a list."""
    from resight.flows.training import run_train_split

    print_result(run_train_split(directory, out, leave_out or ()), as_json, _show_split)


@train_app.command("embedding")
def train_embedding(
    directory: Annotated[
        Path,
        Argument(help="Labelled folder; without --split, only encounters that an evaluation puts into the gallery."),
    ],
    workspace: options.WorkspaceOption = options.HERE,
    steps: StepsOption = None,
    minutes: MinutesOption = 0,
    split: SplitOption = None,
    leave_out: LeaveOutOption = None,
    seed: Annotated[int, Option(min=0, help="Same seed, same weights.")] = 0,
    origin: Annotated[
        str,
        Option("--from", "--init", help="Weights to begin with, by name or path; 'nothing' begins at random."),
    ] = "embedding-turtle-2",
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Train the embedding (EfficientNet-Lite0, margin softmax); run again after a stop, it goes on where it was."""
    from resight.flows.training import run_train_embedding
    from resight.train.embedding.params import EmbeddingRecipe

    changed: dict[str, Any] = {"seed": seed, "init": "" if origin == "nothing" else origin} | (
        {"steps": steps} if steps else {}
    )
    result = run_train_embedding(
        directory, options.absolute(workspace), EmbeddingRecipe(**changed), options.overrides(settings),
        leave_out=leave_out or (), split=split, minutes=minutes, quiet=as_json,
    )  # fmt: skip
    print_result(result, as_json, _show_embedding)


@train_app.command("matcher")
def train_matcher(
    workspace: options.WorkspaceOption = options.HERE,
    photos: Annotated[list[str] | None, Option(help="Folders with photos, instead of the workspace's own.")] = None,
    origin: Annotated[
        str, Option("--from", help="Weights to go on from, by name or path; 'nothing' starts anew.")
    ] = "lightglue-sift-turtle-2",
    split: SplitOption = None,
    leave_out: LeaveOutOption = None,
    out: Annotated[Path | None, Option(help="Folder of the weights; models/weights in the workspace.")] = None,
    steps: Annotated[int, Option(help="Steps; 0 takes 6000 from nothing and 1000 otherwise.")] = 0,
    batch: Annotated[int, Option(min=1, help="Pairs per step.")] = 8,
    keypoints: Annotated[int, Option(min=16, help="Keypoints per photo in a step, at most.")] = 160,
    seed: Annotated[int, Option(help="Seed of everything random.")] = 1,
    device: Annotated[str, Option(help="cpu, cuda or mps.")] = "cpu",
    resume: Annotated[bool, Option("--resume", help="Go on where a stopped training was.")] = False,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Adapt LightGlue for SIFT to your photos: unlabelled ones, and confirmed identifications."""
    from resight.flows.training import run_train_matcher

    result = run_train_matcher(
        workspace, photos or (), origin, leave_out or (), out, options.overrides(settings),
        steps=steps, batch=batch, keypoints=keypoints, seed=seed, device=device, resume=resume, quiet=as_json, split=split,
    )  # fmt: skip
    print_result(result, as_json, _show_matcher)


@train_app.command("gallery")
def train_gallery(
    workspace: options.WorkspaceOption = options.HERE,
    minutes: MinutesOption = 0,
    steps: StepsOption = None,
    embedding_steps: Annotated[int | None, Option(min=1, help="The same for the embedding.")] = None,
    split: SplitOption = None,
    leave_out: LeaveOutOption = None,
    rebuild: Annotated[
        bool, Option(help="Compare with the accepted model, on animals that trained neither, and accept if not worse.")
    ] = True,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Go on training matcher and embedding on your gallery, about one animal in four kept out; a rebuild then decides."""
    from resight.flows.adapting import Effort, run_train_gallery
    from resight.store.attempts import EXIT_CODES, outcome_of

    effort = Effort(steps=steps, embedding_steps=embedding_steps, minutes=minutes)
    result = run_train_gallery(
        options.absolute(workspace), options.overrides(settings), effort=effort, split=split,
        leave_out=leave_out or (), rebuild=rebuild, quiet=as_json,
    )  # fmt: skip
    print_result(result, as_json, _show_gallery)
    if result["rebuild"] and (code := EXIT_CODES[outcome_of(result["rebuild"])]):
        raise typer.Exit(code)


@train_app.command("segmenter")
def train_segmenter(
    folders: Annotated[
        list[Path], Argument(help="Folders with photos, metadata.csv and outlines (annotations.coco.json).")
    ],
    out: Annotated[Path, Option(help="File of the weights; their recipe goes beside it.")] = Path(
        "headfinder.safetensors"
    ),
    origin: Annotated[Path | None, Option("--from", help="Weights to go on from; from scratch if not given.")] = None,
    steps: StepsOption = None,
    seed: Annotated[int | None, Option(min=0, help="Seed of everything random; the recipe's if not given.")] = None,
    minutes: MinutesOption = 0,
    checkpoint: Annotated[
        Path | None, Option(help="File that a stopped training goes on from; beside the weights if not given.")
    ] = None,
    device: Annotated[str | None, Option(help="cpu, cuda or mps; by default a GPU if there is one.")] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Train the head finder on outlined photos; run again after a stop, it goes on where it was."""
    from resight.flows.training import run_train_segmenter

    result = run_train_segmenter(
        folders, out, checkpoint, steps=steps, seed=seed, minutes=minutes, start=origin, device=device, quiet=as_json
    )
    print_result(result, as_json, _show_segmenter)


@train_app.command("fusion")
def train_fusion(
    runs: Annotated[list[Path], Argument(help="Run folders of `resight evaluate` on labelled folders.")],
    names: Annotated[
        list[str] | None, Option("--name", help="What a labelled folder is called in the file; may be repeated.")
    ] = None,
    out: Annotated[Path | None, Option(help="Write the prior to this file; only judge it if not given.")] = None,
    alpha: Annotated[
        float | None, Option(help="Error level of the decisions that are judged; novelty.alpha's default.")
    ] = None,
    split: Annotated[
        Path | None, Option(help="Learn from the training animals of this file alone; see resight train split.")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Learn from labelled runs how evidence adds up, and judge that on animals that it has not seen."""
    from resight.flows.training import run_train_fusion

    result = run_train_fusion(runs, names or [folder.name for folder in runs], out, alpha, split)
    print_result(result, as_json, _show_fusion)


def _show_split(console: Console, result: dict[str, Any]) -> None:
    parts = f"{result['training']} animals to train on, {result['validation']} to choose by"
    line(console, f"{parts}, {result['untouched']} untouched: {escape(result['path'])}")


def _show_embedding(console: Console, result: dict[str, Any]) -> None:
    crops = f"{result['n_crops']} crops of {result['n_individuals']} animals"
    steps = f"{result['steps']} steps in {result['seconds']:.0f} s on {result['device']}"
    loss = f"loss {result['loss_first']:.2f} to {result['loss_last']:.2f}"
    line(console, f"{crops}, {steps}, {loss}{'' if result['computed'] else ' (trained before)'}.")
    line(console, f"Weights {escape(result['path'])}")


def _show_matcher(console: Console, result: dict[str, Any]) -> None:
    line(console, f"Wrote {escape(result['weights'])}")
    line(console, f"To compare it with the accepted model and accept it if it is not worse: {escape(result['next'])}")


def _show_gallery(console: Console, result: dict[str, Any]) -> None:
    from resight.cli.screen.run import show_run

    line(console, f"Matcher {escape(result['matcher'])}")
    line(console, f"Embedding {escape(result['embedding'])}")
    line(console, f"Who trained and who measures: {escape(result['animals'])}")
    if result["rebuild"]:
        show_run(console, result["rebuild"])
        return
    chosen = " ".join(f"--set {name}={value}" for name, value in result["settings"].items())
    line(
        console,
        f"To compare them with the accepted model and accept them if they are not worse: resight rebuild {escape(chosen)}",
    )


def _show_segmenter(console: Console, result: dict[str, Any]) -> None:
    pictures = ", ".join(f"{n} of {source}" for source, n in result["photos"].items())
    line(console, f"{pictures}; {result['steps']} steps in {result['seconds']} s on {result['device']}.")
    weights = escape(result["weights"])
    line(console, f"Weights {weights}; to use them: --set segment.kind=head-finder --set 'segment.weights={weights}'")


def _show_fusion(console: Console, result: dict[str, Any]) -> None:
    for row in result["judged"]:
        measures = {name: value for name, value in row.items() if name not in ("run", "features")}
        line(console, escape(f"{row['run']}, {', '.join(row['features'])}: {json.dumps(measures)}"))
    path = result["path"]
    line(console, f"Prior {escape(path)}" if path else "Nothing was written; --out writes the prior.")
