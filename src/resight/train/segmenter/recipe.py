"""The whole training: data, network, weights, and beside them what they were made of."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from resight.parts import write_bytes
from resight.segment.learned.network import HeadNet
from resight.segment.learned.weights import to_tensors
from resight.train.segmenter.augment import Views
from resight.train.segmenter.loop import Plan, train_net
from resight.train.segmenter.samples import (
    Sample,
    close_of,
    digest_of,
    frame_of,
    read_samples,
    rendered_samples,
    summary,
)

log = logging.getLogger("resight")


@dataclass(frozen=True)
class Material:
    """Training samples in memory: photos and rendered ones."""

    real: list[Views]
    rendered: list[Views]

    def without(self, left_out: Callable[[Sample], bool]) -> Material:
        """The same without the photos for which ``left_out`` is true."""
        return Material([one for one in self.real if not left_out(one.wide)], self.rendered)


@dataclass(frozen=True)
class Recipe:
    """How the bundled network is trained."""

    seed: int = 10
    n_rendered: int = 240
    rendered_seed: int = 7
    plan: Plan = field(default_factory=lambda: Plan(160, 20, 1600))


def load_material(folders: Sequence[Path], recipe: Recipe) -> Material:
    """Read outlined photos and render the others."""
    real = [Views(frame_of(one), close_of(one)) for folder in folders for one in read_samples(folder)]
    return Material(real, [Views(one, one) for one in rendered_samples(recipe.n_rendered, recipe.rendered_seed)])


def train(material: Material, recipe: Recipe, device: str = "cpu") -> HeadNet:
    """Train as the recipe says."""
    return train_net(material.real, material.rendered, recipe.plan, recipe.seed, device, _report)


def train_and_write(folders: Sequence[Path], target: Path, recipe: Recipe, device: str = "cpu") -> dict[str, Any]:
    """Train on everything and write ``target`` (safetensors) and, beside it, the recipe as JSON.

    Returns:
        The content of the recipe file.
    """
    material = load_material(folders, recipe)
    began = time.monotonic()
    net = train(material, recipe, device)
    seconds = time.monotonic() - began
    write_weights(target, net)
    said = {
        "data_sha256": digest_of(folders),
        "photos": summary([one.wide for one in [*material.real, *material.rendered]]),
        "recipe": asdict(recipe),
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seconds": round(seconds),
    }
    write_bytes(target.with_suffix(".json"), (json.dumps(said, indent=1) + "\n").encode())
    return said


def write_weights(target: Path, net: HeadNet) -> None:
    """The network in half precision."""
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, save(to_tensors(net)))


def _report(step: int, losses: dict[str, float]) -> None:
    log.info("step %d: %s", step, ", ".join(f"{name} {value:.3f}" for name, value in losses.items()))
