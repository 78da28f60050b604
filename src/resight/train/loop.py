"""The training loop of every network: what differs between them is a `Learner`.

A killed training goes on from its checkpoint to the very numbers of an undisturbed one.
"""

from __future__ import annotations

import copy
import logging
import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resight.runner.progress import track
from resight.train.checkpoint import read_checkpoint, write_checkpoint

log = logging.getLogger("resight")
PROGRESS_EVERY_S = 5.0
SAVE_EVERY_S = 60.0
WARM_UP, FLOOR = 0.04, 0.01
NET, MEAN, OPTIMIZER, LOSSES, TORCH_RNG, CUDA_RNG = "net.", "mean.", "optimizer.", "losses.", "rng.torch", "rng.cuda"


class Learner(ABC):
    """A network and how it is trained.

    Attributes:
        net: The network, in training mode.
        device: Of the network.
        optimizer: Of its parameters; a group may have a ``rate``, by which its learning rate is multiplied.
        steps: Of the whole training.
        recipe: All that decides the result, as plain values; a checkpoint of another recipe is refused.
        clip: Largest norm of the gradient.
        keep: Share of the running mean of the weights (Polyak and Juditsky, 1992) that a step keeps, at most; 0: no mean.
        look_every: Steps between two rows of the curve.
        bf16: Products inside `products` are in bfloat16; weights, heads and loss stay float32.
        rng: Generator whose state the checkpoint keeps; None if a batch depends on seed and step alone.
    """

    net: nn.Module
    device: str
    optimizer: torch.optim.Optimizer
    steps: int
    recipe: Mapping[str, Any]
    clip: float = 5.0
    keep: float = 0.0
    look_every: int = 50
    bf16: bool = False
    rng: np.random.Generator | None = None

    def begin(self) -> None:
        """Called before the first step, and not where a checkpoint goes on; nothing, by default."""
        return None

    @abstractmethod
    def learning_rate(self, position: float) -> float:
        """At ``position``, in steps."""

    @abstractmethod
    def losses(self, step: int, position: float) -> dict[str, Tensor]:
        """Scalars of one step; the gradient is taken of the one called ``loss``."""

    def products(self) -> torch.autocast:
        """Around the network: its products are in bfloat16 where `bf16` says so."""
        return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.bf16)

    @property
    def product_type(self) -> str:
        """Of products, for the record beside the weights."""
        return "bfloat16" if self.bf16 else "float32"

    def look(self, training: Training) -> dict[str, float]:
        """Further values for a row of the curve."""
        return {}

    def describe(self, row: Mapping[str, float]) -> str:
        """A row of the curve as part of a sentence."""
        return ", ".join(f"{name} {value:.3f}" for name, value in row.items() if name not in ("step", "seconds"))


@dataclass
class Training:
    """A training under way, or finished.

    Attributes:
        learner: Network, optimizer and losses.
        mean: The network with the running mean of the weights; None if none is kept.
        step: Steps done.
        seconds: Time they took, over all calls.
        losses: By name, one value per step.
        curve: Means of the losses since the row before, and what `Learner.look` saw.
    """

    learner: Learner
    mean: nn.Module | None
    step: int = 0
    seconds: float = 0.0
    losses: dict[str, list[float]] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)

    @property
    def result(self) -> nn.Module:
        """The network to use."""
        return self.mean if self.mean is not None else self.learner.net

    def position(self, limit_s: float) -> float:
        """How far the training is, in steps: those done, or more where the time limit will end it sooner."""
        return max(self.step, self.learner.steps * self.seconds / limit_s) if limit_s else self.step


@dataclass(frozen=True)
class Execution:
    """How a training is run, which does not decide what it results in but for the time limit.

    Attributes:
        device: Where it runs.
        checkpoint: File of the state; None keeps nothing.
        limit_s: The schedule is squeezed so that the training ends by then; 0: no limit.
        quiet: No progress on standard error.
    """

    device: str = "cpu"
    checkpoint: Path | None = None
    limit_s: float = 0.0
    quiet: bool = False


def train(
    learner: Learner,
    checkpoint: Path | None = None,
    *,
    save_every_s: float = SAVE_EVERY_S,
    limit_s: float = 0.0,
    quiet: bool = False,
    after_step: Callable[[Training], None] = lambda _: None,
) -> Training:
    """Train to the end, from ``checkpoint`` on if it exists.

    Args:
        learner: Network, optimizer and losses.
        checkpoint: File of the state, which stays there; None keeps nothing.
        save_every_s: A killed training loses at most this many seconds.
        limit_s: The schedule is squeezed so that the training ends by then; 0: no limit.
        quiet: No bar and no curve on standard error.
        after_step: Called with the training so far.

    Raises:
        WeightsError: The checkpoint belongs to another training.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the step has ended, and the checkpoint is written.
    """
    training = _begin(learner, checkpoint)
    first, began, saved = training.step, time.monotonic() - training.seconds, time.monotonic()
    position = training.position(limit_s)
    with _stop_request() as stopped, track("train", "steps", learner.steps, quiet, PROGRESS_EVERY_S) as tracker:
        while position < learner.steps and not stopped():
            _one_step(training, position)
            training.seconds = time.monotonic() - began
            position = training.position(limit_s)
            if looked := training.step % learner.look_every == 0 or position >= learner.steps:
                _look(training, quiet)
            if checkpoint is not None and (looked or time.monotonic() - saved >= save_every_s):
                _save(training, checkpoint)
                saved = time.monotonic()
            tracker.total = max(tracker.done + 1, round(training.step * learner.steps / position) - first)
            tracker.advance(1)
            after_step(training)
        if stopped():
            if checkpoint is not None:
                _save(training, checkpoint)
            log.info("stopped after step %d of %d", training.step, learner.steps)
            raise KeyboardInterrupt
    return training


