"""The training loop: the same seed gives the same weights, also when it was killed in between."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resight.runner.progress import track
from resight.train.embedding.loss import circle_loss
from resight.train.embedding.network import EmbeddingNet
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.samples import Batch, Sample, draw_batch
from resight.train.segmenter.loop import rate

log = logging.getLogger("resight")
CLIP = 5.0
SAY_EVERY = 50


@dataclass
class State:
    """A training under way.

    Attributes:
        step: Steps done.
        seconds: Time spent on them, in all calls together.
        losses: Loss of every step done.
    """

    net: EmbeddingNet
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


def train_net(
    samples: Sequence[Sample],
    recipe: EmbeddingRecipe,
    checkpoint: Path | None = None,
    device: str = "cpu",
    start: dict[str, Tensor] | None = None,
    *,
    quiet: bool = False,
    after_step: Callable[[State], None] = lambda _: None,
) -> State:
    """Train until ``recipe.steps``, from ``checkpoint`` on where it is there.

    Every step draws its pictures with a generator of its own, seeded by (seed, step), so that a training which was taken
    up again is the undisturbed one.

    Args:
        samples: The training crops.
        recipe: How.
        checkpoint: File that is replaced now and then; None keeps nothing.
        device: Where the network runs.
        start: Weights to begin with instead of random ones.
        quiet: No progress.
        after_step: Called after every step, with what there is so far.
    """
    state = _begin(recipe, device, start)
    if checkpoint is not None and checkpoint.exists():
        _restore(state, checkpoint, device)
    began, before, kept = time.monotonic(), state.seconds, time.monotonic()
    with track("train", "steps", recipe.steps - state.step, quiet) as tracker:
        while state.step < recipe.steps:
            loss = _step(state, samples, recipe, device)
            state.losses.append(loss)
            state.step += 1
            state.seconds = before + time.monotonic() - began
            tracker.advance(1)
            if state.step % SAY_EVERY == 0 and not quiet:
                log.info(
                    "train: step %d of %d, loss %.3f", state.step, recipe.steps, np.mean(state.losses[-SAY_EVERY:])
                )
            if checkpoint is not None and time.monotonic() - kept > recipe.save_every_s:
                save_checkpoint(state, checkpoint)
                kept = time.monotonic()
            after_step(state)
    return state


def _begin(recipe: EmbeddingRecipe, device: str, start: dict[str, Tensor] | None) -> State:
    torch.manual_seed(recipe.seed)
    net = EmbeddingNet(recipe.widths, recipe.depths, recipe.dim)
    if start is not None:
        net.load_state_dict(start)
    net.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return State(net, optimizer)


def _step(state: State, samples: Sequence[Sample], recipe: EmbeddingRecipe, device: str) -> float:
    rng = np.random.default_rng([recipe.seed, state.step])
    batch = draw_batch(samples, recipe.classes_per_batch, recipe.crops_per_class, rng)
    for group in state.optimizer.param_groups:
        group["lr"] = recipe.learning_rate * rate((state.step + 0.5) / recipe.steps)
    loss = batch_loss(state.net, batch, recipe, device)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), CLIP)
    state.optimizer.step()
    return float(loss.detach())


def batch_loss(net: EmbeddingNet, batch: Batch, recipe: EmbeddingRecipe, device: str) -> Tensor:
    """Circle loss of a batch; the similarities are taken in float32."""
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=recipe.bfloat16):
        vectors = net(to_tensor(batch.rgb, device))
    vectors = torch.nn.functional.normalize(vectors.float(), dim=1)
    positive, negative = (torch.from_numpy(m).to(device) for m in (batch.positive, batch.negative))
    return circle_loss(vectors @ vectors.T, positive, negative, recipe.margin, recipe.gamma)


def to_tensor(rgb: np.ndarray, device: str) -> Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float32 in 0 to 1, channels last."""
    return torch.from_numpy(rgb).to(device).permute(0, 3, 1, 2).float() / 255


def save_checkpoint(state: State, path: Path) -> None:
    """Replace ``path`` in one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    content = {
        "net": state.net.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "losses": state.losses,
    }
    try:
        torch.save(content, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _restore(state: State, path: Path, device: str) -> None:
    kept: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    state.net.load_state_dict(kept["net"])
    state.optimizer.load_state_dict(kept["optimizer"])
    state.step, state.seconds, state.losses = kept["step"], kept["seconds"], kept["losses"]
