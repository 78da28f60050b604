"""A step of the matcher's training, and its measures on validation pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from resight.train.loop import Learner, Training, has_bf16, warm_cosine
from resight.train.matcher.draw import Sampler
from resight.train.matcher.loss import counts, loss_of
from resight.train.matcher.network import TrainedLightGlue

FLOOR = 0.02  # of the learning rate, in the end


@dataclass(frozen=True)
class Plan:
    """How long and with what.

    Attributes:
        steps: Steps in all.
        batch: Pairs per step.
        keypoints: A step takes at most one of these numbers per view.
        learning_rate: At its highest, after the warm-up.
        warm_up: Steps until then.
        weight_decay: Of matrices.
        clip: Largest norm of the gradient.
        keep: Share of the running mean that a step keeps.
        bf16: Products in bfloat16 (autocast), where the device has instructions for it; weights, heads and loss stay float32.
        look_every: Steps between two measurements on validation pairs.
        look_pairs: Number of those pairs.
    """

    steps: int = 6000
    batch: int = 8
    keypoints: tuple[int, ...] = (96, 128, 160)
    learning_rate: float = 7e-4
    warm_up: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    keep: float = 0.99
    bf16: bool = True
    look_every: int = 50
    look_pairs: int = 32


class MatcherLearner(Learner):
    """LightGlue for SIFT on pairs of views.

    Args:
        net: What is trained.
        sampler: Training pairs.
        apart: Validation pairs.
        plan: Length, rates and batches.
        seed: Of the batches.
        device: Where it runs.
    """

    def __init__(
        self, net: TrainedLightGlue, sampler: Sampler, apart: Sampler | None, plan: Plan, seed: int, device: str
    ) -> None:
        self.net: TrainedLightGlue = net.to(device).train()
        matrices = [p for p in net.parameters() if p.ndim > 1]
        vectors = [p for p in net.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.98), eps=1e-8)
        self.steps, self.clip, self.keep, self.look_every = plan.steps, plan.clip, plan.keep, plan.look_every
        self.recipe = {"seed": seed, "plan": asdict(plan), "shape": asdict(net.shape)}
        self.sampler, self.apart, self.plan, self.seed, self.device = sampler, apart, plan, seed, device
        self.bf16 = plan.bf16 and has_bf16(device)

    def learning_rate(self, position: float) -> float:
        """Warm-up, then a cosine to 2 %."""
        warm_up, end = self.plan.warm_up, self.plan.steps
        share = (position + 1) / warm_up if position < warm_up else warm_cosine(position, warm_up, end, FLOOR)
        return self.plan.learning_rate * share

    def losses(self, step: int, position: float) -> dict[str, Tensor]:
        batch = self.sampler.batch(self.seed, step, self.plan.batch, self.plan.keypoints).to(self.device)
        with self.products():
            assignments = self.net(batch.a, batch.b)
        return {"loss": loss_of(assignments, batch.truth)}

    def look(self, training: Training) -> dict[str, float]:
        """Measures of the mean weights on validation pairs; see `measure`."""
        return measure(training.result, self.apart, self.plan, self.seed, self.device) if self.apart else {}

    def describe(self, row: Mapping[str, float]) -> str:
        last = self.net.shape.n_layers
        return super().describe({k: row[k] for k in ("loss", f"recall_{last}", f"precision_{last}") if k in row})


@torch.no_grad()
def measure(net: torch.nn.Module, apart: Sampler, plan: Plan, seed: int, device: str) -> dict[str, float]:
    """Loss, and recall and precision of every layer's head, on validation pairs; always the same ones."""
    sums: dict[str, float] = {}
    n_batches = -(-plan.look_pairs // plan.batch)
    for number in range(n_batches):
        batch = apart.batch(seed + 1, number, plan.batch, (max(plan.keypoints),)).to(device)
        assignments = net(batch.a, batch.b)
        sums["apart_loss"] = sums.get("apart_loss", 0.0) + float(loss_of(assignments, batch.truth)) / n_batches
        for layer, assignment in enumerate(assignments, 1):
            for name, value in counts(assignment, batch.truth).items():
                sums[f"{name}_{layer}"] = sums.get(f"{name}_{layer}", 0.0) + value
    row = {"apart_loss": sums["apart_loss"]}
    for layer in range(1, len(assignments) + 1):
        row[f"recall_{layer}"] = sums[f"right_{layer}"] / max(sums[f"true_{layer}"], 1)
        row[f"precision_{layer}"] = sums[f"right_{layer}"] / max(sums[f"told_{layer}"], 1)
    return row
