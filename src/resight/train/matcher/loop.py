"""The training loop: a step follows from seed, step and state alone, so that a killed run goes on as if nothing had happened."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from resight.errors import WeightsError
from resight.store.parts import write_bytes
from resight.train.matcher.draw import Batch, Sampler
from resight.train.matcher.loss import counts, loss_of
from resight.train.matcher.network import TrainedLightGlue

log = logging.getLogger("resight")
Curve = list[dict[str, float]]
MEAN, FAST, FIRST, SECOND = "mean.", "net.", "adam.first.", "adam.second."


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
        bf16: Products in bfloat16 (autocast); weights, heads and loss stay float32.
        look_every: Steps between two looks at the pairs kept apart, each of which also writes the state.
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


@dataclass
class State:
    """Everything that a step changes.

    Attributes:
        net: What is trained.
        mean: Running mean of its weights (Polyak and Juditsky, 1992): what is used in the end.
        optimizer: AdamW.
        step: Steps done.
        seconds: Time they took.
        curve: A row per look.
    """

    net: TrainedLightGlue
    mean: dict[str, Tensor]
    optimizer: torch.optim.AdamW
    step: int
    seconds: float
    curve: Curve


def begin(net: TrainedLightGlue, plan: Plan, device: str) -> State:
    """The state before the first step."""
    net = net.to(device).train()
    matrices = [p for p in net.parameters() if p.ndim > 1]
    vectors = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.98), eps=1e-8)
    return State(net, {k: v.detach().clone() for k, v in net.state_dict().items()}, optimizer, 0, 0.0, [])


def train(
    state: State,
    sampler: Sampler,
    apart: Sampler | None,
    plan: Plan,
    seed: int,
    device: str,
    file: Path,
    looked: Callable[[State], None] | None = None,
    until: int | None = None,
) -> State:
    """Go on to ``plan.steps``, or ``until`` some step.

    Args:
        state: Where it stands; it is changed.
        sampler: Pairs to learn from.
        apart: Pairs to look at.
        plan: How.
        seed: Of the batches.
        device: Where it runs.
        file: The state is kept here, in one rename, after each look.
        looked: Called after each look.
        until: Stop early, as a kill would.
    """
    last = min(plan.steps, until or plan.steps)
    began, base, first, summed = time.monotonic(), state.seconds, state.step, 0.0
    while state.step < last:
        summed += _one_step(state, sampler.batch(seed, state.step, plan.batch, plan.keypoints).to(device), plan, device)
        state.seconds = base + time.monotonic() - began
        if state.step % plan.look_every == 0 or state.step == last:
            done = (state.step - 1) % plan.look_every + 1
            row = {"step": float(state.step), "seconds": state.seconds, "loss": summed / min(done, state.step - first)}
            state.curve.append(row | (look(state, apart, plan, seed, device) if apart else {}))
            summed = 0.0
            write_state(file, state, plan, seed)
            _say(state, plan, first, time.monotonic() - began)
            if looked:
                looked(state)
    return state


def _one_step(state: State, batch: Batch, plan: Plan, device: str) -> float:
    for group in state.optimizer.param_groups:
        group["lr"] = plan.learning_rate * rate(state.step, plan)
    with torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=plan.bf16):
        said = state.net(batch.a, batch.b)
    loss = loss_of(said, batch.truth)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), plan.clip)
    state.optimizer.step()
    keep = min(plan.keep, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for name, value in state.net.state_dict().items():
            state.mean[name].lerp_(value, 1 - keep)
    state.step += 1
    return float(loss.detach())


def rate(step: int, plan: Plan) -> float:
    """Warm-up, then a cosine to 2 %."""
    if step < plan.warm_up:
        return (step + 1) / plan.warm_up
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - plan.warm_up) / max(1, plan.steps - plan.warm_up)))


@torch.no_grad()
def look(state: State, apart: Sampler, plan: Plan, seed: int, device: str) -> dict[str, float]:
    """Loss, and recall and precision of every layer's head, of the mean weights on pairs kept apart; always the same pairs."""
    net = TrainedLightGlue(state.net.shape).to(device).eval()
    net.load_state_dict(state.mean)
    sums: dict[str, float] = {}
    n_batches = -(-plan.look_pairs // plan.batch)
    for number in range(n_batches):
        batch = apart.batch(seed + 1, number, plan.batch, (max(plan.keypoints),)).to(device)
        said = net(batch.a, batch.b)
        sums["apart_loss"] = sums.get("apart_loss", 0.0) + float(loss_of(said, batch.truth)) / n_batches
        for layer, one in enumerate(said, 1):
            for name, value in counts(one, batch.truth).items():
                sums[f"{name}_{layer}"] = sums.get(f"{name}_{layer}", 0.0) + value
    row = {"apart_loss": sums["apart_loss"]}
    for layer in range(1, state.net.shape.n_layers + 1):
        row[f"recall_{layer}"] = sums[f"right_{layer}"] / max(sums[f"true_{layer}"], 1)
        row[f"precision_{layer}"] = sums[f"right_{layer}"] / max(sums[f"told_{layer}"], 1)
    return row


def write_state(file: Path, state: State, plan: Plan, seed: int) -> None:
    """All of the state as one safetensors file; numbers that are no tensors go into its header."""
    tensors = {FAST + k: v for k, v in state.net.state_dict().items()} | {MEAN + k: v for k, v in state.mean.items()}
    for name, value in state.net.named_parameters():
        kept = state.optimizer.state.get(value, {})
        if kept:
            tensors |= {FIRST + name: kept["exp_avg"], SECOND + name: kept["exp_avg_sq"]}
    said: dict[str, Any] = {"step": state.step, "seconds": state.seconds, "curve": state.curve, "seed": seed}
    said |= {"plan": asdict(plan), "shape": asdict(state.net.shape)}
    write_bytes(file, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, {"said": json.dumps(said)}))


