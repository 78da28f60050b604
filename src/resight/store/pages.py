"""A page of a run in ``current/``: that lies one folder nearer to the photos that the page links to than ``runs/RUN`` does."""

from __future__ import annotations

import hashlib
from pathlib import Path

from resight.store.durable import FOR_READING, copy_file, copy_whole, write_bytes

PAGE = "report.html"
UP_FROM_RUN, UP_FROM_CURRENT = b'href="../../', b'href="../'  # no text holds either: quotes are escaped there


def as_current(source: Path) -> bytes | None:
    """What the page of a run is in ``current/``; None for every other file, which is there as it is."""
    if source.name != PAGE:
        return None
    page = source.read_bytes()
    moved = page.replace(UP_FROM_RUN, UP_FROM_CURRENT)
    return None if moved == page else moved


def digest_as_current(source: Path, plain: str) -> str:
    """SHA-256 of what a file is in ``current/``; ``plain`` is that of the file itself."""
    page = as_current(source)
    return plain if page is None else hashlib.sha256(page).hexdigest()


def copy_to_current(source: Path, target: Path) -> None:
    """Copy a file of a run into a generation that is being written."""
    page = as_current(source)
    if page is None:
        copy_file(source, target)
    else:
        target.write_bytes(page)


def copy_again(source: Path, target: Path, *, read_only: bool) -> None:
    """The same into one that is current, in one rename, on the disk."""
    page = as_current(source)
    if page is None:
        copy_whole(source, target, read_only=read_only)
    else:
        write_bytes(target, page)
        if read_only:
            target.chmod(FOR_READING)
