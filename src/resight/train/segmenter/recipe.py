"""The whole training: data, network, weights, and a record of what they were made of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors.torch import save

from resight.segment.learned.network import HeadNet
from resight.segment.learned.weights import from_tensors, to_tensors
from resight.train.loop import Execution, Training, train
from resight.train.record import machine, write_with_record
from resight.train.segmenter.animals import with_animal
from resight.train.segmenter.augment import Views
from resight.train.segmenter.learner import HeadLearner, Plan
from resight.train.segmenter.renders import deck_samples, far_samples, rendered_samples
from resight.train.segmenter.samples import OutlinedPhoto, close_of, digest_of_folders, frame_of, read_samples
from resight.train.segmenter.scenes import backgrounds
from resight.weights.digests import sha256_of
from resight.weights.loading import load_tensors


@dataclass(frozen=True)
class Material:
    """Training samples in memory: photos and rendered ones, and how many backgrounds are drawn for them."""

    real: list[Views]
    rendered: list[Views]
    n_scenes: int = 0

    def without(self, left_out: Callable[[OutlinedPhoto], bool]) -> Material:
        """The same without the photos for which ``left_out`` is true."""
        return Material([views for views in self.real if not left_out(views.wide)], self.rendered, self.n_scenes)

    def scenes(self, seed: int) -> list[np.ndarray]:
        """Backgrounds: drawn ones, and what the photos of this material show beside their animals."""
        return backgrounds(self.n_scenes, [views.wide for views in self.real], seed)


@dataclass(frozen=True)
class Recipe:
    """How the bundled network is trained."""

    seed: int = 10
    n_rendered: int = 240
    n_far: int = 100
    n_deck: int = 60
    n_scenes: int = 120
    rendered_seed: int = 7
    plan: Plan = field(default_factory=lambda: Plan(128, 20, 6000))


def load_material(folders: Sequence[Path], recipe: Recipe) -> Material:
    """Read outlined photos and render the others."""
    photos = (photo for folder in folders for photo in read_samples(folder))
    real = [Views(with_animal(frame_of(photo)), with_animal(close_of(photo))) for photo in photos]
    seed = recipe.rendered_seed
    drawn = rendered_samples(recipe.n_rendered, seed) + far_samples(recipe.n_far, seed)
    drawn += deck_samples(recipe.n_deck, seed)
    return Material(real, [Views(sample, sample) for sample in drawn], recipe.n_scenes)


def train_head_finder(
    material: Material, recipe: Recipe, execution: Execution = Execution(), start: HeadNet | None = None
) -> Training:
    """Train as the recipe says; see `resight.train.loop.train`."""
    scenes = material.scenes(recipe.rendered_seed)
    learner = HeadLearner(material.real, material.rendered, recipe.plan, recipe.seed, execution.device, scenes, start)
    return train(learner, execution.checkpoint, limit_s=execution.limit_s, quiet=execution.quiet)


def train_and_write(
    folders: Sequence[Path],
    target: Path,
    recipe: Recipe,
    execution: Execution = Execution(),
    start: Path | None = None,
) -> dict[str, Any]:
    """Train on everything and write ``target`` (safetensors) and, beside it, the recipe as JSON.

    Args:
        folders: Data sets.
        target: File of the weights.
        recipe: How.
        execution: Device, checkpoint and limits; the checkpoint is deleted once the weights are written.
        start: Weights to go on from, instead of from scratch.

    Returns:
        The content of the recipe file.
    """
    material = load_material(folders, recipe)
    begin = from_tensors(load_tensors(start), str(start)) if start else None
    record = {
        "data_sha256": digest_of_folders(folders),
        "photos": dict(Counter(views.wide.source for views in [*material.real, *material.rendered])),
        "recipe": asdict(recipe),
        "started_from": _origin(start) if start else None,
        **machine(execution.device),
    }
    training = train_head_finder(material, recipe, execution, begin)
    record |= {"products": training.learner.product_type, "steps": training.step, "seconds": round(training.seconds)}
    write_with_record(target, weights_of(training), record)
    if execution.checkpoint is not None:
        execution.checkpoint.unlink(missing_ok=True)
    return record


def weights_of(training: Training) -> bytes:
    """A safetensors file with the network in half precision."""
    return save(to_tensors(cast(HeadNet, training.result)))


def _origin(start: Path) -> dict[str, Any]:
    """Digest of the weights that the training went on from, and their own recipe where it lies beside them."""
    beside = start.with_suffix(".json")
    recipe = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else None
    return {"sha256": sha256_of(start), "recipe": recipe}
