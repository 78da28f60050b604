"""From labelled crops to a weights file that is made once, and back from the file to a network."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from resight.embed.network import IMAGENETS_FIRST, from_imagenet
from resight.errors import NothingToMeasure
from resight.store.fingerprint import canonical_json, fingerprint
from resight.store.parts import write_bytes
from resight.store.runs import write_json
from resight.store.workspace import Workspace
from resight.train.checkpoint import older_version
from resight.train.embedding.learner import EmbeddingLearner, Taught
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.samples import load_samples
from resight.train.loop import Training, train
from resight.weights.digests import sha256_of
from resight.weights.store import WeightStore
from resight.weights.trained_on import header_of, trained_on

STAGE = "embedding"
WEIGHTS_FILE, ABOUT_FILE = "embedding.safetensors", "training.json"
CHECKPOINT_FILE, OLDER_CHECKPOINT_FILE = "checkpoint.safetensors", "checkpoint.pt"
LAST = 50


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        path: The weights.
        sha256: Their digest.
        n_crops, n_individuals: What it was trained on.
        steps, seconds: How long, over all calls together.
        loss_first, loss_last: Mean loss of the first and of the last 50 steps.
        started_from: ``scratch``, or the file it began with.
        device: Where.
        computed: Whether this call trained, and did not only find the file.
    """

    path: str
    sha256: str
    n_crops: int
    n_individuals: int
    steps: int
    seconds: float
    loss_first: float
    loss_last: float
    started_from: str
    device: str
    computed: bool = True


def training_fingerprint(rows: Sequence[Mapping[str, Any]], recipe: EmbeddingRecipe, weights: WeightStore) -> str:
    """Name of what ``recipe`` makes of these crops (crop_id, individual_id, viewpoint).

    Raises:
        WeightsError: The file to begin with is missing.
    """
    crops = sorted([r["crop_id"], r["individual_id"], r["viewpoint"]] for r in rows)
    digests = [weights.find(name).sha256 for name in recipe.weight_names()]
    made_by = recipe.model_dump(mode="json", exclude={"save_every_s", "init"})
    return fingerprint("EmbeddingRecipe", recipe.revision, made_by, digests, crops)


def train_embedding(
    workspace: Workspace,
    rows: Sequence[Mapping[str, Any]],
    recipe: EmbeddingRecipe,
    weights: WeightStore,
    device: str = "cpu",
    *,
    limit_s: float = 0.0,
    quiet: bool = False,
) -> Trained:
    """Train on the crops of ``rows`` (see `training_rows`), or find what was trained before.

    A training that a time limit has ended keeps its state; called with a longer limit, or none, it goes on.

    Args:
        workspace: Where crops lie, and where state and weights are kept.
        rows: What to learn from.
        recipe: How.
        weights: Where weights to begin with are looked for.
        device: Where it runs.
        limit_s: The schedule is squeezed so that the training ends by then; 0: no limit.
        quiet: No progress on standard error.

    Raises:
        NothingToMeasure: There are fewer than two animals to tell apart.
        WeightsError: The file to begin with is missing or does not fit.
    """
    folder = workspace.stage_dir(STAGE, training_fingerprint(rows, recipe, weights))
    if (folder / ABOUT_FILE).exists() and not _may_go_on(folder, limit_s):
        return read_training(folder)
    animals = {r["individual_id"] for r in rows}
    if len(animals) < 2:
        raise NothingToMeasure(
            f"An embedding cannot be trained on {len(animals)} animals: photos that are also queries are not trained on. Name more "
            "animals in metadata.csv, or let only later encounters be queries (--set evaluate.protocol=time-aware)."
        )
    if (folder / OLDER_CHECKPOINT_FILE).exists():
        raise older_version(folder / OLDER_CHECKPOINT_FILE)
    samples = load_samples(workspace, sorted(rows, key=lambda r: r["crop_id"]), recipe.kept_px)
    learner = EmbeddingLearner(samples, recipe, device, _start_weights(recipe, weights))
    training = train(learner, folder / CHECKPOINT_FILE, save_every_s=recipe.save_every_s, limit_s=limit_s, quiet=quiet)
    _write(folder, training, recipe, weights, len(rows), animals)
    if training.step >= recipe.steps:
        (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    return read_training(folder, computed=True)


def _may_go_on(folder: Path, limit_s: float) -> bool:
    """Whether a time limit has ended the training that lies there, and this one is longer."""
    return (folder / CHECKPOINT_FILE).exists() and (limit_s == 0 or limit_s > read_training(folder).seconds)


def is_trained(
    workspace: Workspace, rows: Sequence[Mapping[str, Any]], recipe: EmbeddingRecipe, weights: WeightStore
) -> bool:
    """Whether `train_embedding` would find it."""
    return (workspace.store / STAGE / training_fingerprint(rows, recipe, weights) / ABOUT_FILE).exists()


def read_training(folder: Path, *, computed: bool = False) -> Trained:
    """The finished training in ``folder``."""
    written = json.loads((folder / ABOUT_FILE).read_text())
    return Trained(path=str(folder / WEIGHTS_FILE), computed=computed, **written)


def _start_weights(recipe: EmbeddingRecipe, weights: WeightStore) -> dict[str, Tensor] | None:
    if not recipe.init:
        return None
    state = {name: tensor.float() for name, tensor in weights.state_dict(recipe.init).items()}
    return from_imagenet(state) if IMAGENETS_FIRST in state else state


def _write(
    folder: Path,
    training: Training,
    recipe: EmbeddingRecipe,
    weights: WeightStore,
    n_crops: int,
    animals: Collection[str],
) -> None:
    """Weights first, then what is known about them: that file is the commit mark."""
    taught = training.result
    assert isinstance(taught, Taught)
    before = trained_on(weights.find(recipe.init).path) if recipe.init else frozenset()
    tensors = {k: v.detach().cpu().half().contiguous() for k, v in taught.net.state_dict().items()}
    path, losses = folder / WEIGHTS_FILE, training.losses["loss"]
    write_bytes(path, save(tensors, {"recipe": canonical_json(recipe)} | header_of({*animals, *before})))
    trained = Trained(
        path=str(path),
        sha256=sha256_of(path),
        n_crops=n_crops,
        n_individuals=len(animals),
        steps=training.step,
        seconds=round(training.seconds, 1),
        loss_first=_mean(losses[:LAST]),
        loss_last=_mean(losses[-LAST:]),
        started_from=weights.find(recipe.init).sha256 if recipe.init else "scratch",
        device=training.learner.device,
    )
    write_json(folder / ABOUT_FILE, {k: v for k, v in asdict(trained).items() if k not in ("path", "computed")})


def _mean(losses: Sequence[float]) -> float:
    return float(torch.tensor(losses).mean())
