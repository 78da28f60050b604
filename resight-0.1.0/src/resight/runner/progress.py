"""Progress with a rate and an estimate of the time left: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger("resight")
LOG_EVERY_S = 20.0


class Tracker:
    """Counts units of work of one stage."""

    def __init__(self, label: str, unit: str, total: int, bar: Progress | None, log_every_s: float) -> None:
        self.label, self.unit, self.total, self.done = label, unit, total, 0
        self._log_every_s = log_every_s
        self._bar, self._start, self._said = bar, time.monotonic(), time.monotonic()
        self._task = bar.add_task(label, total=total, rate="") if bar else None

    def advance(self, n: int) -> None:
        """``n`` more units are done."""
        self.done += n
        now = time.monotonic()
        rate = self.done / max(now - self._start, 1e-9)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, total=self.total, rate=f"{rate:.1f} {self.unit}/s")
        elif now - self._said >= self._log_every_s or self.done >= self.total:
            self._said = now
            left = (self.total - self.done) / max(rate, 1e-9)
            more = {"stage": self.label, "share_done": self.done / max(self.total, 1)}  # for whoever draws a bar
            log.info(
                "%s: %d of %d %s, %.1f/s, %.0f s left",
                self.label,
                self.done,
                self.total,
                self.unit,
                rate,
                left,
                extra=more,
            )


@contextmanager
def track(
    label: str, unit: str, total: int, quiet: bool = False, log_every_s: float = LOG_EVERY_S
) -> Iterator[Tracker]:
    """Show the progress of one stage on standard error."""
    console = Console(file=sys.stderr)
    if quiet or not console.is_terminal:
        yield Tracker(label, unit, total, None, log_every_s)
        return
    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield Tracker(label, unit, total, bar, log_every_s)
