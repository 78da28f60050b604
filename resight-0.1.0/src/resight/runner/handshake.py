"""What a worker must have in common with the flow before it gets work: the code, the packages, the weights, the workspace.

Other code under the same settings would put other results under the same names, and nobody could tell them apart later.
"""

from __future__ import annotations

import hashlib
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Protocol

import resight.catalog
from resight.errors import REASON_CHARS, DeviceError
from resight.plugins.registry import GROUPS
from resight.store.listing import matching

PACKAGES = ("numpy", "scipy", "torch", "opencv", "pillow", "pi-heif", "kornia", "zarr", "numcodecs", "pyarrow")
# Where a worker lacks one that its block needs, the block says so; another version would give other results in silence.
OPTIONAL = ("onnxruntime", "transformers", "timm", "faiss-cpu")
OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
NOT_ON_WORKERS = {"cli", "flows", "tasks"}
CODE_ENDINGS = {".py", ".json"}
TOKEN_PREFIX = ".seen-by-workers-"
MISSING = "missing"
SHOWN_CHARS = 12


class ForeignWorker(DeviceError):
    """A worker has other code, packages or weights, or another workspace, so that its results could not be believed."""


class HasDigests(Protocol):
    """What finds weights files."""

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """SHA-256 by name."""
        ...


@dataclass(frozen=True)
class Needs:
    """What a run needs of every worker, beside the same code.

    Attributes:
        store: Folder of the workspace that every worker must see under this path; None: nothing is written there.
        weights: Finds weights on the worker.
        weight_names: Weights that the run loads.
        alone: Nobody else works in the workspace, so that tokens in it are of runs that were killed.
    """

    store: Path | None = None
    weights: HasDigests | None = None
    weight_names: tuple[str, ...] = field(default=())
    alone: bool = True


@cache
def code_digest() -> str:
    """Digest of the sources that a worker runs, as they were when this process was first asked."""
    root, catalog = Path(__file__).parents[1], Path(resight.catalog.__file__).parent
    files = {f"catalog/{file.relative_to(catalog)}": file for file in catalog.rglob("*")}
    for folder in root.iterdir():
        if folder.name not in NOT_ON_WORKERS:
            files |= {
                str(file.relative_to(root)): file for file in ([folder] if folder.is_file() else folder.rglob("*"))
            }
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        if file.suffix in CODE_ENDINGS:
            digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


@cache
def _versions() -> dict[str, str]:
    """Versions without what follows a plus sign: torch for GPUs and torch without have the same code."""
    versions = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for package in PACKAGES + OPTIONAL:
        names = OPENCV if package == "opencv" else (package,)
        versions[package] = next((v for v in map(_version, names) if v), MISSING)
    return versions


@cache
def _plug_ins() -> dict[str, str]:
    """Packages that add kinds, with their versions; their code runs in blocks as ours does."""
    points = [point for group in GROUPS for point in entry_points(group=group)]
    packages = {f"{point.dist.name} {point.dist.version}" if point.dist else point.value for point in points}
    return {"plug-ins": ", ".join(sorted(packages)) or "none"}


def _version(package: str) -> str:
    try:
        return version(package).split("+")[0]
    except PackageNotFoundError:
        return ""


def introduce(needs: Needs, token: Path | None) -> dict[str, str]:
    """What this process has, in words; equal on all workers that may work together.

    Args:
        needs: Of the run.
        token: File of the workspace, see `leave_token`.
    """
    return {"code": code_digest()} | _versions() | _plug_ins() | _weights(needs) | _workspace(token)


def _weights(needs: Needs) -> dict[str, str]:
    if needs.weights is None or not needs.weight_names:
        return {}
    try:
        digests = needs.weights.digests(needs.weight_names)
    except Exception as error:
        return {"weights": _in_words(error)}
    return {"weights": ", ".join(f"{name} {digest[:SHOWN_CHARS]}" for name, digest in sorted(digests.items()))}


def _workspace(token: Path | None) -> dict[str, str]:
    if token is None:
        return {}
    try:
        return {"workspace": token.read_text(encoding="utf-8")}
    except OSError as error:
        return {"workspace": _in_words(error)}


def _in_words(error: Exception) -> str:
    """As `errors.one_line`, but what fails on a worker's machine is for its refusal to say and ends no run."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:REASON_CHARS]


def leave_token(store: Path, alone: bool = True) -> Path:
    """A file in the store that only those can read who see the same folder; those of earlier runs go if ``alone``.

    Its name is new each time: a network file system may remember for a minute that a file was not there.
    """
    store.mkdir(parents=True, exist_ok=True)
    for earlier in matching(store, f"{TOKEN_PREFIX}*") if alone else ():
        earlier.unlink(missing_ok=True)
    token = store / f"{TOKEN_PREFIX}{uuid.uuid4().hex}"
    token.write_text(uuid.uuid4().hex, encoding="utf-8")
    return token


def differences(own: Mapping[str, str], theirs: Any, token: Path | None) -> list[str]:
    """What a worker has otherwise, in words; empty where it may work."""
    if not isinstance(theirs, Mapping):
        return [f"it cannot say what it has ({_in_words(theirs) if isinstance(theirs, Exception) else theirs})"]
    told = []
    for name, here in own.items():
        there = str(theirs.get(name, MISSING))
        if there == here or (name in OPTIONAL and MISSING in (there, here)):
            continue
        if name == "workspace":
            told.append(f"it does not see this workspace ({token} cannot be read there or is another file)")
        elif name == "code":
            told.append(f"it runs other code of Resight ({there[:SHOWN_CHARS]}, here {here[:SHOWN_CHARS]})")
        else:
            told.append(f"it has {name} {there} (here {here})")
    return told


def refusal(address: str, told: Iterable[str]) -> str:
    """The sentence about a worker that differs."""
    return (
        f"The Dask worker at {address} cannot take part: {'; '.join(told)}. Give it the same version of Resight and its packages, "
        "the same weights and the same workspace under the same path, start it again, then run the same command again."
    )


def guarded(function: Callable[[Any], Any], block: Any, code: str) -> Any:
    """Run a block if this process has the code of the flow; one that was started again may have another.

    Raises:
        ForeignWorker: It has another.
    """
    if code_digest() != code:
        from distributed import get_worker

        told = differences({"code": code}, {"code": code_digest()}, None)
        raise ForeignWorker(refusal(get_worker().address, told))
    return function(block)