def read_state(file: Path, net: TrainedLightGlue, plan: Plan, seed: int, device: str) -> State:
    """What `write_state` wrote.

    Raises:
        WeightsError: It was written under another plan, seed or shape, so that going on would be another training.
    """
    with safe_open(file, "pt") as opened:
        said = json.loads(opened.metadata()["said"])
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    asked = json.loads(json.dumps({"seed": seed, "plan": asdict(plan), "shape": asdict(net.shape)}))
    other = [key for key, value in asked.items() if said[key] != value]
    if other:
        raise WeightsError(
            f"{file} was written with another {' and '.join(other)}; give the same options as then, or another --out."
        )
    net.load_state_dict(_under(tensors, FAST))
    state = begin(net, plan, device)
    state.mean = {k: v.to(device) for k, v in _under(tensors, MEAN).items()}
    for name, value in state.net.named_parameters():
        if FIRST + name in tensors:
            state.optimizer.state[value] = {
                "step": torch.tensor(float(said["step"])),
                "exp_avg": tensors[FIRST + name].to(device),
                "exp_avg_sq": tensors[SECOND + name].to(device),
            }
    state.step, state.seconds, state.curve = said["step"], said["seconds"], said["curve"]
    return state


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _say(state: State, plan: Plan, first: int, seconds: float) -> None:
    row, speed = state.curve[-1], (state.step - first) / max(seconds, 1e-9)
    last = state.net.shape.n_layers
    heads = f", recall {row[f'recall_{last}']:.3f}, precision {row[f'precision_{last}']:.3f}" if "apart_loss" in row else ""  # fmt: skip
    log.info(
        "step %d of %d: loss %.4f%s; %.2f steps a second, %.0f min left",
        state.step, plan.steps, row["loss"], heads, speed, (plan.steps - state.step) / speed / 60,
    )  # fmt: skip
