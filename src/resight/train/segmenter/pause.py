"""Stopping and going on: a training that was killed goes on where it was, one whose time is up ends properly."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

log = logging.getLogger("resight")


@dataclass(frozen=True)
class Pause:
    """Where the state of an unfinished training is kept, and how long the training may take.

    Attributes:
        path: File of the state, removed by nobody; None keeps nothing.
        every_s: Seconds between two states.
        limit_s: The schedule is squeezed so that the training ends by then; 0 for no limit.
    """

    path: Path | None = None
    every_s: float = 60.0
    limit_s: float = 0.0


class Progress:
    """Steps and seconds of a training, also over several runs.

    Args:
        pause: See `Pause`.
        parts: Network, running mean, optimizer: what has a ``state_dict``.
        rng: Drawer of the examples.
        recipe: Whatever identifies the training; a state of another one is left alone.
    """

    def __init__(self, pause: Pause, parts: dict[str, Any], rng: np.random.Generator, recipe: str) -> None:
        self.pause, self.parts, self.rng, self.recipe = pause, parts, rng, recipe
        self.step, self._before_s = 0, 0.0
        self._restore()
        self._began = self._kept = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before_s + time.monotonic() - self._began

    def share(self, steps: int) -> float:
        """How much of the training is behind us, 0 to 1: of the steps, or of the time where that is more."""
        of_time = self.seconds / self.pause.limit_s if self.pause.limit_s else 0.0
        return min(1.0, max(self.step / max(steps, 1), of_time))

    def done(self) -> None:
        """One more step; the state is kept when it is time to."""
        self.step += 1
        if self.pause.path and time.monotonic() - self._kept >= self.pause.every_s:
            self.keep()

    def keep(self) -> None:
        """Write the state, whole or not at all."""
        if self.pause.path is None:
            return
        state = {name: part.state_dict() for name, part in self.parts.items()}
        said = {"recipe": self.recipe, "step": self.step, "seconds": self.seconds, "rng": self.rng.bit_generator.state}
        self.pause.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.pause.path.with_suffix(".writing")
        torch.save(state | {"said": json.dumps(said), "torch_rng": torch.get_rng_state()}, unfinished)
        os.replace(unfinished, self.pause.path)
        self._kept = time.monotonic()

    def _restore(self) -> None:
        if self.pause.path is None or not self.pause.path.exists():
            return
        state = torch.load(self.pause.path, weights_only=True, map_location="cpu")
        said = json.loads(state["said"])
        if said["recipe"] != self.recipe:
            log.info("%s belongs to another training; starting anew", self.pause.path)
            return
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["torch_rng"])
        self.rng.bit_generator.state = said["rng"]
        self.step, self._before_s = said["step"], said["seconds"]
        log.info("going on at step %d of %s", self.step, self.pause.path)
