"""Ctrl-C and SIGTERM: a command ends within seconds, with one sentence, and leaves no process behind."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

SENTENCE = "Stopped. Run the same command again; it does only what is missing."
SIGNALS = (signal.SIGINT, signal.SIGTERM)
UNWIND_S = 3.7  # for closing files and workers, and for telling a Prefect server; then the process ends as it is
CHILDREN_S = 1.0  # for children that end by themselves when they are asked to
ALL_S = 4.2
SAME_S = 0.3  # `timeout` and some terminals send one signal twice: to the process, and to its group


class _Stop:
    """The first signal that came, and whether its sentence was printed."""

    def __init__(self) -> None:
        self.signum = 0
        self._begun = 0.0
        self._said = False

    def begin(self, signum: int) -> None:
        """Remember the first signal; what libraries log about the interruption is no news from here on."""
        if not self.signum:
            self.signum, self._begun = signum, time.monotonic()
            logging.disable(logging.CRITICAL)
            threading.excepthook = sys.excepthook = sys.unraisablehook = lambda *_: None

    def left_s(self, until_s: float) -> float:
        """Seconds from now until ``until_s`` after the signal."""
        return max(0.0, self._begun + until_s - time.monotonic())

    def end(self, patience_s: float) -> NoReturn:
        """End the children, say the sentence, and leave without waiting for anybody's threads."""
        try:
            _end_children(patience_s)
        finally:
            if not self._said:
                self._said = True
                with suppress(OSError):
                    os.write(2, f"{_cursor()}{SENTENCE}\n".encode())
            os._exit(128 + self.signum)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM interrupt the work; the process ends here with 130 or 143, whatever was raised.

    A thread hears the signals too, through the descriptor that Python writes them to. It ends the process if the work
    is not interrupted in time, for example inside a long call of a library, and at once if a second signal comes.
    """
    stop = _Stop()

    heard: list[int] = []

    def interrupt(signum: int, _: Any) -> None:
        stop.begin(signum)
        heard.append(signum)
        if len(heard) == 1:
            raise KeyboardInterrupt

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for signum in SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:  # as `nohup` and background jobs of scripts ask for
            signal.signal(signum, interrupt)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(stop, reader), name="signals", daemon=True).start()
    try:
        yield
    finally:
        if stop.signum:
            with suppress(Exception):
                sys.stdout.flush()
            stop.end(min(CHILDREN_S, stop.left_s(ALL_S)))


def _watch(stop: _Stop, reader: int) -> None:
    signum = 0
    while signum not in SIGNALS:
        signum = os.read(reader, 1)[0]
    stop.begin(signum)
    while left_s := stop.left_s(UNWIND_S):
        again = select.select([reader], [], [], left_s)[0] and os.read(reader, 1)[0] in SIGNALS
        if again and not stop.left_s(SAME_S):
            break
    stop.end(0)


def _end_children(patience_s: float) -> None:
    import psutil

    children = psutil.Process().children(recursive=True)
    for ask, wait_s in (("terminate", patience_s), ("kill", 0)):
        for child in children:
            with suppress(psutil.Error):
                getattr(child, ask)()
        children = psutil.wait_procs(children, wait_s)[1] if wait_s else children


def _cursor() -> str:
    """What shows the cursor again that a progress bar has hidden."""
    return "\x1b[?25h" if os.isatty(2) else ""
