"""Tries what users install: the wheel, in empty environments of pip and of uv, as the pages say it.

`make try-install` builds the wheel and the source archive, installs the wheel with `pip install` into a new environment and with
`uv tool install` into another, and asks each installed `resight` for its version, its help, what `doctor` finds, and a night of the
demo. Nothing of the checkout is on the path. It needs a package index, about 3 GB of disk below --folder and some minutes; it
prints how long each step took, ends with 0 if all of them worked, and says which one did not.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, help="where to try it; a temporary folder, removed at the end, if not given"
    )
    parser.add_argument("--by", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--extra", action="append", default=[], help="extras to install too, e.g. s3")
    parser.add_argument("--torch-index", default=TORCH_INDEX, help="index with CPU builds of torch; '' for none")
    parser.add_argument(
        "--no-demo", action="store_true", help="leave out the night of the demo, which takes most of the time"
    )
    asked = parser.parse_args()
    folder = (asked.folder or Path(tempfile.mkdtemp(prefix="resight-install-"))).resolve()
    torch_index = asked.torch_index if answers(asked.torch_index) else ""
    if asked.torch_index and not torch_index:
        sys.stdout.write(
            f"{asked.torch_index} does not answer: torch comes from the package index, with CUDA on Linux\n"
        )
    try:
        wheel = step("build wheel and source archive", lambda: built(folder / "dist"))
        what = f"resight[{','.join(asked.extra)}] @ {wheel.as_uri()}" if asked.extra else str(wheel)
        for way in asked.by:
            place = folder / way
            program = step(f"{way}: install", lambda way=way, place=place: WAYS[way](place, what, torch_index))
            looked_at(way, program, place, demo=not asked.no_demo)
    except subprocess.CalledProcessError as failed:
        sys.stdout.write(f"failed: {' '.join(map(str, failed.cmd))}\n{failed.stdout or ''}{failed.stderr or ''}\n")
        return 1
    finally:
        if asked.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def answers(index: str) -> bool:
    """Whether there is an index and it answers; pip would go on without it after minutes, and uv would not."""
    if not index:
        return False
    try:
        urlopen(index, timeout=10).close()
    except HTTPError:  # a server that says 403 or 404 to its first page is there
        return True
    except (OSError, ValueError):
        return False
    return True


def built(dist: Path) -> Path:
    """The wheel, made from the source archive as a release is."""
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, ROOT])
    return next(dist.glob("*.whl"))


def by_pip(place: Path, what: str, torch_index: str) -> Path:
    """``python -m venv`` and ``pip install``."""
    venv.create(place, with_pip=True, clear=True)
    binaries = place / ("Scripts" if os.name == "nt" else "bin")
    index = ["--extra-index-url", torch_index] if torch_index else []
    run([binaries / "python", "-m", "pip", "install", "--quiet", *index, what])
    run([binaries / "python", "-m", "pip", "check"])
    return binaries / "resight"


def by_uv(place: Path, what: str, torch_index: str) -> Path:
    """``uv tool install``."""
    environment = {"UV_TOOL_DIR": str(place / "tools"), "UV_TOOL_BIN_DIR": str(place / "bin")}
    index = ["--index", torch_index, "--index-strategy", "unsafe-best-match"] if torch_index else []
    run([sys.executable, "-m", "uv", "tool", "install", "--quiet", *index, what], environment)
    return place / "bin" / "resight"


WAYS: dict[str, Callable[[Path, str, str], Path]] = {"pip": by_pip, "uv": by_uv}


def looked_at(way: str, program: Path, place: Path, *, demo: bool) -> None:
    """Whether the installed program works, in a folder of its own."""
    here = place / "try"
    here.mkdir(parents=True)
    step(
        f"{way}: --version and --help",
        lambda: (run([program, "--version"], at=here), run([program, "--help"], at=here)),
    )
    step(f"{way}: init", lambda: run([program, "init", "season"], at=here))
    step(f"{way}: doctor", lambda: run([program, "doctor", "--workspace", "season"], at=here))
    if demo:
        result = json.loads(
            step(f"{way}: demo", lambda: run([program, "demo", "--workspace", "demo", "--json"], at=here))
        )
        sys.stdout.write(f"{way}: the demo ended with {result['status']}, {result['decisions']}\n")


def step(name: str, work: Callable[[], T]) -> T:
    """Do ``work`` and print how long it took."""
    start = time.perf_counter()
    done = work()
    sys.stdout.write(f"{name}: {time.perf_counter() - start:.0f} s\n")
    sys.stdout.flush()
    return done


def run(command: list[object], more: dict[str, str] | None = None, at: Path | None = None) -> str:
    """Run without anything of this environment on the path of Python; gives what it prints."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RESIGHT_", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command],
        env=inherited | (more or {}),
        cwd=at,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
