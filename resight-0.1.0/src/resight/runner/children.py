"""Processes that this one starts: Ctrl-C reaches them through us alone, and none outlives us."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

SERVED_BY = "SERVED_BY_RESIGHT"  # the process of `resight serve`, for the flow runs that it starts
LOOK_S = 0.5  # how often a child looks whether its parent is still there


@contextmanager
def deaf_to_interrupt() -> Iterator[None]:
    """Processes that are started in here, also by threads that begin in here, never get Ctrl-C.

    A terminal sends it to the whole process group. Workers that die of it print tracebacks, and are replaced. Children
    inherit what the starting thread blocks, so there is no moment at which they could still be hit.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    _start_resource_tracker()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_resource_tracker() -> None:
    """Start Python's helper for semaphores now: whoever starts it later unblocks Ctrl-C in its own thread.

    It cleans up after a process that was killed; nobody needs to read about it.
    """
    from multiprocessing import resource_tracker

    quiet = "ignore::UserWarning:multiprocessing.resource_tracker"
    sys.warnoptions.append(quiet)
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(quiet)


def kill_workers(cluster: Any) -> None:
    """Kill the workers of a local cluster that is closed next; waiting for the end of their blocks can take minutes."""
    for nanny in cluster.workers.values():
        nanny.close_gracefully()  # or it would start another one
        if pid := getattr(nanny, "pid", None):
            with suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def ends_with_us(module: str, arguments: Sequence[str]) -> list[str]:
    """The command line that runs ``python -m module`` in a process that ends when this one does, however that ends."""
    return [sys.executable, "-m", __spec__.name, str(os.getpid()), module, *arguments]


def end_with_parent(parent: int, end: Callable[[], None] = lambda: os._exit(1)) -> None:
    """From now on, end this process soon after ``parent`` is gone. Works on every POSIX system."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        end()

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def end_with_serving_process() -> None:
    """In a flow run that `resight serve` started: end soon after that process is gone, as at SIGTERM."""
    parent = os.getppid()
    if os.environ.get(SERVED_BY) == str(parent):
        end_with_parent(parent, lambda: os.kill(os.getpid(), signal.SIGTERM))


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
