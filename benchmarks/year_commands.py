"""Commands in this process or killed in one of their own, and the clock that they see."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner

from resight.cli.app import app


@dataclass(frozen=True)
class Ended:
    """How a command ended; negative where a signal ended it."""

    code: int
    said: str = ""
    cpu_s: float = 0.0
    memory: int = 0


class Clock:
    """The clock of this process, which can go ahead where clock.c was loaded before the C library."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._ahead = getattr(library, "clock_ahead", None)
        self._now_s = 0

    def set(self, day: date, hour: int) -> None:
        """It is that hour of that day from now on (UTC)."""
        at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)
        if self._ahead is not None:
            self._now_s += int(at.timestamp() - time.time())
            self._ahead(ctypes.c_long(self._now_s))


def run_command(arguments: Sequence[str], place: Path) -> Ended:
    """A command from its beginning to its end, in this process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the highest memory is counted anew
    before = time.process_time()
    done = CliRunner().invoke(app, [*arguments, "-w", str(place)])
    cpu_s, why = time.process_time() - before, done.exception
    lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    said = " ".join(lines) if why is None or isinstance(why, SystemExit) else str(why)
    return Ended(done.exit_code, " ".join(said.split())[:300], cpu_s, _highest_memory())


def kill_command(arguments: Sequence[str], place: Path, after_s: float) -> Ended:
    """A command in a process of its own, which is killed when it has used so many seconds of CPU time."""
    child = os.fork()
    if not child:
        run_command(arguments, place)
        os._exit(0)
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return Ended(os.waitstatus_to_exitcode(status), "", usage.ru_utime + usage.ru_stime)
        if _cpu_s(child) > after_s:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def _cpu_s(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _highest_memory() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
