"""Where everything lies.

```
DIR/resight.toml        settings
DIR/photos/             the inbox (any other place can be named in the settings); never written to
DIR/store/              what was computed once: ingest, crops, features, pairs, each under its fingerprint
DIR/decisions/          what people have decided, a line each; only ever added to
DIR/models/             models that were computed here
DIR/runs/<run_id>/      one immutable folder per run
DIR/generations/<n>/    what was accepted together: tables, pages, and which model is the accepted one
DIR/current             a link to the newest of them: what analysts open
DIR/log/                what was tried, and how it ended (`store.attempts`)
```
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from filelock import FileLock, Timeout

from resight.errors import SettingsError, WorkspaceError

DAY = re.compile(r"\d{4}-\d\d-\d\d")
LOCK, QUEUE = ".lock", ".queue"
LOOK_S = 0.5  # how often somebody who waits looks again
ADDRESS = re.compile(r"(s3a?|gs|gcs|abfss?|az|adl|https?|ftp|sftp|ssh|hdfs|memory):", re.IGNORECASE)
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Workspace:
    """A folder with photos, settings and results. Small and picklable: workers get it too."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def generations(self) -> Path:
        return self.root / "generations"

    @property
    def decisions(self) -> Path:
        return self.root / "decisions"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def log(self) -> Path:
        return self.root / "log"

    def stage_dir(self, stage: str, fingerprint: str) -> Path:
        """Folder of what ``stage`` computed under ``fingerprint``; made if missing."""
        path = self.store / stage / fingerprint
        path.mkdir(parents=True, exist_ok=True)
        return path

    def relative(self, path: Path) -> str:
        """``path`` relative to the workspace with forward slashes, so that a moved workspace stays whole."""
        return path.relative_to(self.root).as_posix()

    @contextmanager
    def lock(self, wait_s: float = 0.0) -> Iterator[None]:
        """Keep a second run out of the same workspace; a killed run leaves no lock behind.

        Who waits stands in a queue: a run that lets go for a moment (a rebuild that makes way) does not get the lock back before
        somebody who waits has had it.

        Args:
            wait_s: How long to wait until nobody else is at work here.

        Raises:
            WorkspaceError: Another run is still at work here.
        """
        lock = self._file_lock(LOCK, wait_s)
        try:
            with self._file_lock(QUEUE, wait_s):
                lock.acquire()
        except Timeout:
            raise WorkspaceError(
                f"Another run is at work in {self.root}; wait until it has ended, then try again."
            ) from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def lock_after_others(self) -> Iterator[None]:
        """`lock` for a run that has made way: it waits without end, outside the queue, so that nobody makes way for it."""
        lock = self._file_lock(LOCK, 0.0)
        while True:
            with self._file_lock(QUEUE, -1), suppress(Timeout):
                lock.acquire()
            if lock.is_locked:
                break
            time.sleep(LOOK_S)
        try:
            yield
        finally:
            lock.release()

    def is_wanted(self) -> bool:
        """Whether somebody waits for the lock; for the run that has it."""
        try:
            with self._file_lock(QUEUE, 0.0):
                return False
        except Timeout:
            return True

    def _file_lock(self, name: str, wait_s: float) -> FileLock:
        self.store.mkdir(parents=True, exist_ok=True)
        return FileLock(self.store / name, timeout=wait_s, poll_interval=LOOK_S)


def open_workspace(root: str | Path) -> Workspace:
    """The workspace at ``root``.

    Raises:
        WorkspaceError: There is no such folder.

    Examples:
        >>> workspace = resight.open_workspace("my season")
        >>> workspace.runs.name
        'runs'
    """
    refuse_address(root)
    path = Path(root).expanduser().absolute()
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise WorkspaceError(
            f"The path {str(path)!r} is not UTF-8; rename that folder, or make the workspace elsewhere."
        ) from None
    if not path.is_dir():
        raise WorkspaceError(f"{path} is not a folder; make a workspace with `resight init '{path}'`.")
    return Workspace(path)


def refuse_address(root: str | Path) -> None:
    """A workspace is a folder: it needs locks, links and renames, which object storage has not.

    Raises:
        WorkspaceError: ``root`` is an address such as s3://bucket/place, or what a path makes of one.
    """
    text = str(root)
    if "://" in text or any(ADDRESS.fullmatch(part) for part in Path(text).parts):
        raise WorkspaceError(
            f"{text} is an address, and a workspace must be a folder on this machine or on a share that is mounted; photos may lie at an "
            "address (ingest.sources), and results can be published to one (publish.to)."
        )


def checked_night(text: str) -> str:
    """The night if it is a date such as 2026-06-04: it becomes part of a folder's name.

    Raises:
        SettingsError: It is not.
    """
    try:
        real = DAY.fullmatch(text) and date.fromisoformat(text)
    except ValueError:
        real = None
    if not real:
        raise SettingsError(f"{text!r} is no date of a night; write it as year, month and day, e.g. 2026-06-04.")
    return text


def checked_run_id(text: str) -> str:
    """The name of a run if it is one: it names a folder in ``runs`` and nothing outside.

    Raises:
        WorkspaceError: It is not.
    """
    if not RUN_ID.fullmatch(text):
        raise WorkspaceError(
            f"{text!r} is no name of a run; the folders in `runs` have such names, e.g. 2026-06-04-nightly-ad832977."
        )
    return text
