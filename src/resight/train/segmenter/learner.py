"""What the head finder's training does in a step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from resight.segment.learned.network import HeadNet
from resight.train.loop import Learner, has_bf16, rate
from resight.train.pixels import to_tensor
from resight.train.segmenter.augment import Example, Views, example

KEEP = 0.995


@dataclass(frozen=True)
class Plan:
    """How long and with what.

    Attributes:
        side_px: Side of the training pictures, a multiple of 32.
        batch: Pictures per step.
        steps: Steps.
        learning_rate: At its highest.
        rendered_share: Part of a batch that is rendered, at the start; it falls to a third of that.
    """

    side_px: int
    batch: int
    steps: int
    learning_rate: float = 2e-3
    rendered_share: float = 0.35


class HeadLearner(Learner):
    """The head finder on photos and rendered pictures; photos of the rarer views are drawn more often.

    Args:
        real: Photos.
        rendered: Rendered pictures.
        plan: How.
        seed: Of everything random.
        device: Where it runs.
        scenes: Backgrounds, (h, w, 3) uint8 each.
        start: Weights to go on from, instead of from scratch.
    """

    keep = KEEP
    rng: np.random.Generator

    def __init__(
        self,
        real: Sequence[Views],
        rendered: Sequence[Views],
        plan: Plan,
        seed: int,
        device: str = "cpu",
        scenes: Sequence[np.ndarray] = (),
        start: HeadNet | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        net = (copy.deepcopy(start).requires_grad_(True) if start else HeadNet()).train()
        self.net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=plan.learning_rate, weight_decay=0.02)
        self.real, self.rendered, self.scenes = real, rendered, scenes
        self.plan, self.device, self.steps, self.bf16 = plan, device, plan.steps, has_bf16(device)
        self.chances = _by_view(real)
        numbers, origin = [len(real), len(rendered), len(scenes)], "scratch" if start is None else "weights"
        self.recipe = {"seed": seed, "plan": asdict(plan), "number of pictures": numbers, "start": origin}

    def learning_rate(self, position: float) -> float:
        return self.plan.learning_rate * rate(position / self.steps)

    def losses(self, step: int, position: float) -> dict[str, Tensor]:
        batch = collate(self._draw(position / self.steps), self.device)
        with self.products():
            maps, view, upright = self.net(batch.rgb)
        terms = loss_terms(maps.float(), view.float(), upright.float(), batch)
        total = terms["head"] + 0.5 * terms["body"] + terms["along"]
        return {"loss": total + 0.5 * terms["view"] + 0.5 * terms["upright"]} | terms

    def _draw(self, share: float) -> list[Example]:
        """Examples of one step; fewer of them are rendered the later it is."""
        rng, plan = self.rng, self.plan
        of_rendered = plan.rendered_share * (1 - 2 / 3 * share) if self.rendered else 0.0
        n_rendered = int(rng.binomial(plan.batch, of_rendered))
        picked = [self.real[i] for i in rng.choice(len(self.real), plan.batch - n_rendered, p=self.chances)]
        if n_rendered:
            picked += [self.rendered[i] for i in rng.integers(len(self.rendered), size=n_rendered)]
        return [example(views, plan.side_px, rng, self.scenes) for views in picked]


def _by_view(samples: Sequence[Views]) -> np.ndarray:
    """Chances (N,) that grow with the rarity of the view, to the power 0.5."""
    views = np.array([sample.wide.view for sample in samples])
    counts = np.bincount(views, minlength=views.max() + 1)
    weight = 1 / np.sqrt(counts[views])
    return np.asarray(weight / weight.sum())


@dataclass(frozen=True)
class ExampleBatch:
    """Examples as tensors: rgb (B, 3, S, S) 0 to 1; head and body (B, S/4, S/4); along (B, 2, S/4, S/4); view (B,); upright (B, 2), NaN if unknown."""

    rgb: Tensor
    head: Tensor
    body: Tensor
    along: Tensor
    view: Tensor
    upright: Tensor


def collate(examples: Sequence[Example], device: str) -> ExampleBatch:
    """Stack examples."""
    rgb = to_tensor(np.stack([e.rgb for e in examples]), device)
    angles = torch.tensor([e.upright_rad for e in examples], device=device)
    return ExampleBatch(
        rgb.contiguous(memory_format=torch.channels_last),
        torch.from_numpy(np.stack([e.head for e in examples])).to(device),
        torch.from_numpy(np.stack([e.body for e in examples])).to(device),
        torch.from_numpy(np.stack([e.along for e in examples])).to(device),
        torch.tensor([e.view for e in examples], device=device),
        torch.stack([angles.sin(), angles.cos()], 1),
    )


def loss_terms(maps: Tensor, view: Tensor, upright: Tensor, batch: ExampleBatch) -> dict[str, Tensor]:
    """Cross entropy and soft Dice (Milletari et al., 3DV 2016) of the maps, absolute difference of the
    places on the head, cross entropy of the view, 1 - cosine of upright."""
    has_body = ~batch.body.isnan()
    body = torch.where(has_body, batch.body, torch.zeros_like(batch.body))
    cross = F.binary_cross_entropy_with_logits(maps[:, 1], body, reduction="none")
    has_place, nought = ~batch.along.isnan(), torch.zeros_like(batch.along)
    off_place = (maps[:, 2:] - torch.where(has_place, batch.along, nought)).abs() * has_place
    has_view, has_upright = batch.view >= 0, ~batch.upright.isnan().any(1)
    cosine = F.cosine_similarity(upright[has_upright], batch.upright[has_upright])
    view_loss = F.cross_entropy(view[has_view], batch.view[has_view], label_smoothing=0.05)
    nothing = maps.sum() * 0
    return {
        "head": F.binary_cross_entropy_with_logits(maps[:, 0], batch.head, pos_weight=maps.new_tensor(2.0))
        + _dice(maps[:, 0].sigmoid(), batch.head),
        "body": (cross * has_body).sum() / has_body.sum().clamp_min(1),
        "along": off_place.sum() / has_place.sum().clamp_min(1),
        "view": view_loss if has_view.any() else nothing,
        "upright": (1 - cosine).mean() if has_upright.any() else nothing,
    }


def _dice(chance: Tensor, truth: Tensor) -> Tensor:
    """1 - soft Dice, each picture for itself; pictures without a head count in the cross entropy alone."""
    has_head = truth.sum((1, 2)) > 0.5
    if not has_head.any():
        return chance.sum() * 0
    both = (chance * truth).sum((1, 2))
    return (1 - (2 * both + 1) / (chance.square().sum((1, 2)) + truth.square().sum((1, 2)) + 1))[has_head].mean()
