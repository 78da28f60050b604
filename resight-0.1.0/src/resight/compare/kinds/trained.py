"""The embedding: as it comes with the package, and trained further on the labelled photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resight.compare.base import Family, Trial
from resight.compare.vectors import Embedder, VectorMethod
from resight.embed.picture import squashed
from resight.embed.weights import BUNDLED, load_net
from resight.store.fingerprint import fingerprint
from resight.train.embedding.params import QUICK_STEPS, EmbeddingRecipe
from resight.train.embedding.samples import training_rows
from resight.train.embedding.train import Trained, is_trained, train_embedding, training_fingerprint
from resight.train.loop import training_device
from resight.train.pixels import to_tensor
from resight.weights.digests import sha256_of

DEFAULT_RECIPE = EmbeddingRecipe()


@dataclass(frozen=True)
class EmbeddingMethod(VectorMethod):
    """The embedding from a file, not trained further.

    Attributes:
        weights: By name or path.
    """

    weights: str = BUNDLED

    def weight_names(self) -> list[str]:
        return [self.weights]

    def describe(self, trial: Trial) -> Any:
        return "embedding"

    def embedder(self, trial: Trial) -> Embedder:
        return NetEmbedder(trial.env.weights.find(self.weights).path, trial.env.device)


@dataclass(frozen=True)
class TrainedMethod(VectorMethod):
    """EfficientNet-Lite0, trained with margin softmax on the gallery's encounters; the queries are never looked at.

    Attributes:
        recipe: How.
        shorten: Train for about a minute only.
    """

    recipe: EmbeddingRecipe = DEFAULT_RECIPE
    shorten: bool = False

    def recipe_for(self, trial: Trial) -> EmbeddingRecipe:
        """The recipe; a shortened one for ``shorten``, unless the whole training was done before."""
        short = self.recipe.model_copy(update={"steps": min(self.recipe.steps, QUICK_STEPS)})
        whole = not self.shorten or is_trained(trial.env.workspace, self._rows(trial), self.recipe, trial.env.weights)
        return self.recipe if whole else short

    def weight_names(self) -> list[str]:
        return self.recipe.weight_names()

    def describe(self, trial: Trial) -> Any:
        return ["trained", training_fingerprint(self._rows(trial), self.recipe_for(trial), trial.env.weights)]

    def embedder(self, trial: Trial) -> Embedder:
        return NetEmbedder(Path(self._trained(trial).path), trial.env.device)

    def about(self, trial: Trial) -> tuple[str, tuple[tuple[str, str], ...]]:
        made = self._trained(trial)
        begun = "from scratch, no pretrained weights" if made.started_from == "scratch" else "from given weights"
        note = (
            f"trained {begun}: {made.n_crops} crops of {made.n_individuals} animals, {made.steps} steps in "
            f"{made.seconds:.0f} s on {made.device}, loss {made.loss_first:.1f} to {made.loss_last:.1f}"
        )
        return note, (("embedding.safetensors", made.sha256),)

    def _rows(self, trial: Trial) -> list[dict[str, Any]]:
        return training_rows(trial.photos, trial.crops, trial.cohort)

    def _trained(self, trial: Trial) -> Trained:
        device = training_device(trial.env.device)
        return train_embedding(
            trial.env.workspace, self._rows(trial), self.recipe_for(trial), trial.env.weights, device, quiet=trial.quiet
        )  # fmt: skip


class NetEmbedder(Embedder):
    """An `EmbeddingNet` from its file."""

    def __init__(self, path: Path, device: str) -> None:
        self.name = fingerprint("NetEmbedder", sha256_of(path), device)
        self._net, self.side_px = load_net(path, device)
        self._device = device

    def picture(self, rgb: np.ndarray, mask: np.ndarray, viewpoint: str) -> np.ndarray:
        return squashed(rgb, viewpoint, self.side_px)

    @torch.inference_mode()
    def vectors(self, rgb: np.ndarray) -> np.ndarray:
        return np.asarray(self._net(to_tensor(rgb, self._device)).float().cpu())


METHODS = (
    EmbeddingMethod("embedding", "Embedding of turtles, as it comes", Family.GLOBAL, True),
    TrainedMethod("embedding-trained", "Embedding, trained further here", Family.GLOBAL, True),
)
