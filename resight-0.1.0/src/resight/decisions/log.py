"""The log on disk: ``decisions/<day>-<writer>.jsonl`` in the workspace, a line for each decision.

A file has one writer, a process, and is only added to; so files of two copies of a workspace never differ but in length, and
putting both sets of files together puts the decisions together. A line carries a digest of itself: one that was changed is left out
and reported. Whoever adds a decision sets half a line aside that a killed writer has left: nobody was told that it counts.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from resight.decisions.entry import CUT_OFF, Entry, checked, entry_of
from resight.errors import WorkspaceError, machine_errors_at
from resight.store.appending import append_lines, half_line, set_half_line_aside
from resight.store.durable import errors_naming, make_folder
from resight.store.listing import matching
from resight.store.workspace import Workspace

log = logging.getLogger("resight")
LOCK, LOCK_S = ".decisions", 30.0
STILL_S = 60.0  # a file that changed since may be arriving from another copy just now
ENDING = ".jsonl"
LOOK_AGAIN_S = 0.5  # for what other processes have added
ONE_TICK = timedelta(microseconds=1)


class DecisionLog:
    """All decisions of a workspace, and the only way to add one. Safe to use from several threads.

    Attributes:
        folder: Where the files lie.
        notes: What cannot be read, a sentence for each file.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.folder = workspace.decisions
        self._lock_file = workspace.store / LOCK
        self.notes: list[str] = []
        self._writer = uuid.uuid4().hex[:12]
        self._lock = threading.RLock()
        self._looked = 0.0
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._entries: tuple[Entry, ...] = ()

    def entries(self) -> tuple[Entry, ...]:
        """All decisions in their order; what other processes have added is there half a second later at most."""
        with self._lock:
            if self._seen is not None and time.monotonic() - self._looked < LOOK_AGAIN_S:
                return self._entries
            self._looked = time.monotonic()
            state = tuple(_state(file) for file in self._files())
            if state != self._seen:
                self._entries, self.notes = _read(self._files())
                self._seen = state
            return self._entries

    def append(self, entry: Entry) -> Entry:
        """Add a decision; when this returns, it is on the disk. One whose ``request`` is there already is given back as it stands.

        Raises:
            SettingsError: It lacks what its kind needs.
            MachineError: The disk is full or cannot be written.
        """
        entry = checked(entry)
        with self._lock, machine_errors_at(self.folder), self._writing():
            before = self.entries()
            if entry.request:
                for earlier in before:
                    if earlier.request == entry.request:
                        return earlier
            entry = replace(entry, at=entry.at or _now(before))
            self._write(entry.line())
            self._looked = time.monotonic()
            self._entries = tuple(sorted((*before, entry), key=_order))
            self._seen = tuple(_state(file) for file in self._files())
            return entry

    def merge(self, other: Workspace) -> int:
        """Add the decisions of another copy of the workspace that are not here; how many they were.

        Raises:
            WorkspaceError: Some lines there cannot be read.
        """
        theirs = DecisionLog(other)
        entries = theirs.entries()
        if theirs.notes:
            raise WorkspaceError(f"{theirs.notes[0]} Nothing was taken over.")
        with self._lock, machine_errors_at(self.folder), self._writing():
            here = {entry.decision_id for entry in self.entries()}
            missing = [entry for entry in entries if entry.decision_id not in here]
            if missing:
                self._write(b"".join(entry.line() for entry in missing))
            self._seen = None
        return len(missing)

    def _files(self) -> list[Path]:
        return matching(self.folder, f"[!.]*{ENDING}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """No other process writes in it; what others have written before is read."""
        make_folder(self._lock_file.parent)
        lock = FileLock(self._lock_file)
        try:
            lock.acquire(timeout=LOCK_S)
        except Timeout:
            raise WorkspaceError(
                "Another process has been writing decisions for half a minute; nothing was kept. Decide again."
            ) from None
        try:
            self._heal()
            self._looked = 0.0
            yield
        finally:
            lock.release()

    def _write(self, lines: bytes) -> None:
        append_lines(self.folder / f"{datetime.now(UTC).date().isoformat()}-{self._writer}{ENDING}", lines)

    def _heal(self) -> None:
        """Set aside what killed writers have left of their last lines. Every writer holds the lock, so nobody is writing now."""
        for file in self._files():
            with suppress(OSError):  # of somebody else, say; it stays, and is reported
                half = half_line(file)
                if half and not _is_entry(half) and time.time() - file.stat().st_mtime > STILL_S:
                    aside = set_half_line_aside(file)
                    self._seen = None
                    log.warning(
                        "The last line of %s was cut off before anybody was told that it counts; it is set aside as %s.",
                        file,
                        aside,
                    )


def _read(files: Iterable[Path]) -> tuple[tuple[Entry, ...], list[str]]:
    entries: dict[str, Entry] = {}
    notes = []
    for file in files:
        bad: list[tuple[int, str]] = []
        with errors_naming(file):
            lines = file.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = entry_of(line)
            except ValueError as error:
                bad.append((number, str(error)))
            else:
                entries[entry.decision_id] = entry
        if bad:
            which = f"line {bad[0][0]}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
            notes.append(f"In {file} {which} does not count ({bad[0][1]}); put the file back from a backup or a copy.")
    return tuple(sorted(entries.values(), key=_order)), notes


def _is_entry(line: bytes) -> bool:
    try:
        entry_of(line)
    except ValueError as error:
        return str(error) != CUT_OFF
    return True


def _order(entry: Entry) -> tuple[str, str]:
    return entry.at, entry.decision_id


def _now(before: tuple[Entry, ...]) -> str:
    """The time, but later than all that was decided before: a clock that was set back must not change what counts."""
    now = datetime.now(UTC)
    if before:
        now = max(now, datetime.fromisoformat(before[-1].at) + ONE_TICK)
    return now.isoformat(timespec="microseconds")


def _state(file: Path) -> tuple[str, int, int]:
    stat = file.stat()
    return file.name, stat.st_size, stat.st_mtime_ns