def _begin(learner: Learner, checkpoint: Path | None) -> Training:
    goes_on = checkpoint is not None and checkpoint.exists()
    if not goes_on:
        learner.begin()
    training = Training(learner, copy.deepcopy(learner.net).eval() if learner.keep else None)
    if checkpoint is not None and goes_on:
        _restore(training, checkpoint)
        log.info("going on at step %d of %s", training.step, checkpoint)
    return training


def training_device(wanted: str) -> str:
    """The device of the settings; where that is the CPU, a GPU if there is one, as a training is no result of a run."""
    return "cuda" if wanted == "cpu" and torch.cuda.is_available() else wanted


def has_bf16(device: str) -> bool:
    """Whether the device has instructions for bfloat16; a step on a processor without them takes five to ten times as long as in float32."""
    if not device.startswith("cpu") or not hasattr(torch.cpu, "get_capabilities"):
        return True
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def rate(share: float) -> float:
    """Share of the highest learning rate: warm-up over 4 % of the training, then a cosine to 1 %."""
    return max(share / WARM_UP, 0.02) if share < WARM_UP else warm_cosine(share, WARM_UP, 1, FLOOR)


def warm_cosine(position: float, warm_up: float, end: float, floor: float) -> float:
    """Share of the highest learning rate: a cosine from 1 at ``warm_up`` to ``floor`` at ``end``."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (position - warm_up) / (end - warm_up)))


def _one_step(training: Training, position: float) -> None:
    learner = training.learner
    for group in learner.optimizer.param_groups:
        group["lr"] = learner.learning_rate(position) * group.get("rate", 1.0)
    losses = learner.losses(training.step, position)
    learner.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(losses["loss"])
    torch.nn.utils.clip_grad_norm_(learner.net.parameters(), learner.clip)
    learner.optimizer.step()
    if training.mean is not None:
        _average(training.mean, learner.net, min(learner.keep, (1 + training.step) / (10 + training.step)))
    training.step += 1
    for name, value in losses.items():
        training.losses.setdefault(name, []).append(float(value.detach()))


@torch.no_grad()
def _average(mean: nn.Module, net: nn.Module, keep: float) -> None:
    for slow, fast in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1 - keep)
        else:
            slow.copy_(fast)


def _look(training: Training, quiet: bool) -> None:
    learner, n_steps = training.learner, (training.step - 1) % training.learner.look_every + 1
    row = {"step": float(training.step), "seconds": training.seconds}
    row |= {name: sum(values[-n_steps:]) / n_steps for name, values in training.losses.items()}
    training.curve.append(row | learner.look(training))
    if not quiet:
        log.info("step %d of %d: %s", training.step, learner.steps, learner.describe(training.curve[-1]))


def _save(training: Training, path: Path) -> None:
    learner = training.learner
    tensors = {NET + name: tensor for name, tensor in learner.net.state_dict().items()}
    if training.mean is not None:
        tensors |= {MEAN + name: tensor for name, tensor in training.mean.state_dict().items()}
    for number, moments in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"{OPTIMIZER}{number}.{name}": tensor for name, tensor in moments.items()}
    tensors |= {LOSSES + name: torch.tensor(values, dtype=torch.float64) for name, values in training.losses.items()}
    tensors[TORCH_RNG] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors[CUDA_RNG] = torch.cuda.get_rng_state()
    values = {
        "step": training.step,
        "seconds": training.seconds,
        "curve": training.curve,
        "rng": None if learner.rng is None else learner.rng.bit_generator.state,
    }
    write_checkpoint(path, tensors, values, learner.recipe)


def _restore(training: Training, path: Path) -> None:
    learner = training.learner
    tensors, values = read_checkpoint(path, learner.recipe)
    learner.net.load_state_dict(_under(tensors, NET))
    if training.mean is not None:
        training.mean.load_state_dict(_under(tensors, MEAN))
    _restore_optimizer(learner.optimizer, _under(tensors, OPTIMIZER))
    training.losses = {name: tensor.tolist() for name, tensor in _under(tensors, LOSSES).items()}
    torch.set_rng_state(tensors[TORCH_RNG])
    if CUDA_RNG in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors[CUDA_RNG])
    if learner.rng is not None:
        learner.rng.bit_generator.state = values["rng"]
    training.step, training.seconds, training.curve = values["step"], values["seconds"], values["curve"]


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        # In the memory layout of its parameter (channels last), which the file does not keep.
        placed = torch.empty_like(parameters[int(number)]).copy_(tensor) if tensor.ndim else tensor
        moments.setdefault(int(number), {})[name] = placed
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM was received; a second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
