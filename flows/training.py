"""Trainings on labelled photos: only the part that the evaluation calls gallery, so that what is measured was never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

from resight.flows.steps import labelled_crops, labelled_folder, own_settings
from resight.novelty.params import NoveltyParams
from resight.run.conditions import open_conditions
from resight.run.run import absolute_sources, open_run
from resight.settings import load_settings
from resight.store.workspace import open_workspace
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.samples import training_rows
from resight.train.embedding.train import train_embedding
from resight.train.fusion.judge import judge
from resight.train.fusion.material import by_features, read_run_folder
from resight.train.fusion.recipe import write_prior
from resight.train.loop import training_device
from resight.train.matcher.material import gather
from resight.train.matcher.recipe import recipe_for, train_matcher
from resight.train.segmenter.recipe import Recipe, train_and_write


def run_train_embedding(
    folder: str | Path,
    workspace: str | Path = ".",
    recipe: EmbeddingRecipe | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train the global embedding on a labelled folder; `resight compare` finds it in the same workspace.

    Args:
        folder: Photos, ``metadata.csv``, and outlines if there are some.
        recipe: The default one if not given.

    Returns:
        The fields of `Trained` and ``notes``.
    """
    place = open_workspace(workspace)
    sources, overrides = labelled_folder(place, folder, overrides)
    settings, model = own_settings(place, overrides)
    with open_run(place, settings, model, flow="train", sources=sources, quiet=quiet) as run:
        segmented, cohort = labelled_crops(run)
        rows = training_rows(segmented.photos, segmented.crops, cohort)
        device = training_device(settings.device)
        trained = train_embedding(place, rows, recipe or EmbeddingRecipe(), run.env.weights, device, quiet=quiet)
        return asdict(trained) | {"notes": run.notes}


def run_train_matcher(
    workspace: Path,
    photos: Sequence[str],
    origin: str,
    leave_out: Sequence[str],
    out: Path | None,
    overrides: Mapping[str, Any] | None,
    *,
    steps: int,
    batch: int,
    keypoints: int,
    seed: int,
    device: str,
    resume: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Train LightGlue for SIFT on photos; writes a new version into the workspace and changes nothing else."""
    place = open_workspace(workspace)
    settings = load_settings(place.root, overrides).model_copy(
        update={"device": "cpu"}
    )  # of the photos, not the training
    sources = absolute_sources(photos) if photos else settings.ingest.sources
    with open_conditions(place, settings, quiet=quiet) as conditions:
        pictures = gather(conditions.env, settings, sources, date.today().isoformat(), leave_out)
    folder = (out or place.models / "weights").expanduser().absolute()
    recipe = recipe_for(origin, steps=steps, batch=batch, keypoints=keypoints, seed=seed)
    notes = {"left_out": sorted(leave_out)}
    weights = conditions.env.weights
    file = train_matcher(pictures, folder, recipe, weights, origin, device, resume=resume, notes=notes, quiet=quiet)
    choose = "--set extract.kind=sift --set match.kind=lightglue"
    command = f"resight rebuild --workspace '{place.root}' {choose} --set 'match.weights={file}'"
    written = {"weights": str(file), "recipe": str(file.with_suffix(".json"))}
    return written | {"n_pictures": len(pictures), "next": command}


def run_train_segmenter(
    folders: Sequence[Path],
    out: Path,
    checkpoint: Path | None = None,
    *,
    steps: int | None = None,
    seed: int | None = None,
    minutes: float = 0.0,
    start: Path | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train the head finder on outlined photos and rendered ones.

    Args:
        folders: Each holds photos, ``metadata.csv`` and ``annotations.coco.json``.
        out: File of the weights; their recipe goes beside it.
        checkpoint: A stopped training goes on from here; beside ``out`` if not given.
        steps, seed: Instead of the recipe's.
        minutes: The schedule is squeezed to end by then; 0: no limit.
        start: Weights to go on from, instead of from scratch.
        device: A GPU if there is one, if not given.
        quiet: No progress on standard error.

    Returns:
        What is written beside the weights, and ``weights``.
    """
    recipe = Recipe() if seed is None else Recipe(seed=seed)
    if steps:
        recipe = replace(recipe, plan=replace(recipe.plan, steps=steps))
    device, checkpoint = device or training_device("cpu"), checkpoint or out.with_suffix(".checkpoint")
    record = train_and_write(folders, out, recipe, device, checkpoint, limit_s=60 * minutes, start=start, quiet=quiet)
    return {"weights": str(out)} | record


def run_train_fusion(
    runs: Sequence[Path], names: Sequence[str], out: Path | None = None, alpha: float | None = None
) -> dict[str, Any]:
    """Judge the fusion animal by animal under priors that have not seen it, and learn the prior from all.

    Args:
        runs: Run folders of `resight evaluate` on labelled folders; those with the same features teach one prior together.
        names: What the labelled folders are called.
        out: Where ``prior.json`` goes; nothing is written if not given.
        alpha: Error level of the decisions that are judged; the default of the settings if not given.

    Returns:
        ``judged``, a row per run; ``prior``, the content of the file, and its ``path``.
    """
    params = NoveltyParams() if alpha is None else NoveltyParams(alpha=alpha)
    groups = by_features([read_run_folder(folder) for folder in runs])
    judged = [
        {"run": run.name, "features": list(features)} | judge(run, labelled, params)
        for features, labelled in groups.items()
        for run in labelled
    ]
    prior = write_prior(list(groups.values()), names, out) if out else None
    return {"judged": judged, "prior": prior, "path": str(out) if out else None}
