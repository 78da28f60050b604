"""What commands said while they were at work: their log lines, one JSON object each, in ``log/lines/<year>-<month>.jsonl``.

A line has ``attempt`` (see `store.attempts`), ``time`` (UTC), ``level`` and ``text``. Unlike the log of attempts these lines are not
on the disk when the command goes on: a loss of power may take the last of them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from resight.store.appending import half_line
from resight.store.listing import matching
from resight.store.workspace import Workspace

log = logging.getLogger("resight")
FOLDER = "lines"


@contextmanager
def lines_kept(workspace: Workspace, attempt: str) -> Iterator[None]:
    """Keep Resight's log lines under the name of an attempt; a disk that does not take them is said once and stops no work."""
    keeper = _Keeper(workspace.log / FOLDER, attempt)
    log.addHandler(keeper)
    try:
        yield
    finally:
        log.removeHandler(keeper)
        keeper.close()
        if keeper.why:
            log.warning("Not all that was said could be kept in %s: %s", workspace.log / FOLDER, keeper.why)


def read_lines(workspace: Workspace, attempts: Collection[str]) -> Iterator[dict[str, Any]]:
    """The lines of these attempts, in the order in which they were said; what a loss of power has cut is passed over."""
    for file in matching(workspace.log / FOLDER, "*.jsonl"):
        for text in file.read_bytes().splitlines():
            with suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and line.get("attempt") in attempts:
                    yield line


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit their text must not end a night
        return str(record.msg)


class _Keeper(logging.Handler):
    """Writes each line with one call, so that two commands at work never mix theirs."""

    def __init__(self, folder: Path, attempt: str) -> None:
        super().__init__()
        self.why = ""
        self._folder, self._attempt = folder, attempt
        self._file: IO[bytes] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write it down."""
        if self.why:
            return
        now, start = datetime.now(UTC), b""
        line = {
            "attempt": self._attempt, "time": now.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "text": _text(record),
        }  # fmt: skip
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                file = self._folder / f"{now:%Y-%m}.jsonl"
                start = b"\n" if file.exists() and half_line(file) else b""  # of a writer that was killed
                self._file = file.open("ab", buffering=0)
            self._file.write(start + json.dumps(line).encode() + b"\n")
        except OSError as error:
            self.why = str(error)

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        super().close()
