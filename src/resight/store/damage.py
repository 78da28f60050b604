"""Quarantine: a damaged file is moved out of the way, so that what it held is computed again, and a log says so.

``store/quarantine/<date>-<name>`` holds the files, ``store/quarantine/log.jsonl`` one line for each.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from resight.errors import DamagedError
from resight.store.appending import append_lines
from resight.store.durable import make_folder, sync_folder

QUARANTINE, LOG_FILE = "quarantine", "log.jsonl"
MISSING = "it is missing"
AGAIN = "what it held is computed again"

_reported: dict[str, int] = {}  # how far the log of each store was read in this process


@dataclass(frozen=True)
class Record:
    """A line of the log.

    Attributes:
        when: UTC, ISO.
        path: The file, relative to the workspace.
        why: What is wrong with it.
        kept_as: Where it lies now, relative to the workspace; '' where it was missing.
        then: What follows.
        stage: Which has to run again to make it anew; '' where the stage that reads it does so by itself.
    """

    when: str
    path: str
    why: str
    kept_as: str
    then: str
    stage: str = ""

    def sentence(self) -> str:
        """For the notes of a run."""
        kept = f"it lies in {self.kept_as} now, and " if self.kept_as else ""
        state = "missing" if self.why == MISSING else f"damaged ({self.why})"
        return f"{self.path} was {state}; {kept}{self.then}."


def set_aside(damage: DamagedError, then: str = AGAIN, stage: str = "") -> Record:
    """Move what is damaged into the quarantine of its store and write that down. Somebody may have done so before."""
    store = store_of(damage.path)
    folder, now = store / QUARANTINE, datetime.now(UTC)
    _reported.setdefault(str(store), _log_size(store))
    name = damage.path.relative_to(store.parent).as_posix().removeprefix("store/").replace("/", "-")
    target, number = folder / f"{now.date()}-{name}", 1
    while target.exists():
        number += 1
        target = folder / f"{now.date()}-{name}-{number}"
    make_folder(folder)
    try:
        os.rename(damage.path, target)
        kept_as = target.relative_to(store.parent).as_posix()
        sync_folder(damage.path.parent)
    except FileNotFoundError:
        kept_as = ""
    path = damage.path.relative_to(store.parent).as_posix()
    record = Record(now.isoformat(timespec="seconds"), path, damage.why, kept_as, then, stage)
    append_lines(folder / LOG_FILE, json.dumps(asdict(record)).encode() + b"\n")
    return record


def watch(store: Path) -> None:
    """From now on `fresh_records` tells what is set aside in this store."""
    _reported.setdefault(str(store), _log_size(store))


def fresh_records(store: Path) -> list[Record]:
    """What this process and its workers have set aside and nobody has reported yet."""
    start, end = _reported.get(str(store), 0), _log_size(store)
    _reported[str(store)] = end
    if end <= start:
        return []
    with (store / QUARANTINE / LOG_FILE).open("rb") as log:
        log.seek(start)
        records, _ = _read(log.read(end - start))
    return records


def is_set_aside_since(store: Path, moment: datetime) -> bool:
    """Whether anything was set aside since then (UTC), by whom ever."""
    log = store / QUARANTINE / LOG_FILE
    if not log.exists():
        return False
    since = moment.astimezone(UTC).replace(microsecond=0)  # whole seconds, as the log has it
    last, (records, are_all) = datetime.fromtimestamp(log.stat().st_mtime, UTC), _read(log.read_bytes())
    return any(datetime.fromisoformat(record.when) >= since for record in records) or (not are_all and last >= since)


def store_of(path: Path) -> Path:
    """The ``store`` folder of the workspace that a file belongs to; the file's own folder where it is in none."""
    for parent in path.parents:
        if parent.name == "store":
            return parent
        if parent.name in ("models", "runs", "current", "generations"):
            return parent.parent / "store"
    return path.parent


def _read(lines: bytes) -> tuple[list[Record], bool]:
    """The records of lines, and whether all can be read: a loss of power may cut one, and what it was about is in the quarantine."""
    records, texts = list[Record](), [line for line in lines.splitlines() if line]
    for text in texts:
        with suppress(ValueError, TypeError):
            records.append(Record(**json.loads(text)))
    return records, len(records) == len(texts)


def _log_size(store: Path) -> int:
    log = store / QUARANTINE / LOG_FILE
    return log.stat().st_size if log.exists() else 0
