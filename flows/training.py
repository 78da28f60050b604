"""Trainings on labelled photos: only the part that the evaluation calls gallery, so that what is measured was never seen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

from resight.evaluate.animals import Part, deal, named_animals, read_animals, write_parts
from resight.flows.steps import labelled_crops, labelled_folder, own_settings
from resight.novelty.params import NoveltyParams
from resight.run.conditions import open_conditions
from resight.run.run import Run, absolute_sources, open_run
from resight.settings import load_settings
from resight.store.workspace import open_workspace
from resight.tasks.ingest import ingest_photos
from resight.tasks.segment import segment_photos
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.samples import rows_of_animals, training_rows
from resight.train.embedding.train import train_embedding
from resight.train.fusion.judge import judge
from resight.train.fusion.material import by_evidence, read_run_folder
from resight.train.fusion.recipe import write_prior
from resight.train.loop import Execution, training_device
from resight.train.matcher.material import gather
from resight.train.matcher.recipe import recipe_for, train_matcher
from resight.train.segmenter.recipe import Recipe, train_and_write


def run_train_embedding(
    folder: str | Path,
    workspace: str | Path = ".",
    recipe: EmbeddingRecipe | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    leave_out: Sequence[str] = (),
    split: Path | None = None,
    minutes: float = 0.0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train the global embedding on a labelled folder; `resight compare` finds it in the same workspace.

    Args:
        folder: Photos, ``metadata.csv``, and outlines if there are some.
        recipe: The default one if not given.
        leave_out: Animals of which no photo is used.
        split: File that names the animals to train on, with all of their photos (`evaluate.animals`); without one, all
            animals with the photos that an evaluation would put into the gallery.
        minutes: The schedule is squeezed to end by then; 0: no limit.

    Returns:
        The fields of `Trained` and ``notes``.
    """
    place = open_workspace(workspace)
    sources, overrides = labelled_folder(place, folder, overrides)
    settings, model = own_settings(place, overrides)
    with open_run(place, settings, model, flow="train", sources=sources, quiet=quiet) as run:
        rows = [r for r in _rows_to_learn(run, split) if r["individual_id"] not in leave_out]
        trained = train_embedding(
            place, rows, recipe or EmbeddingRecipe(), run.env.weights, training_device(settings.device),
            limit_s=60 * minutes, quiet=quiet,
        )  # fmt: skip
        return asdict(trained) | {"notes": run.notes}


def _rows_to_learn(run: Run, split: Path | None) -> list[dict[str, Any]]:
    if split is None:
        segmented, cohort = labelled_crops(run)
        return training_rows(segmented.photos, segmented.crops, cohort)
    animals = read_animals(split, Part.TRAINING)
    segmented = segment_photos(run, ingest_photos(run))
    return rows_of_animals(segmented.photos, segmented.crops, animals)


def run_train_split(folder: str | Path, out: Path, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """Deal the animals of a labelled folder into those that train and those that choose, and write the file.

    Args:
        folder: With ``metadata.csv``.
        out: The CSV file.
        leave_out: Animals that do neither, so that they can measure.

    Returns:
        ``path``, and how many animals each part has.
    """
    parts = deal(named_animals(Path(folder)), leave_out)
    write_parts(out, parts)
    return {"path": str(out)} | {part.value: sum(p == part for p in parts.values()) for part in Part}


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
    split: Path | None = None,
) -> dict[str, Any]:
    """Train LightGlue for SIFT on photos, of named animals only those that ``split`` trains on; writes a new version into the workspace and changes nothing else."""
    place = open_workspace(workspace)
    settings = load_settings(place.root, overrides).model_copy(
        update={"device": "cpu"}
    )  # of the photos, not the training
    sources = absolute_sources(photos) if photos else settings.ingest.sources
    only = None if split is None else read_animals(split, Part.TRAINING)
    with open_conditions(place, settings, quiet=quiet) as conditions:
        pictures = gather(conditions.env, settings, sources, date.today().isoformat(), leave_out, only)
    folder = (out or place.models / "weights").expanduser().absolute()
    recipe = recipe_for(origin, steps=steps, batch=batch, keypoints=keypoints, seed=seed)
    notes = {"left_out": sorted(leave_out)}
    weights = conditions.env.weights
    file = train_matcher(pictures, folder, recipe, weights, origin, device, resume=resume, notes=notes, quiet=quiet)
    choose = "--set extract.kind=sift --set match.kind=lightglue"
    # Below the workspace a path leads from there, so that it can be moved.
    named = file.relative_to(place.root) if file.is_relative_to(place.root) else file
    command = f"resight rebuild --workspace '{place.root}' {choose} --set 'match.weights={named.as_posix()}'"
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
        device: By default a GPU if there is one.
        quiet: No progress on standard error.

    Returns:
        What is written beside the weights, and ``weights``.
    """
    recipe = Recipe() if seed is None else Recipe(seed=seed)
    if steps:
        recipe = replace(recipe, plan=replace(recipe.plan, steps=steps))
    checkpoint = checkpoint or out.with_suffix(".checkpoint")
    execution = Execution(device or training_device("cpu"), checkpoint, 60 * minutes, quiet)
    record = train_and_write(folders, out, recipe, execution, start)
    return {"weights": str(out)} | record


def run_train_fusion(
    runs: Sequence[Path],
    names: Sequence[str],
    out: Path | None = None,
    alpha: float | None = None,
    split: Path | None = None,
) -> dict[str, Any]:
    """Judge the fusion animal by animal under priors that have not seen it, and learn the prior from all.

    Args:
        runs: Run folders of `resight evaluate` on labelled folders; those with the same kind of matcher and features teach one prior together.
        names: What the labelled folders are called.
        out: Where ``prior.json`` goes; nothing is written if not given.
        alpha: Error level of the decisions that are judged; the default of the settings if not given.
        split: File that names the animals to train on (`evaluate.animals`); photos of others take no part, not even as strangers.

    Returns:
        ``judged``, a row per run; ``prior``, the content of the file, and its ``path``.
    """
    params = NoveltyParams() if alpha is None else NoveltyParams(alpha=alpha)
    animals = read_animals(split, Part.TRAINING) if split else None
    read = [read_run_folder(folder, animals) for folder in runs]
    groups = by_evidence(read)
    judged = [
        {"run": run.name, "features": list(features)} | judge(run, labelled, params)
        for (_, features), labelled in groups.items()
        for run in labelled
    ]
    prior = write_prior(read, names, out) if out else None
    return {"judged": judged, "prior": prior, "path": str(out) if out else None}
