"""Writes the locks in requirements/ from pyproject.toml: versions and digests for every platform and Python version.

`make lock` keeps each version that still fits; `make lock UPGRADE=yes` takes the newest of each, except torch: its
version is the one of requirements/torch-cpu.sha256, because the CPU builds come from an index of their own, whose
digests no other index tells.

- development.txt: what `make setup` installs, with what builds the package.
- runtime.txt: Resight with the extra `analysis`, what the image installs. The same versions.
- cuda.txt: libraries that only the CUDA build of torch on Linux needs.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from pins import CUDA, DEVELOPMENT, LOCKS, ROOT, RUNTIME

BUILD = ROOT / "build" / "lock"
CPU_BUILDS = LOCKS / "torch-cpu.sha256"
HEAD = "# Written by make lock from pyproject.toml: {what}.\n"
# The documentation's packages need Python 3.11.5; Resight itself runs on 3.11.0.
OLDEST = {"dev": "3.11.5", "analysis": "3.11"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="the newest versions that fit, instead of those that the locks have")
    upgrade = parser.parse_args().upgrade
    BUILD.mkdir(parents=True, exist_ok=True)
    version, cpu_digests = cpu_builds(CPU_BUILDS.read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = BUILD / "pins.in"
    pins.write_text("\n".join([*project["build-system"]["requires"], f"torch=={version}"]) + "\n", encoding="utf-8")
    before = "".join(path.read_text(encoding="utf-8") for path in (DEVELOPMENT, CUDA) if path.exists())
    everything = compiled("dev", pins, before, upgrade)
    development, cuda = without_cuda(with_digests(everything, version, cpu_digests))
    runtime, _ = without_cuda(with_digests(compiled("analysis", pins, everything, False), version, cpu_digests))
    DEVELOPMENT.write_text(HEAD.format(what="Resight and all that its tests, pages and checks need") + development, encoding="utf-8")
    RUNTIME.write_text(HEAD.format(what="Resight with the extra analysis") + runtime, encoding="utf-8")
    CUDA.write_text(HEAD.format(what="what the CUDA build of torch needs on Linux") + cuda, encoding="utf-8")
    return 0


def compiled(extra: str, pins: Path, before: str, upgrade: bool) -> str:
    """A lock by uv for all platforms, with the versions of the lock ``before`` where they still fit."""
    out = BUILD / f"{extra}.txt"
    out.write_text(before, encoding="utf-8")
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--universal", "--generate-hashes"),
            *("--python-version", OLDEST[extra], "--fork-strategy", "fewest", "--no-header", "--extra", extra),
            *("--output-file", str(out.relative_to(ROOT)), *(["--upgrade"] if upgrade else [])),
            *("pyproject.toml", str(pins.relative_to(ROOT))),
        ],
        cwd=ROOT,
        check=True,
    )
    return out.read_text(encoding="utf-8")


def cpu_builds(text: str) -> tuple[str, list[str]]:
    """The version of torch and the digests of its CPU builds, from lines as sha256sum writes them."""
    rows = [line.split() for line in text.splitlines()]
    (version,) = {name.split("-")[1].removesuffix("+cpu") for _, name in rows}
    return version, sorted(digest for digest, _ in rows)


def with_digests(lock: str, version: str, digests: list[str]) -> str:
    """The lock with these digests under torch, beside those of the package index."""
    head = f"\ntorch=={version} \\\n"
    if head not in lock:
        raise SystemExit(f"{CPU_BUILDS} lists builds of torch {version}, but the lock has another version: write the digests of that one there.")
    return lock.replace(head, head + "".join(f"    --hash=sha256:{digest} \\\n" for digest in digests))


def without_cuda(lock: str) -> tuple[str, str]:
    """The lock in two: without, and only, the packages for Linux that nothing but torch requires, directly or not."""
    entries = [entry for entry in re.split(r"\n(?=[^\s#])", lock.strip()) if entry]
    names = [re.split(r"[=\[]", entry, maxsplit=1)[0] for entry in entries]
    requirers = [set(entry.partition("# via")[2].replace("#", " ").split()) for entry in entries]
    linux = ["sys_platform == 'linux'" in entry.splitlines()[0] for entry in entries]
    cuda: set[str] = set()
    while True:
        more = {name for name, by, on in zip(names, requirers, linux, strict=True) if on and by and by <= cuda | {"torch"}}
        if more <= cuda:
            break
        cuda |= more
    halves = [[e for e, n in zip(entries, names, strict=True) if (n in cuda) == wanted] for wanted in (False, True)]
    return "\n".join(halves[0]) + "\n", "\n".join(halves[1]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
