"""Digests of weights files, and those remembered of files without a digest on record."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from resight.store.parts import write_bytes

log = logging.getLogger("resight")
SEEN_FILE = "digests.json"


def cache_dir() -> Path:
    """``$XDG_CACHE_HOME/resight/weights``, or ``~/.cache/resight/weights``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "resight" / "weights"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; a file that has not changed in size and time is read once per process."""
    stat = path.stat()
    return _sha256(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seen_digest(file_name: str) -> str | None:
    """Digest that a file without a record had when it was first used on this machine."""
    return _read_seen().get(file_name)


def remember(file_name: str, sha256: str) -> None:
    """Keep the digest of a file without a record; what is kept already stays."""
    target = cache_dir() / SEEN_FILE
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock"), timeout=30):
            seen = _read_seen()
            if file_name not in seen:
                write_bytes(target, (json.dumps(seen | {file_name: sha256}, indent=1, sort_keys=True) + "\n").encode())
    except OSError as error:
        lost = "The digest of %s cannot be kept in %s (%s), so a later change of the file goes unnoticed."
        log.warning(lost, file_name, target, error)


def _read_seen() -> dict[str, str]:
    target = cache_dir() / SEEN_FILE
    return json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
