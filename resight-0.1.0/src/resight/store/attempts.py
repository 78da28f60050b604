"""What was tried in a workspace: each command that changes something writes down that it began and how it ended.

``log/<year>-<month>.jsonl`` holds a JSON object for each beginning and each end; both have the same ``attempt``. A line is one
write and on the disk when the command goes on. While an attempt is under way it holds a lock on ``log/.running-<attempt>``, which
a killed process lets go: whoever looks then sees that it was killed, also from another machine or container, and the next attempt
writes that down.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import platform
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resight.errors import REASON_CHARS, ResightError, machine_error, machine_errors_at
from resight.store.appending import append_lines
from resight.store.durable import make_folder
from resight.store.listing import matching
from resight.store.workspace import Workspace
from resight.version import __version__

log = logging.getLogger("resight")
RUNNING = ".running-"
BEGINS_S = 3600.0  # a lock without a line in the log is that of an attempt that begins, or was killed as it began
LOCK_S = 10.0  # nobody else wants it, but whoever looks for killed attempts holds it for a moment
KILLED_SENTENCE = "It was killed, or the machine stopped."
FACTS = ("run_id", "counts", "work", "seconds", "decisions", "notes")  # of a run's summary


class Outcome(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    KEPT_ASIDE = "kept_aside"
    REFUSED = "refused"
    FAILED = "failed"
    STOPPED = "stopped"
    KILLED = "killed"
    UNDER_WAY = "under_way"


# 2 is the shell's for wrong usage, 4 that of `resight status` for a night that is missing.
EXIT_CODES = {Outcome.DONE: 0, Outcome.FAILED: 1, Outcome.KEPT_ASIDE: 3, Outcome.REFUSED: 5}
STOPPED_EXIT = 130


class Attempt:
    """One attempt under way.

    Attributes:
        workspace: Where.
        command: The command's name.
        name: Its own.
        began_at: When, UTC.
        outcome: How it ended; `UNDER_WAY` until then.
        exit_code: What the command ends with; None until then.
        sentence: Why it ended so; '' where there is nothing to say.
        facts: What is known about it: counts and seconds by stage, the run, and so on.
        summary: What it came to, as the command prints it; not written down.
    """

    def __init__(self, workspace: Workspace, command: str, about: Mapping[str, Any]) -> None:
        self.workspace, self.command, self.about = workspace, command, dict(about)
        self.began_at = datetime.now(UTC)
        self.name = f"{self.began_at:%Y%m%dT%H%M%SZ}-{command.replace(' ', '-')}-{uuid.uuid4().hex[:6]}"
        self.outcome, self.sentence, self.facts = Outcome.UNDER_WAY, "", dict[str, Any]()
        self.exit_code: int | None = None
        self.summary: Mapping[str, Any] = {}

    def follow(self, **facts: Any) -> None:
        """Tables that are filled as the work goes on: what they hold at the end is written down, also if it fails."""
        self.facts |= facts

    def result(self, summary: Mapping[str, Any]) -> None:
        """Take what is worth keeping from the summary of a run."""
        self.summary = summary
        self.facts |= {name: summary[name] for name in FACTS if name in summary}
        if summary.get("promoted"):
            self.facts["accepted_model"] = summary["model"]["fingerprint"]
        self.end(outcome_of(summary), str(summary.get("reason") or ""))

    def failed(self, error: BaseException) -> None:
        """It ends by an error or by a signal."""
        if isinstance(error, Exception):
            self.end(Outcome.FAILED, _sentence(error))
        else:
            signum = error.args[0] if error.args and isinstance(error.args[0], int) else None
            self.end(Outcome.STOPPED, "It was stopped.", STOPPED_EXIT if signum is None else 128 + signum)

    def end(self, outcome: Outcome, sentence: str = "", exit_code: int | None = None) -> None:
        """Say how it ended; it is written down when the block of `attempt` is left."""
        self.outcome, self.sentence = outcome, sentence
        self.exit_code = EXIT_CODES[outcome] if exit_code is None else exit_code

    @property
    def ended(self) -> dict[str, Any]:
        """Its last line."""
        return {
            "event": "ended", "attempt": self.name, "command": self.command, "time": _now(), "outcome": self.outcome,
            "exit_code": self.exit_code, "sentence": self.sentence, **self.facts,
        }  # fmt: skip

    @property
    def began(self) -> dict[str, Any]:
        """Its first line."""
        return {
            "event": "began", "attempt": self.name, "command": self.command, "time": self.began_at.isoformat(timespec="milliseconds"),
            "host": platform.node(), "pid": os.getpid(), "user": _user(), "version": __version__, **self.about,
        }  # fmt: skip


def outcome_of(summary: Mapping[str, Any]) -> Outcome:
    """How a run ended, by its summary. What only measures is never published, and has no reason."""
    if summary.get("refused"):
        return Outcome.REFUSED
    kept_aside = summary.get("status") == Outcome.KEPT_ASIDE and summary.get("reason")
    return Outcome.KEPT_ASIDE if kept_aside else Outcome.DONE


@contextmanager
def attempt(workspace: Workspace, command: str, **about: Any) -> Iterator[Attempt]:
    """Write down that a command begins, and when the block is left, how it ended.

    Args:
        workspace: What it changes.
        command: Its name, as it is typed.
        about: What else is known at the beginning, in plain values (the night, say).

    Raises:
        MachineError: The log cannot be written; nothing was done then.
    """
    with machine_errors_at(workspace.log):
        make_folder(workspace.log)
        note_killed(workspace)
        tried = Attempt(workspace, command, about)
        lock = FileLock(workspace.log / f"{RUNNING}{tried.name}", timeout=LOCK_S)
        lock.acquire()
        append_line(workspace, tried.began)
    try:
        yield tried
        if tried.outcome == Outcome.UNDER_WAY:
            tried.end(Outcome.DONE)
    except BaseException as error:
        tried.failed(error)
        raise
    finally:
        _write_end(tried, lock)


def read_attempts(workspace: Workspace) -> list[dict[str, Any]]:
    """All attempts, the oldest first; one that was killed, and one that is under way, have no ``ended_at``.

    Lines that a loss of power has cut are passed over.

    Returns:
        ``attempt, command, began_at, ended_at, outcome, exit_code, sentence``, and what each has written beside.
    """
    rows: dict[str, dict[str, Any]] = {}
    for line in log_lines(workspace):
        event, at, name = line.pop("event", ""), line.pop("time", None), line.get("attempt")
        row = rows.setdefault(str(name), {})
        if event == "began":
            rows[str(name)] = {"began_at": at, "ended_at": None} | line | row
        elif event == "ended" and "outcome" not in row:
            row |= line | {"ended_at": at}
    known = [row for row in rows.values() if "began_at" in row]
    for row in known:
        if "outcome" not in row:
            row |= _without_end(workspace, str(row["attempt"]))
    return sorted(known, key=lambda row: str(row["began_at"]))


def _without_end(workspace: Workspace, name: str) -> dict[str, Any]:
    """How an attempt stands, of which the log had no end when it was read: it may have come to one since."""
    if _is_running(workspace.log / f"{RUNNING}{name}"):
        return {"outcome": Outcome.UNDER_WAY.value, "exit_code": None, "sentence": ""}
    for line in _lines_of(workspace, name):
        if line.pop("event", "") == "ended":
            return line | {"ended_at": line.pop("time", None)}
    return _killed({})


def note_killed(workspace: Workspace) -> None:
    """Write down which attempts were killed, as nobody who is killed can."""
    for mark in matching(workspace.log, f"{RUNNING}*"):
        lock = FileLock(mark, timeout=0)
        with suppress(Timeout, PermissionError, FileNotFoundError), lock:
            name = mark.name.removeprefix(RUNNING)
            events = {line.get("event") for line in _lines_of(workspace, name)}
            if not events and time.time() - mark.stat().st_mtime < BEGINS_S:
                continue  # it is about to begin
            if "ended" not in events:
                append_line(
                    workspace, {"event": "ended", "attempt": name, "time": None, "noticed_at": _now()} | _killed({})
                )
            mark.unlink(missing_ok=True)


def _write_end(tried: Attempt, lock: FileLock) -> None:
    """A log that cannot be written takes nothing back of what was done, but it is said."""
    try:
        append_line(tried.workspace, tried.ended)
    except OSError as error:
        why = machine_error(error, str(tried.workspace.log)) or error
        log.warning("How this ended could not be written into the log, where it will look as if it was killed: %s", why)
        lock.release()
        return
    lock.release()
    with suppress(OSError):  # the next attempt clears it
        Path(lock.lock_file).unlink(missing_ok=True)


def _killed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "outcome": Outcome.KILLED.value, "exit_code": 137, "sentence": KILLED_SENTENCE}


def _is_running(mark: Path) -> bool:
    """Whether somebody holds the lock; also where we may not ask."""
    if not mark.exists():
        return False
    try:
        with FileLock(mark, timeout=0):
            return False
    except FileNotFoundError:  # it has ended just now
        return False
    except OSError:  # somebody has it (`Timeout`), or we may not ask, as where the disk can only be read
        return True


def append_line(workspace: Workspace, line: Mapping[str, Any]) -> None:
    """One line in one write, on the disk; after a line that was cut, on a line of its own."""
    append_lines(workspace.log / f"{datetime.now(UTC):%Y-%m}.jsonl", json.dumps(line, default=str).encode() + b"\n")


def _lines_of(workspace: Workspace, name: str) -> Iterator[dict[str, Any]]:
    for file in matching(workspace.log, "*.jsonl")[:-3:-1]:
        yield from (line for line in _lines(file) if line.get("attempt") == name)


def log_lines(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """Everything in the log, the oldest first, beside attempts also what people were told."""
    for file in matching(workspace.log, "*.jsonl"):
        yield from _lines(file)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    for text in file.read_bytes().splitlines():
        with suppress(ValueError):
            line = json.loads(text)
            if isinstance(line, dict):
                yield line


def _sentence(error: Exception) -> str:
    told = error if isinstance(error, ResightError) else machine_error(error)
    text = str(told) if told else f"{type(error).__name__}: {error}"
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())[:REASON_CHARS]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return str(os.getuid()) if hasattr(os, "getuid") else ""
