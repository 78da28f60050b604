"""From labelled crops to a weights file that is made once, and back from the file to a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from resight.errors import NothingToMeasure, WeightsError
from resight.store.fingerprint import canonical_json, fingerprint
from resight.store.parts import write_bytes
from resight.store.runs import write_json
from resight.store.workspace import Workspace
from resight.train.checkpoint import older_version
from resight.train.embedding.learner import EmbeddingLearner
from resight.train.embedding.network import EmbeddingNet
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.samples import load_samples
from resight.train.loop import Training, train
from resight.weights.digests import sha256_of
from resight.weights.loading import strict_load
from resight.weights.store import WeightStore

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
    quiet: bool = False,
) -> Trained:
    """Train on the crops of ``rows`` (crop_id, path, individual_id, viewpoint), or find what was trained before.

    Raises:
        NothingToMeasure: There are fewer than two animals to tell apart.
        WeightsError: The file to begin with is missing or does not fit.
    """
    folder = workspace.stage_dir(STAGE, training_fingerprint(rows, recipe, weights))
    if (folder / ABOUT_FILE).exists():
        return read_training(folder)
    animals = {r["individual_id"] for r in rows}
    if len(animals) < 2:
        raise NothingToMeasure(
            f"An embedding cannot be trained on {len(animals)} animals: photos that are also queries are not trained on. Name more "
            "animals in metadata.csv, or let only later encounters be queries (--set evaluate.protocol=time-aware)."
        )
    if (folder / OLDER_CHECKPOINT_FILE).exists():
        raise older_version(folder / OLDER_CHECKPOINT_FILE)
    samples = load_samples(workspace, sorted(rows, key=lambda r: r["crop_id"]), recipe.side_px)
    learner = EmbeddingLearner(samples, recipe, device, _start_weights(recipe, weights))
    training = train(learner, folder / CHECKPOINT_FILE, save_every_s=recipe.save_every_s, quiet=quiet)
    _write(folder, training, recipe, weights, len(rows), len(animals))
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    return read_training(folder, computed=True)


def is_trained(
    workspace: Workspace, rows: Sequence[Mapping[str, Any]], recipe: EmbeddingRecipe, weights: WeightStore
) -> bool:
    """Whether `train_embedding` would find it."""
    return (workspace.store / STAGE / training_fingerprint(rows, recipe, weights) / ABOUT_FILE).exists()


def read_training(folder: Path, *, computed: bool = False) -> Trained:
    """The finished training in ``folder``."""
    written = json.loads((folder / ABOUT_FILE).read_text())
    return Trained(path=str(folder / WEIGHTS_FILE), computed=computed, **written)


def load_net(path: Path, device: str = "cpu") -> tuple[EmbeddingNet, int]:
    """Network and side of its pictures from a weights file that `train_embedding` has written.

    Raises:
        WeightsError: It is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("recipe", "null"))
            state: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is no whole safetensors file ({error}); train it again.") from None
    if about is None:
        raise WeightsError(f"{path} does not describe its network; use a file from `resight train embedding`.")
    recipe = EmbeddingRecipe(**about)
    net = EmbeddingNet(recipe.widths, recipe.depths, recipe.dim)
    strict_load(net, state, name=str(path))
    return net.eval().to(device), recipe.side_px


def _start_weights(recipe: EmbeddingRecipe, weights: WeightStore) -> dict[str, Tensor] | None:
    if not recipe.init:
        return None
    state = weights.state_dict(recipe.init)
    strict_load(EmbeddingNet(recipe.widths, recipe.depths, recipe.dim), state, name=recipe.init)
    return state


def _write(
    folder: Path, training: Training, recipe: EmbeddingRecipe, weights: WeightStore, n_crops: int, n_animals: int
) -> None:
    """Weights first, then what is known about them: that file is the commit mark."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in training.result.state_dict().items()}
    path, losses = folder / WEIGHTS_FILE, training.losses["loss"]
    write_bytes(path, save(tensors, {"recipe": canonical_json(recipe)}))
    trained = Trained(
        path=str(path),
        sha256=sha256_of(path),
        n_crops=n_crops,
        n_individuals=n_animals,
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
