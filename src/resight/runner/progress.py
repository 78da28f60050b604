"""Progress with a rate and an estimate of the time left: a bar on a terminal, a line every few seconds in a log.

Whoever watches a log must be able to tell work from a hang, so no stage is silent for more than five seconds: a line is due `LOG_EVERY_S` after the
last one, whoever had that. A thread speaks for work that is in the middle of a long step. It comes later where the machine has no time for that thread.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from threading import Event, RLock, Thread
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger("resight")
T = TypeVar("T")
LOG_EVERY_S = 4.0
LEAVE_S = 5.0  # for a last line that is on its way to a server


class Tracker:
    """Counts units of work of one stage.

    Args:
        label, unit: What is done, and with what.
        total: Units in all.
        bar: Where a terminal shows it; lines in a log without.
        log_every_s: Between two lines.
        brief: Say nothing of work that is done before the first line was due.
    """

    def __init__(
        self, label: str, unit: str, total: int, bar: Progress | None, log_every_s: float, brief: bool = False
    ) -> None:
        self.label, self.unit, self.total, self.done = label, unit, total, 0
        self.log_every_s, self._ends_silent = log_every_s, brief
        self._bar, self._start = bar, time.monotonic()
        self._said = _lines[-1] if _lines else self._start
        self._task = bar.add_task(label, total=total, rate="") if bar else None
        self._lock = RLock()

    @property
    def has_bar(self) -> bool:
        """Whether a terminal shows it all the time."""
        return self._bar is not None

    def advance(self, n: int) -> None:
        """``n`` more units are done."""
        with self._lock:
            self.done += n
            if self._bar is not None and self._task is not None:
                rate = f"{self._rate(time.monotonic()):.1f} {self.unit}/s"
                self._bar.update(self._task, completed=self.done, total=self.total, rate=rate)
            elif self.done >= self.total and not self._ends_silent:
                self._say(time.monotonic())
            else:
                self.say_if_due()

    def say_if_due(self) -> None:
        """A line, if the last one is long enough ago and no bar shows it."""
        with self._lock:
            now = time.monotonic()
            if self._bar is None and now - self._said >= self.log_every_s:
                self._say(now)

    def _rate(self, now: float) -> float:
        return self.done / max(now - self._start, 1e-9)

    def _say(self, now: float) -> None:
        self._said, self._ends_silent = now, False
        _spoken(now)
        more = {"stage": self.label, "share_done": self.done / max(self.total, 1)}  # for whoever draws a bar
        if not self.done:
            said = "%s: 0 of %d %s, at work for %.0f s"
            log.info(said, self.label, self.total, self.unit, now - self._start, extra=more)
            return
        rate = self._rate(now)
        left = (self.total - self.done) / max(rate, 1e-9)
        said = "%s: %d of %d %s, %.1f/s, %.0f s left"
        log.info(said, self.label, self.done, self.total, self.unit, rate, left, extra=more)


_shown: list[Tracker] = []  # whoever shows progress now, so that `at_work` does not speak too
_lines: list[float] = []  # when each stage that is at work, the innermost last, had its last line


def _spoken(now: float) -> None:
    if _lines:
        _lines[-1] = now


@contextmanager
def track(
    label: str, unit: str, total: int, quiet: bool = False, log_every_s: float | None = None
) -> Iterator[Tracker]:
    """Show the progress of one stage on standard error; ``log_every_s`` is `LOG_EVERY_S` if not given."""
    console, every_s = Console(file=sys.stderr), LOG_EVERY_S if log_every_s is None else log_every_s
    if quiet or not console.is_terminal:
        with _shown_while(Tracker(label, unit, total, None, every_s)) as tracker:
            yield tracker
        return
    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar, _shown_while(Tracker(label, unit, total, bar, every_s)) as one:
        yield one


def counted(items: Sequence[T], label: str, unit: str) -> Iterator[T]:
    """The items of a loop that may take long, or not: a line every few seconds if it does, nothing otherwise."""
    with _shown_while(Tracker(label, unit, len(items), None, LOG_EVERY_S, brief=True)) as tracker:
        for item in items:
            yield item
            tracker.advance(1)


@contextmanager
def at_work(label: str) -> Iterator[None]:
    """Say every few seconds for how long a stage has been at work, while nothing in it shows progress of its own."""
    start = time.monotonic()

    def say_if_due() -> None:
        now = time.monotonic()
        if not _shown and _lines and now - _lines[-1] >= LOG_EVERY_S:
            _spoken(now)
            log.info("%s: at work for %.0f s", label, now - start)

    n_before, n_lines = len(_shown), len(_lines)
    _lines.append(start)
    try:
        with _every(LOG_EVERY_S, say_if_due):
            yield
    finally:
        del _shown[n_before:]  # of loops that failed and whose error somebody keeps, such as a notebook
        del _lines[n_lines:]


@contextmanager
def _shown_while(tracker: Tracker) -> Iterator[Tracker]:
    _shown.append(tracker)

    def say_if_shown() -> None:
        if tracker in _shown:
            tracker.say_if_due()

    try:
        with _every(tracker.log_every_s, say_if_shown):
            yield tracker
    finally:
        if tracker in _shown:
            _shown.remove(tracker)
        if tracker.has_bar:
            _spoken(time.monotonic())


@contextmanager
def _every(seconds: float, look: Callable[[], None]) -> Iterator[None]:
    """Call ``look`` several times in so many seconds from a thread of its own, in the context of this one (Prefect's run)."""
    over = Event()

    def keep_looking() -> None:
        while not over.wait(max(seconds / 10, 0.01)):
            look()

    thread = Thread(target=copy_context().run, args=(keep_looking,), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LEAVE_S)
