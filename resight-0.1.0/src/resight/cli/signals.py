"""Ctrl-C and SIGTERM: a command ends within seconds, with one sentence, and leaves no process behind."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

SENTENCE = "Stopped. Run the same command again; it does only what is missing."
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SIGNAL_BYTES = {bytes([signum]) for signum in SIGNALS}
UNWIND_S = 3.7  # for closing files and workers, and for telling a Prefect server; then the process ends as it is
ALL_S = 4.2  # until then, children that were asked to end may do it by themselves
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
            warnings.simplefilter("ignore")
            threading.excepthook = sys.excepthook = sys.unraisablehook = _say_nothing

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
            raise KeyboardInterrupt(signum)

    reader, writer = socket.socketpair()  # Windows can wait for sockets with a time limit, and for no pipe
    writer.setblocking(False)
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    for signum, handler in before.items():
        if handler is not signal.SIG_IGN:  # as `nohup` and background jobs of scripts ask for
            signal.signal(signum, interrupt)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(stop, reader), name="signals", daemon=True).start()
    try:
        yield
    finally:
        if stop.signum:
            with suppress(Exception):
                sys.stdout.flush()
            stop.end(stop.left_s(ALL_S))
        signal.set_wakeup_fd(-1)
        writer.close()  # which ends the watching thread
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _watch(stop: _Stop, reader: socket.socket) -> None:
    signum = 0
    while signum not in SIGNALS:
        heard = reader.recv(1)
        if not heard:
            reader.close()
            return
        signum = heard[0]
    stop.begin(signum)
    while left_s := stop.left_s(UNWIND_S):
        reader.settimeout(left_s)
        try:
            again = reader.recv(1)[:1] in SIGNAL_BYTES
        except TimeoutError:
            break
        if again and not stop.left_s(SAME_S):
            break
    stop.end(0)


def _end_children(patience_s: float) -> None:
    import psutil

    main = psutil.Process()
    family = [process for process in main.children(recursive=True) if not _is_tracker(process)]
    for child in main.children() if patience_s else []:  # they end their own, after having told a server
        with suppress(psutil.Error):
            child.terminate()
    for process in psutil.wait_procs(family, patience_s)[1] if patience_s else family:
        with suppress(psutil.Error):
            process.kill()


def _is_tracker(process: Any) -> bool:
    """Python's helper for semaphores: it hears no signal, and ends after all that it cleans up for."""
    import psutil

    try:
        return any("resource_tracker" in word for word in process.cmdline())
    except psutil.Error:
        return False


def _say_nothing(*_: Any) -> None:
    """For errors that threads report while everything ends."""


def _cursor() -> str:
    """What shows the cursor again that a progress bar has hidden."""
    return "\x1b[?25h" if os.isatty(2) else ""
