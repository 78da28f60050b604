"""The whole training: data, network, weights, and beside them what they were made of."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from resight.segment.learned.network import HeadNet
from resight.segment.learned.weights import from_tensors, to_tensors
from resight.store.parts import write_bytes
from resight.train.segmenter.animals import with_animal
from resight.train.segmenter.augment import Views
from resight.train.segmenter.loop import Plan, Trained, train_net
from resight.train.segmenter.pause import Pause
from resight.train.segmenter.renders import deck_samples, far_samples, rendered_samples
from resight.train.segmenter.samples import (
    Sample,
    close_of,
    digest_of,
    frame_of,
    read_samples,
    summary,
)
from resight.train.segmenter.scenes import backgrounds
from resight.weights.loading import load_tensors

log = logging.getLogger("resight")


@dataclass(frozen=True)
class Material:
    """Training samples in memory: photos and rendered ones, and how many backgrounds are drawn for them."""

    real: list[Views]
    rendered: list[Views]
    n_scenes: int = 0

    def without(self, left_out: Callable[[Sample], bool]) -> Material:
        """The same without the photos for which ``left_out`` is true."""
        return Material([one for one in self.real if not left_out(one.wide)], self.rendered, self.n_scenes)

    def scenes(self, seed: int) -> list[np.ndarray]:
        """Backgrounds: drawn ones, and what the photos of this material show beside their animals."""
        return backgrounds(self.n_scenes, [one.wide for one in self.real], seed)


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
    real = [
        Views(with_animal(frame_of(one)), with_animal(close_of(one)))
        for folder in folders
        for one in read_samples(folder)
    ]
    seed = recipe.rendered_seed
    drawn = rendered_samples(recipe.n_rendered, seed) + far_samples(recipe.n_far, seed)
    drawn += deck_samples(recipe.n_deck, seed)
    return Material(real, [Views(one, one) for one in drawn], recipe.n_scenes)


def train(
    material: Material,
    recipe: Recipe,
    device: str = "cpu",
    pause: Pause | None = None,
    start: HeadNet | None = None,
) -> Trained:
    """Train as the recipe says."""
    scenes = material.scenes(recipe.rendered_seed)
    real, rendered = material.real, material.rendered
    return train_net(real, rendered, recipe.plan, recipe.seed, device, _report, scenes, pause, start)


def train_and_write(
    folders: Sequence[Path],
    target: Path,
    recipe: Recipe,
    device: str = "cpu",
    pause: Pause | None = None,
    start: Path | None = None,
) -> dict[str, Any]:
    """Train on everything and write ``target`` (safetensors) and, beside it, the recipe as JSON.

    Args:
        folders: Data sets.
        target: File of the weights.
        recipe: How.
        device: Where.
        pause: Where the state of a training that was stopped is kept, and a time limit.
        start: Weights to go on from, instead of from scratch.

    Returns:
        The content of the recipe file.
    """
    material = load_material(folders, recipe)
    began = from_tensors(load_tensors(start), str(start)) if start else None
    said = _said(folders, material, recipe, device, start)
    trained = train(material, recipe, device, pause, began)
    write_weights(target, trained.net)
    said |= {"steps": trained.steps, "seconds": round(trained.seconds)}
    write_bytes(target.with_suffix(".json"), (json.dumps(said, indent=1) + "\n").encode())
    return said


def _said(
    folders: Sequence[Path], material: Material, recipe: Recipe, device: str, start: Path | None
) -> dict[str, Any]:
    return {
        "data_sha256": digest_of(folders),
        "photos": summary([one.wide for one in [*material.real, *material.rendered]]),
        "recipe": asdict(recipe),
        "started_from": _start_said(start) if start else None,
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _start_said(start: Path) -> dict[str, Any]:
    """Digest of the weights that the training went on from, and their own recipe where it lies beside them."""
    beside = start.with_suffix(".json")
    recipe = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else None
    return {"sha256": hashlib.sha256(start.read_bytes()).hexdigest(), "recipe": recipe}


def write_weights(target: Path, net: HeadNet) -> None:
    """The network in half precision."""
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, save(to_tensors(net)))


def _report(step: int, losses: dict[str, float]) -> None:
    log.info("step %d: %s", step, ", ".join(f"{name} {value:.3f}" for name, value in losses.items()))
