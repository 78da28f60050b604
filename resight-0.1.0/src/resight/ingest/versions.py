"""The version of a file on this machine: what changes whenever its content may have changed.

Size and time of change are not enough: a program that repairs pictures or writes labels into them may set the time back.
Every write, and every file that takes the place of another one, also changes the time of the last change of the inode
(ctime), which nobody can set, or the inode's number. Both are in the version where the file system keeps them: file systems
of memory cards (FAT, exFAT) and those in user space make inode numbers up anew at every mount, so that all photos would be
read again every night.

A version that changed without the content (chmod, another link, a restored backup) costs reading the file once; nothing is
decoded again. Stores made before hold the time alone. It counts as known as long as no full version of that file is kept.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

MADE_UP_INODES = ("vfat", "msdos", "exfat", "fuse", "9p")
MOUNTS = Path("/proc/self/mountinfo")
SEPARATOR = "-"


def version_of(stat: os.stat_result) -> str:
    """Time of change, and the inode's time and number where they last; nanoseconds."""
    if not stat.st_ino or _makes_inodes_up(stat.st_dev):
        return str(stat.st_mtime_ns)
    return SEPARATOR.join(str(number) for number in (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))


def time_in(version: str) -> str:
    """The time of change alone, which was the whole version before."""
    sign = SEPARATOR if version.startswith(SEPARATOR) else ""  # before 1970
    return sign + version.removeprefix(SEPARATOR).partition(SEPARATOR)[0]


@cache
def _makes_inodes_up(device: int) -> bool:
    """Whether numbers of inodes on this device do not outlive a mount; unknown devices count as good ones."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = (line.partition(" - ")[2] for line in lines if line.split(maxsplit=3)[2:3] == [number])
    return any(kind.startswith(MADE_UP_INODES) for kind in kinds)
