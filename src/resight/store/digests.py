"""SHA-256 of whole files, each worked out once in a process unless the file changes."""

from __future__ import annotations

import hashlib
from pathlib import Path

_seen: dict[str, tuple[int, int, str]] = {}  # size, time of change and digest of files that were read in this process


def digest_of(path: Path) -> str:
    """SHA-256 of a file, worked out once in a process unless it changes.

    Raises:
        FileNotFoundError: There is no such file.
    """
    try:
        state = path.stat()
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    size, changed, digest = _seen.get(str(path), (-1, -1, ""))
    if (size, changed) != (state.st_size, state.st_mtime_ns):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        _seen[str(path)] = (state.st_size, state.st_mtime_ns, digest)
    return digest


def agrees(path: Path, digest: str) -> bool:
    """Whether a file is there, with that SHA-256."""
    try:
        return digest_of(path) == digest
    except FileNotFoundError:
        return False


def forget() -> None:
    """Work digests out again."""
    _seen.clear()
