"""Trainings on labelled photos: only the part that the evaluation calls gallery, so that what is measured was never seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resight.cohort import Cohort
from resight.flows.evaluation import prefer_outlines
from resight.flows.steps import asked_settings, open_workspace
from resight.run import Run, absolute_sources, open_run
from resight.tasks.ingest import ingest_photos
from resight.tasks.measure import hide_labels
from resight.tasks.segment import segment_photos
from resight.train.embedding.crops import training_device, training_rows
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.train import train_embedding


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
