"""The locks in requirements/ as data: what is pinned, for which platforms, with which digests, and who requires it.

`make lock` writes them, `make setup` and the image install from them; the bill of materials and the check of advisories
read them through this module.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "requirements"
RUNTIME = LOCKS / "runtime.txt"
DEVELOPMENT = LOCKS / "development.txt"
TORCH_CPU = LOCKS / "torch-cpu.txt"
TORCH_CUDA = LOCKS / "torch-cuda.txt"


@dataclass(frozen=True)
class Pin:
    """One package of a lock."""

    name: str  # in its canonical form
    version: str
    marker: str  # on which platforms and Python versions; empty for all
    digests: tuple[str, ...]  # SHA-256 of every file of this version, in hexadecimal
    required_by: tuple[str, ...]  # packages, or resight itself


def read(path: Path) -> list[Pin]:
    """The pins of a lock, in its order.

    Raises:
        ValueError: A line pins no single version, or a package has no digest.
    """
    text = path.read_text(encoding="utf-8")
    return [_pin(entry, path) for entry in re.split(r"\n(?=[^\s#])", "\n" + text) if entry.strip() and entry[0] != "\n"]


def _pin(entry: str, path: Path) -> Pin:
    line = entry.splitlines()[0].partition("--hash")[0].rstrip("\\ ")
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        raise ValueError(f"{path}: {line!r} is no requirement; write the lock again with make lock") from error
    exact = re.fullmatch(r"==([^,*]+)", str(requirement.specifier))
    digests = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))
    if exact is None or not digests:
        raise ValueError(f"{path}: {line!r} has no exact version or no digest; write the lock again with make lock")
    via = entry.partition("# via")[2].replace("#", " ")
    requirers = re.sub(r"(-r )?\S*(pyproject\.toml|pins\.in)\S*|\(|\)", " ", via).split()
    return Pin(
        canonicalize_name(requirement.name),
        exact[1],
        str(requirement.marker or ""),
        digests,
        tuple(sorted({canonicalize_name(name) for name in requirers})),
    )
