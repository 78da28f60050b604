"""The training loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from resight.segment.learned.network import HeadNet
from resight.train.segmenter.augment import Example, Views, example


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


def train_net(
    real: Sequence[Views],
    rendered: Sequence[Views],
    plan: Plan,
    seed: int,
    device: str = "cpu",
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> HeadNet:
    """Train a network from scratch and return the running mean of its weights (Polyak and Juditsky, 1992).

    Photos of the rarer views are drawn more often. The same seed on the same machine gives the same weights.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = HeadNet().to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    mean = copy.deepcopy(net).eval()
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, plan.steps))
    weight = _by_view(real)
    sums: dict[str, float] = {}
    for step in range(plan.steps):
        share = plan.rendered_share * (1 - 2 / 3 * step / plan.steps) if rendered else 0.0
        n_rendered = int(rng.binomial(plan.batch, share))
        picked = [real[i] for i in rng.choice(len(real), plan.batch - n_rendered, p=weight)]
        picked += [rendered[i] for i in rng.integers(len(rendered), size=n_rendered)] if n_rendered else []
        batch = collate([example(one, plan.side_px, rng) for one in picked], device)
        with torch.autocast(device.split(":")[0], dtype=torch.bfloat16):
            maps, view, upright = net(batch.rgb)
        losses = loss_terms(maps.float(), view.float(), upright.float(), batch)
        total = losses["head"] + 0.5 * losses["body"] + losses["along"]
        total = total + 0.5 * losses["view"] + 0.5 * losses["upright"]
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        _average(mean, net, min(0.995, (1 + step) / (10 + step)))
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if report and (step + 1) % 50 == 0:
            report(step + 1, {name: value / 50 for name, value in sums.items()})
            sums = {}
    return mean


def rate(step: int, steps: int) -> float:
    """Warm-up over 4 %, then a cosine to 1 %."""
    warm = max(1, int(0.04 * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _by_view(samples: Sequence[Views]) -> np.ndarray:
    """Chances (N,) that grow with the rarity of the view, to the power 0.5."""
    views = np.array([one.wide.view for one in samples])
    counts = np.bincount(views, minlength=views.max() + 1)
    weight = 1 / np.sqrt(counts[views])
    return weight / weight.sum()


@torch.no_grad()
def _average(mean: HeadNet, net: HeadNet, keep: float) -> None:
    for slow, fast in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1 - keep)
        else:
            slow.copy_(fast)


@dataclass(frozen=True)
class Batch:
    """Examples as tensors: rgb (B, 3, S, S) 0 to 1; head and body (B, S/4, S/4); along (B, 2, S/4, S/4); view (B,); upright (B, 2), NaN if unknown."""

    rgb: Tensor
    head: Tensor
    body: Tensor
    along: Tensor
    view: Tensor
    upright: Tensor


def collate(examples: Sequence[Example], device: str) -> Batch:
    """Stack examples."""
    rgb = torch.from_numpy(np.stack([e.rgb for e in examples])).to(device).permute(0, 3, 1, 2).float() / 255
    angles = torch.tensor([e.upright_rad for e in examples], device=device)
    return Batch(
        rgb.contiguous(memory_format=torch.channels_last),
        torch.from_numpy(np.stack([e.head for e in examples])).to(device),
        torch.from_numpy(np.stack([e.body for e in examples])).to(device),
        torch.from_numpy(np.stack([e.along for e in examples])).to(device),
        torch.tensor([e.view for e in examples], device=device),
        torch.stack([angles.sin(), angles.cos()], 1),
    )


def loss_terms(maps: Tensor, view: Tensor, upright: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Cross entropy and soft Dice (Milletari et al., 3DV 2016) of the maps, absolute difference of the
    places on the head, cross entropy of the view, 1 - cosine of upright."""
    known = ~batch.body.isnan()
    body = torch.where(known, batch.body, torch.zeros_like(batch.body))
    cross = F.binary_cross_entropy_with_logits(maps[:, 1], body, reduction="none")
    placed, nought = ~batch.along.isnan(), torch.zeros_like(batch.along)
    said = batch.view >= 0
    turned = ~batch.upright.isnan().any(1)
    nothing = maps.sum() * 0
    return {
        "head": F.binary_cross_entropy_with_logits(maps[:, 0], batch.head, pos_weight=maps.new_tensor(2.0))
        + _dice(maps[:, 0].sigmoid(), batch.head),
        "body": (cross * known).sum() / known.sum().clamp_min(1),
        "along": ((maps[:, 2:] - torch.where(placed, batch.along, nought)).abs() * placed).sum()
        / placed.sum().clamp_min(1),
        "view": F.cross_entropy(view[said], batch.view[said], label_smoothing=0.05) if said.any() else nothing,
        "upright": (1 - F.cosine_similarity(upright[turned], batch.upright[turned])).mean()
        if turned.any()
        else nothing,
    }


def _dice(chance: Tensor, truth: Tensor) -> Tensor:
    """1 - soft Dice, each picture for itself; pictures without a head are left to the cross entropy."""
    there = truth.sum((1, 2)) > 0.5
    if not there.any():
        return chance.sum() * 0
    both = (chance * truth).sum((1, 2))
    return (1 - (2 * both + 1) / (chance.square().sum((1, 2)) + truth.square().sum((1, 2)) + 1))[there].mean()
