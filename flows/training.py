"""Trainings on labelled photos: only the part that the evaluation calls gallery, so that what is measured was never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resight.environment import Environment
from resight.flows.evaluation import prefer_outlines
from resight.flows.steps import asked_settings, open_workspace
from resight.pairs.cohort import Cohort
from resight.run.run import Run, absolute_sources, open_run
from resight.runner.runner import Runner
from resight.settings import load_settings
from resight.tasks.ingest import ingest_photos
from resight.tasks.measure import hide_labels
from resight.tasks.segment import segment_photos
from resight.train.embedding.crops import training_device, training_rows
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.train import train_embedding
from resight.weights.store import WeightStore


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
    source = absolute_sources([str(folder)])
    settings, model = asked_settings(place, prefer_outlines(place, source[0], dict(overrides or {})))
    with open_run(place, settings, model, flow="train", sources=source, quiet=quiet) as run:
        prepare(run)
        rows = training_rows(
            run.tables["photos"], run.tables["crops"], run.cohort or Cohort(frozenset(), frozenset(), {})
        )
        device = training_device(settings.device)
        trained = train_embedding(place, rows, recipe or EmbeddingRecipe(), run.weights, device, quiet=quiet)
        return asdict(trained) | {"notes": run.notes}


def prepare(run: Run) -> None:
    """Photos, crops, and who asks whom."""
    ingest_photos(run)
    segment_photos(run)
    hide_labels(run)


def train_matcher(
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
    from datetime import date

    from resight.flows.steps import open_workspace
    from resight.run.run import absolute_sources
    from resight.train.matcher.material import gather
    from resight.train.matcher.recipe import recipe_for, train_matcher

    place = open_workspace(workspace)
    settings = load_settings(place.root, overrides)
    weights = WeightStore(settings.weights_dir, settings.allow_download)
    sources = absolute_sources(photos) if photos else settings.ingest.sources
    with place.lock(), Runner(settings.dask, "cpu", quiet) as runner:
        pictures = gather(Environment(place, weights, runner), settings, sources, date.today().isoformat(), leave_out)
    folder = (out or place.models / "weights").expanduser().absolute()
    recipe = recipe_for(origin, steps=steps, batch=batch, keypoints=keypoints, seed=seed)
    notes = {"left_out": sorted(leave_out)}
    file = train_matcher(pictures, folder, recipe, weights, origin, device, resume=resume, notes=notes)
    choose = "--set extract.kind=sift --set match.kind=lightglue"
    command = f"resight rebuild --workspace '{place.root}' {choose} --set 'match.weights={file}'"
    return {
        "weights": str(file),
        "recipe": str(file.with_suffix(".json")),
        "n_pictures": len(pictures),
        "next": command,
    }
