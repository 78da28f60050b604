"""What the embedding's training does in a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from resight.train.embedding.loss import circle_loss
from resight.train.embedding.network import EmbeddingNet
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.samples import CropBatch, TrainingCrop, draw_batch
from resight.train.loop import Learner, rate
from resight.train.pixels import to_tensor


class EmbeddingLearner(Learner):
    """A compact ConvNeXt with circle loss.

    Every step draws its pictures with a generator of its own, seeded by (seed, step).

    Args:
        samples: The training crops.
        recipe: How.
        device: Where it runs.
        start: Weights to begin with instead of random ones.
    """

    net: EmbeddingNet

    def __init__(
        self,
        samples: Sequence[TrainingCrop],
        settings: EmbeddingRecipe,
        device: str = "cpu",
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        net = EmbeddingNet(settings.widths, settings.depths, settings.dim)
        if start is not None:
            net.load_state_dict(start)
        self.net = net.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.samples, self.settings, self.device, self.steps = samples, settings, device, settings.steps
        self.recipe = settings.model_dump(mode="json", exclude={"save_every_s", "init"})

    def learning_rate(self, position: float) -> float:
        return self.settings.learning_rate * rate((position + 0.5) / self.steps)

    def losses(self, step: int, position: float) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.settings.seed, step])
        batch = draw_batch(self.samples, self.settings.classes_per_batch, self.settings.crops_per_class, rng)
        return {"loss": batch_loss(self.net, batch, self.settings, self.device)}


def batch_loss(net: EmbeddingNet, batch: CropBatch, recipe: EmbeddingRecipe, device: str) -> Tensor:
    """Circle loss of a batch; the similarities are taken in float32."""
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=recipe.bfloat16):
        vectors = net(to_tensor(batch.rgb, device))
    vectors = torch.nn.functional.normalize(vectors.float(), dim=1)
    positive, negative = (torch.from_numpy(m).to(device) for m in (batch.positive, batch.negative))
    return circle_loss(vectors @ vectors.T, positive, negative, recipe.margin, recipe.gamma)
