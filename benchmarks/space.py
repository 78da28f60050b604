"""What a folder takes on the disk."""

from __future__ import annotations

from pathlib import Path


def space(folder: Path) -> tuple[int, int]:
    """Files below a folder and their bytes; a file with several names, which runs share, counts once, and links do not count."""
    states = [file.lstat() for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    sizes = {(state.st_dev, state.st_ino): state.st_size for state in states}
    return len(sizes), sum(sizes.values())
