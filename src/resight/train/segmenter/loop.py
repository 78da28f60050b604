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
from resight.train.segmenter.pause import Pause, Progress

REPORT_STEPS = 50
WARM_UP = 0.04


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


@dataclass(frozen=True)
class Trained:
    """The running mean of the weights (Polyak and Juditsky, 1992), and what it took: steps and seconds."""

    net: HeadNet
    steps: int
    seconds: float


def train_net(
    real: Sequence[Views],
    rendered: Sequence[Views],
    plan: Plan,
    seed: int,
    device: str = "cpu",
    report: Callable[[int, dict[str, float]], None] | None = None,
    scenes: Sequence[np.ndarray] = (),
    pause: Pause | None = None,
    start: HeadNet | None = None,
) -> Trained:
    """Train a network from scratch, or go on from ``start``.

    Photos of the rarer views are drawn more often. The same seed on the same machine gives the same weights, also after a
    kill, unless a time limit cuts the training short.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = (copy.deepcopy(start).requires_grad_(True) if start else HeadNet()).train()
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = copy.deepcopy(net).eval()
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.learning_rate, weight_decay=0.02)
    recipe = f"{plan} {seed} {len(real)} {len(rendered)} {len(scenes)} {start is None}"
    progress = Progress(pause or Pause(), {"net": net, "mean": mean, "optimizer": optimizer}, rng, recipe)
    weight = _by_view(real)
    sums: dict[str, list[float]] = {}
    while (share := progress.share(plan.steps)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * rate(share)
        examples = _draw(real, rendered, plan, share, weight, rng, scenes)
        losses = _step(net, optimizer, collate(examples, device), device)
        _average(mean, net, min(0.995, (1 + progress.step) / (10 + progress.step)))
        progress.done()
        for name, value in losses.items():
            sums.setdefault(name, []).append(float(value.detach()))
        if report and progress.step % REPORT_STEPS == 0:
            report(progress.step, {name: float(np.mean(values)) for name, values in sums.items()})
            sums = {}
    progress.keep()
    return Trained(mean, progress.step, progress.seconds)


def _draw(
    real: Sequence[Views],
    rendered: Sequence[Views],
    plan: Plan,
    share: float,
    weight: np.ndarray,
    rng: np.random.Generator,
    scenes: Sequence[np.ndarray],
) -> list[Example]:
    """Examples of one step; fewer of them are rendered the later it is."""
    of_rendered = plan.rendered_share * (1 - 2 / 3 * share) if rendered else 0.0
    n_rendered = int(rng.binomial(plan.batch, of_rendered))
    picked = [real[i] for i in rng.choice(len(real), plan.batch - n_rendered, p=weight)]
    picked += [rendered[i] for i in rng.integers(len(rendered), size=n_rendered)] if n_rendered else []
    return [example(one, plan.side_px, rng, scenes) for one in picked]


def _step(net: HeadNet, optimizer: torch.optim.Optimizer, batch: Batch, device: str) -> dict[str, Tensor]:
    with torch.autocast(device.split(":")[0], dtype=torch.bfloat16):
        maps, view, upright = net(batch.rgb)
    losses = loss_terms(maps.float(), view.float(), upright.float(), batch)
    total = losses["head"] + 0.5 * losses["body"] + losses["along"]
    total = total + 0.5 * losses["view"] + 0.5 * losses["upright"]
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimizer.step()
    return losses


def rate(share: float) -> float:
    """Warm-up over 4 % of the training, then a cosine to 1 %."""
    if share < WARM_UP:
        return max(share / WARM_UP, 0.02)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))


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
