"""The log on disk: ``decisions/<day>-<writer>.jsonl`` in the workspace, a line for each decision.

A file has one writer, a process, and is only added to; so files of two copies of a workspace never differ but in length, and
putting both sets of files together puts the decisions together. A line carries a digest of itself: one that was cut off by a loss of
power, or changed, is left out and reported.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from resight.decisions.entry import Entry, checked, entry_of
from resight.errors import WorkspaceError, machine_errors_at
from resight.store.durable import errors_naming, make_folder, sync_folder
from resight.store.workspace import Workspace

ENDING = ".jsonl"
ONE_TICK = timedelta(microseconds=1)


class DecisionLog:
    """All decisions of a workspace, and the only way to add one. Safe to use from several threads.

    Attributes:
        folder: Where the files lie.
        notes: What cannot be read, a sentence for each file.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.folder = workspace.decisions
        self.notes: list[str] = []
        self._writer = uuid.uuid4().hex[:12]
        self._lock = threading.RLock()
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._entries: tuple[Entry, ...] = ()

    def entries(self) -> tuple[Entry, ...]:
        """All decisions in their order; files are read again only where some have changed."""
        with self._lock:
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
        with self._lock, machine_errors_at(self.folder):
            before = self.entries()
            if entry.request:
                for earlier in before:
                    if earlier.request == entry.request:
                        return earlier
            entry = replace(entry, at=entry.at or _now(before))
            self._write(entry.line())
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
        with self._lock, machine_errors_at(self.folder):
            here = {entry.decision_id for entry in self.entries()}
            missing = [entry for entry in entries if entry.decision_id not in here]
            if missing:
                self._write(b"".join(entry.line() for entry in missing))
            self._seen = None
        return len(missing)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"[!.]*{ENDING}")) if self.folder.is_dir() else []

    def _write(self, lines: bytes) -> None:
        make_folder(self.folder)
        path = self.folder / f"{datetime.now(UTC).date().isoformat()}-{self._writer}{ENDING}"
        is_new = not path.exists()
        with errors_naming(path), path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                written = file.write(lines)
                while written < len(lines):
                    written += file.write(lines[written:])
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(size)  # half a line would spoil the next one
                raise
        if is_new:
            sync_folder(self.folder)


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
