"""What it costs that files prove that they are whole: the share of a night's CPU time that goes into their digests.

Runs a first night, a night with new photos and a night with none, each in a process of its own (whatever is read is
checked when a process first reads it), in one thread. Counted is every digest that is computed, for reading and for
writing, of chunks, whole files and JSON, also those that name photos, and the reading of what is read for them: of whole files that are
compared, and of footers with the digests before them. What checked reads cost is at most that.

    python benchmarks/bench_checked_reads.py PHOTOS        # a folder with metadata.csv or outlines, as for `resight init`
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Clock:
    """CPU seconds of one thread in the functions that it wraps; what runs inside another wrapped one counts once."""

    def __init__(self) -> None:
        self.seconds, self.digests, self._inside = 0.0, 0, False

    def wrap(self, function: Any, digests: int = 0) -> Any:
        """The function, timed; a call of it works out so many digests beside those of `Digest`."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.digests += digests
            if self._inside:
                return function(*args, **kwargs)
            self._inside, begun = True, time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.thread_time() - begun
                self._inside = False

        return timed

    def leave_out(self, function: Any) -> Any:
        """The function, whose time does not count inside one that is timed."""

        def untimed(*args: Any, **kwargs: Any) -> Any:
            begun = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds -= time.thread_time() - begun

        return untimed


class Digest:
    """A SHA-256 whose every step is timed."""

    def __init__(self, clock: Clock, data: Any = b"") -> None:
        self._digest = clock.wrap(SHA256, digests=1)(data)
        self.update = clock.wrap(self._digest.update)
        self.digest, self.hexdigest = clock.wrap(self._digest.digest), clock.wrap(self._digest.hexdigest)


SHA256 = hashlib.sha256


def night(workspace: Path, day: str) -> dict[str, float]:
    """Run a night here and say what it took."""
    import resight
    from resight.store import chunks, sealed

    clock = Clock()
    hashlib.sha256 = lambda data=b"", **_: Digest(clock, data)  # type: ignore[assignment]
    hashlib.file_digest = clock.wrap(hashlib.file_digest, digests=1)
    for module, name in ((sealed, "check"), (sealed, "_json_digest"), (chunks, "sealed")):
        setattr(module, name, clock.wrap(getattr(module, name)))
    for name in ("compare", "compare_all"):
        setattr(chunks.Footer, name, clock.wrap(getattr(chunks.Footer, name)))
    count_footers(clock)
    begun = time.process_time()
    sources = [str(workspace.parent / "photos")]
    resight.run_nightly(workspace, night=day, overrides={"dask.mode": "inline"}, sources=sources, quiet=True)
    return {"cpu_s": time.process_time() - begun, "digests_s": clock.seconds, "digests": clock.digests}


def count_footers(clock: Clock) -> None:
    """Count the reading of footers and of the digests before them, but not what a footer says: every reader of Parquet asks it that."""
    from resight.store import chunks

    parquet, read_footer = chunks.pq, clock.wrap(chunks.read_footer)
    asked = SimpleNamespace(read_metadata=clock.leave_out(parquet.read_metadata))

    def counted(file: Path) -> Any:
        chunks.pq = asked
        try:
            return read_footer(file)
        finally:
            chunks.pq = parquet

    chunks.read_footer = counted


def main() -> None:
    """Three nights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--night", nargs=2, metavar=("WORKSPACE", "DAY"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.night:
        print(json.dumps(night(Path(chosen.night[0]), chosen.night[1])))
        return
    place = Path(tempfile.mkdtemp(prefix="resight-checked-"))
    try:
        measure(chosen.photos, place)
    finally:
        shutil.rmtree(place)


def measure(photos: Path, place: Path) -> None:
    """Print a line for each night."""
    from resight.settings.init import init_workspace

    shutil.copytree(photos, place / "photos")
    found = sorted(p for p in (place / "photos").rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    kept = found[-max(1, len(found) // 10) :]
    for photo in kept:
        photo.rename(place / photo.name)
    workspace = place / "workspace"
    init_workspace(workspace)
    nights = (("first night", "2026-06-04"), (f"{len(kept)} new photos", "2026-06-05"), ("no new photo", "2026-06-06"))
    for name, day in nights:
        if day == "2026-06-05":
            for photo in kept:
                (place / photo.name).rename(photo)
        command = [sys.executable, __file__, str(photos), "--night", str(workspace), day]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        took = json.loads(said)
        share = took["digests_s"] / took["cpu_s"]
        print(
            f"{name:>14}: {took['cpu_s']:8.1f} CPU s, {took['digests']:7.0f} digests {took['digests_s']:7.3f} CPU s, {share:.2%}"
        )


if __name__ == "__main__":
    main()
