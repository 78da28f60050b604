"""What the embedding's training does in a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resight.embed.network import EmbeddingNet
from resight.train.embedding.begin import begin_at
from resight.train.embedding.loss import margin_softmax, neither_of
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.samples import Classes, TrainingCrop
from resight.train.loop import Learner, rate
from resight.train.pixels import to_tensor
from resight.weights.loading import strict_load

SMALL_SHARE = 0.6


class Taught(nn.Module):
    """The network, and the centres of the classes, which are of no use after the training."""

    def __init__(self, net: EmbeddingNet, n_classes: int, dim: int) -> None:
        super().__init__()
        self.net = net
        self.centres = nn.Parameter(torch.randn(n_classes, dim) / dim**0.5)

    def forward(self, rgb: Tensor) -> Tensor:
        """(B, C) cosines of pictures and centres."""
        return self.net(rgb) @ F.normalize(self.centres, dim=1).T


class EmbeddingLearner(Learner):
    """EfficientNet-Lite0 with margin softmax, a class per animal and side.

    Every step draws its pictures with a generator of its own, seeded by (seed, step).

    Args:
        samples: The training crops.
        settings: How.
        device: Where it runs.
        start: Weights to begin with instead of random ones; the last layer may be missing.
    """

    net: Taught
    look_every = 25

    def __init__(
        self,
        samples: Sequence[TrainingCrop],
        settings: EmbeddingRecipe,
        device: str = "cpu",
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        net = EmbeddingNet(settings.dim, settings.width, settings.frozen_blocks if start is not None else 0)
        if start is not None:
            strict_load(net, start, allowed_missing=("head.*",), name=settings.init)
        self.goes_on, self.has_head = start is not None, start is not None and "head.weight" in start
        self.classes = Classes(samples)
        taught = Taught(net, len(self.classes.names), settings.dim)
        self.net = taught.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.animals = torch.from_numpy(self.classes.animals).to(device)
        self.optimizer = torch.optim.AdamW(_groups(self.net, settings.head_rate), weight_decay=settings.weight_decay)
        self.settings, self.device, self.steps, self.keep = settings, device, settings.steps, settings.keep
        self.recipe = settings.model_dump(mode="json", exclude={"save_every_s", "init"})

    def begin(self) -> None:
        """Before the first step, where there are weights to begin with: centres and, if they have none, a last layer, see `begin_at`."""
        if self.goes_on:
            crops = (self.classes, self.settings.side_px, self.device)
            begin_at(self.net.net, self.net.centres, *crops, has_head=self.has_head)

    def learning_rate(self, position: float) -> float:
        return self.settings.learning_rate * rate((position + 0.5) / self.steps)

    def losses(self, step: int, position: float) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.settings.seed, step])
        side_px = self.settings.first_px if position < SMALL_SHARE * self.steps else self.settings.side_px
        rgb, classes = self.classes.draw(self.settings.crops_per_step, side_px, rng)
        target = torch.from_numpy(classes).to(self.device)
        cosines = self.net(to_tensor(rgb, self.device))
        loss = margin_softmax(
            cosines, target, neither_of(self.animals, target), self.settings.margin, self.settings.scale
        )
        return {"loss": loss, "right": (cosines.argmax(1) == target).float().mean()}


def _groups(net: Taught, head_rate: float) -> list[dict[str, object]]:
    fast = [net.centres, *net.net.head.parameters()]
    slow = [p for p in net.net.parameters() if p.requires_grad and not any(p is q for q in fast)]
    return [{"params": slow}, {"params": fast, "rate": head_rate}]
