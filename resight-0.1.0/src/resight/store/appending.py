"""Files that are only ever added to, a line at a time: what was added is on the disk, and half a line never spoils the next one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from resight.store.durable import errors_naming, make_folder, sync_folder, write_bytes

TORN = "torn"  # folder beside the files, for half lines that were set aside


def append_lines(path: Path, data: bytes) -> None:
    """Add whole lines in one write; when this returns, they are on the disk. What is left of a line before gets a line of its own.

    Several processes may add to one file. Where the disk fills up in the middle, what was written of ``data`` is taken back,
    unless somebody has added something since.

    Raises:
        OSError: The disk is full, or cannot be written; nothing counts then.
    """
    make_folder(path.parent)
    is_new = not path.exists()
    with errors_naming(path), path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size and file.seek(-1, os.SEEK_END) is not None and file.read(1) != b"\n":
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                written += file.write(data[written:])
            os.fsync(file.fileno())
        except BaseException:
            if os.fstat(file.fileno()).st_size == size + written:
                file.truncate(size)
            raise
    if is_new:
        sync_folder(path.parent)


def half_line(path: Path) -> bytes:
    """What stands after the last line break; b'' where the last line is whole."""
    with errors_naming(path), path.open("rb") as file:
        return _half_line(file)


def _half_line(file: IO[bytes]) -> bytes:
    size = file.seek(0, os.SEEK_END)
    length = 0
    while length < size:
        length = min(size, max(4096, 2 * length))
        file.seek(size - length)
        tail = file.read(length)
        if b"\n" in tail:
            return tail.rpartition(b"\n")[2]
    file.seek(0)
    return file.read()


def set_half_line_aside(path: Path) -> Path:
    """Move what stands after the last line break into a file of folder `TORN`, and say which. Killed in between, it can be done again.

    Only where nobody can be writing: the caller holds the lock that all writers hold.
    """
    half = half_line(path)
    end = path.stat().st_size - len(half)
    aside = path.parent / TORN / f"{path.name}.{end}"
    write_bytes(aside, half)
    with errors_naming(path), path.open("r+b", buffering=0) as file:
        file.truncate(end)
        os.fsync(file.fileno())
    return aside
