"""Writing that survives a loss of power: contents, then their folder, then the mark that they are there, then its folder.

A rename alone promises only that a reader of this moment sees old or new. What lies on the disk after the power went is
settled by `os.fsync`, of the file and of the folder that names it.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOR_READING = 0o444
NO_HARD_LINKS = {  # the file system knows none, this file has too many, it lies on another disk, or is another user's
    errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV,
}  # fmt: skip
FICLONE = 0x40049409  # ioctl_ficlone(2): Btrfs, XFS, OCFS2, NFS 4.2
LEFT_OVER_S = 3600.0


def write_bytes(path: Path, data: bytes | Iterable[bytes | memoryview]) -> None:
    """Write ``data``, whole or in pieces, to ``path`` in one rename; when this returns, it is on the disk."""
    make_folder(path.parent)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        with errors_naming(path), temporary.open("wb") as file:
            for piece in [data] if isinstance(data, bytes) else data:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it; each new one is on the disk."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        sync_folder(new.parent)


def put_in_place(temporary: Path, target: Path) -> None:
    """Rename a file or a folder, whose contents must be on the disk, into place, and put the new name on the disk."""
    os.replace(temporary, target)
    sync_folder(target.parent)


def copy_whole(source: Path, target: Path, *, read_only: bool = False) -> None:
    """A copy of its own, in one rename, on the disk: what becomes of one must not reach the other."""
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        copy_file(source, temporary)
        sync_file(temporary)
        if read_only:
            temporary.chmod(FOR_READING)
        put_in_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def copy_file(source: Path, target: Path) -> None:
    """Copy contents; where the file system can, the two share their blocks until one is written to."""
    if not _cloned(source, target):
        shutil.copyfile(source, target)


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file that is never changed, or where that cannot be, a copy for reading only."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        copy_file(source, target)


def _cloned(source: Path, target: Path) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
        except OSError:  # the file system cannot; where the disk fails, copying says so
            return False
    return True


def remove_tree(folder: Path) -> None:
    """Remove a folder and its files; Windows removes none that is for reading only.

    There, a file that has other names may be written to by those from then on.
    """
    if os.name == "nt":
        for file in folder.rglob("*"):
            file.chmod(0o666)
    shutil.rmtree(folder, ignore_errors=True)


def clear_left_over(folders: Iterable[Path]) -> None:
    """Remove what writers that were killed have left in ``folders`` and below, but for what is younger than an hour.

    Nobody writes one file for that long. Batches of features (``.zarr``), which hold thousands of files, are cleared by who makes them.
    """
    for folder in folders:
        for here, below, names in os.walk(folder):
            below[:] = [name for name in below if not name.endswith((".zarr", ".tmp"))]
            for name in names:
                if name.startswith(".") and name.endswith(".tmp"):
                    with suppress(OSError):  # another process may have been quicker
                        if time.time() - (Path(here) / name).stat().st_mtime > LEFT_OVER_S:
                            (Path(here) / name).unlink()


def sync_tree(folder: Path) -> None:
    """Put everything in ``folder`` on the disk, what is inside before what names it.

    A file that has other names is there: it was put there under the first of them. Windows could not: it syncs none that is for reading only.
    """
    for here, _, names in os.walk(folder, topdown=False):
        for name in names:
            if os.name != "nt" or (Path(here) / name).stat().st_nlink == 1:
                sync_file(Path(here) / name)
        sync_folder(Path(here))


def protect_tree(folder: Path) -> None:
    """Make all files in ``folder`` for reading only."""
    for here, _, names in os.walk(folder):
        for name in names:
            if stat.S_IMODE((Path(here) / name).stat().st_mode) != FOR_READING:
                (Path(here) / name).chmod(FOR_READING)


def sync_file(path: Path) -> None:
    """Put the contents of a file on the disk."""
    _sync(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk; Windows does that by itself."""
    if os.name != "nt":
        _sync(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Errors of reading, writing and syncing an open file name it: the operating system does not say which it was."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        with errors_naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
