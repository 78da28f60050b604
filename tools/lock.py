"""Writes the locks in requirements/ from pyproject.toml: versions and digests for every platform and Python version.

`make lock` keeps each version that still fits; `make lock UPGRADE=yes` takes the newest of each, except torch: its
version is the one of requirements/torch-cpu.sha256, because the CPU builds come from an index of their own, whose
digests no other index tells.

- development.txt: what `make setup` installs, with what builds the package.
- runtime.txt: Resight with the extra `image`, what the image installs. The same versions.
- torch-cpu.txt: torch alone, on Linux a CPU build. Elsewhere the one build that there is.
- torch-cuda.txt: instead of it on Linux with an NVIDIA GPU, torch from the package index and the libraries that it needs.

torch has files of its own because pip prefers a file whose digest an index tells, so that a CPU build in a folder would
lose against the CUDA build of the package index under one pin for both.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from pins import DEVELOPMENT, LOCKS, ROOT, RUNTIME, TORCH_CPU, TORCH_CUDA

BUILD = ROOT / "build" / "lock"
CPU_BUILDS = LOCKS / "torch-cpu.sha256"
# The documentation's packages need Python 3.11.5; Resight itself runs on 3.11.0.
OLDEST = {"dev": "3.11.5", "image": "3.11"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--upgrade", action="store_true", help="the newest versions that fit, instead of those that the locks have"
    )
    upgrade = parser.parse_args().upgrade
    BUILD.mkdir(parents=True, exist_ok=True)
    version, cpu_digests = cpu_builds(CPU_BUILDS.read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = BUILD / "pins.in"
    pins.write_text("\n".join([*project["build-system"]["requires"], f"torch=={version}"]) + "\n", encoding="utf-8")
    before = "".join(path.read_text(encoding="utf-8") for path in (DEVELOPMENT, TORCH_CUDA) if path.exists())
    everything = compiled("dev", pins, before, upgrade)
    development, cuda, torch = parted(everything)
    runtime, _, _ = parted(compiled("image", pins, everything, False))
    _write(DEVELOPMENT, "Resight and all that its tests, pages and checks need, but for torch", development)
    _write(RUNTIME, "Resight with the extra image, but for torch", runtime)
    _write(TORCH_CPU, "torch, on Linux a CPU build of torch-cpu.sha256", on_every_platform(torch, version, cpu_digests))
    _write(TORCH_CUDA, "torch with CUDA for Linux, and the libraries that it needs", [torch, *cuda])
    return 0


def _write(path: Path, what: str, entries: list[str]) -> None:
    path.write_text("\n".join([f"# Written by make lock from pyproject.toml: {what}.", *entries, ""]), encoding="utf-8")


def compiled(extra: str, pins: Path, before: str, upgrade: bool) -> str:
    """A lock by uv for all platforms, with the versions of the lock ``before`` where they still fit."""
    out = BUILD / f"{extra}.txt"
    # uv would keep the digests of before as well, and so never learn of a file that came later.
    out.write_text(
        "".join(f"{pin}\n" for pin in re.findall(r"^[\w.-]+==[^ \n]+", before, re.MULTILINE)), encoding="utf-8"
    )
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "uv",
                "pip",
                "compile",
                "--quiet",
                "--no-config",
                "--universal",
                "--generate-hashes",
            ),
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


def on_every_platform(torch: str, version: str, cpu_digests: list[str]) -> list[str]:
    """The entry of torch in two: a CPU build on Linux, and the build of the package index elsewhere."""
    head, rest = f"torch=={version}", torch.partition(" \\\n")[2]
    if torch.splitlines()[0] != head + " \\":
        raise SystemExit(
            f"{CPU_BUILDS} lists builds of torch {version}, but another one fits: list the digests of that one there."
        )
    lines = [f"{head}+cpu ; sys_platform == 'linux'", *(f"    --hash=sha256:{digest}" for digest in cpu_digests)]
    return [" \\\n".join(lines), f"{head} ; sys_platform != 'linux' \\\n{rest}"]


def parted(lock: str) -> tuple[list[str], list[str], str]:
    """The entries of a lock in three: most, those for Linux that nothing but torch requires (directly or not), torch."""
    entries = [entry for entry in re.split(r"\n(?=[^\s#])", lock.strip()) if entry]
    names = [re.split(r"[=\[ ]", entry, maxsplit=1)[0] for entry in entries]
    requirers = [set(entry.partition("# via")[2].replace("#", " ").split()) for entry in entries]
    linux = ["sys_platform == 'linux'" in entry.splitlines()[0] for entry in entries]
    cuda: set[str] = set()
    while True:
        more = {
            name for name, by, on in zip(names, requirers, linux, strict=True) if on and by and by <= cuda | {"torch"}
        }
        if more <= cuda:
            break
        cuda |= more
    by_name = dict(zip(names, entries, strict=True))
    most = [entry for name, entry in by_name.items() if name not in cuda | {"torch"}]
    return most, [by_name[name] for name in sorted(cuda)], by_name["torch"]


if __name__ == "__main__":
    sys.exit(main())
