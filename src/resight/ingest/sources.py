"""Finds the photos, and the label and outline files beside them, in folders, files, globs and fsspec addresses."""

from __future__ import annotations

import glob
import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight.errors import SettingsError
from resight.ingest.addresses import (
    LOCAL_PROTOCOLS,
    filesystem,
    folder_of,
    is_remote,
    local_source,
    name_of,
    text_of,
    uri_of,
)
from resight.ingest.notes import Notes
from resight.ingest.reasons import raise_if_machine
from resight.ingest.versions import version_of
from resight.store.workspace import Workspace

SIDECAR_ENDINGS = (".csv", ".json", ".xlsx", ".xls")
CAMERA_ENDINGS = {
    ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".gif", ".bmp", ".avif",
    ".mov", ".mp4", ".avi", ".mts", ".zip", ".rar", ".7z",
}  # fmt: skip
SYSTEM_NAMES = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"}
VERSION_KEYS = ("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True)
class PhotoFile:
    """A photo file.

    Attributes:
        uri: Name in the tables.
        address: Where it lies now.
        size_bytes: As the file system says.
        version: Changes whenever the content may have changed; empty where nobody can tell, then it is read every time.
    """

    uri: str
    address: str
    size_bytes: int
    version: str


@dataclass(frozen=True)
class Sidecar:
    """A label or outline file. ``whole_folder`` says whether all photos of its folder were looked for."""

    address: str
    whole_folder: bool


@dataclass(frozen=True)
class Listing:
    """What the sources hold, each sorted."""

    photos: tuple[PhotoFile, ...]
    sidecars: tuple[Sidecar, ...]


@dataclass(frozen=True)
class _Entry:
    address: str
    size_bytes: int
    version: str
    named: bool = False
    whole_folder: bool = True


def list_files(workspace: Workspace, sources: Sequence[str], extensions: Sequence[str], notes: Notes) -> Listing:
    """List all sources; a file that several of them hold is there once.

    Raises:
        SettingsError: A source does not exist or cannot be listed.
    """
    entries: dict[str, _Entry] = {}
    for source in sources:
        for entry in _entries(source, workspace, notes):
            listed = entries.get(entry.address)
            if listed is None or (entry.whole_folder and not listed.whole_folder):
                entries[entry.address] = entry
    endings = tuple(e.lower() for e in extensions)
    photos = [e for e in entries.values() if _is_photo(e, endings)]
    sidecars = [
        Sidecar(e.address, e.whole_folder) for e in entries.values() if e.address.lower().endswith(SIDECAR_ENDINGS)
    ]
    _note_passed_over(entries.values(), endings, notes)
    files = [PhotoFile(uri_of(e.address, workspace.root), e.address, e.size_bytes, e.version) for e in photos]
    return Listing(tuple(sorted(files, key=lambda f: f.uri)), tuple(sorted(sidecars, key=lambda s: s.address)))


def _is_photo(entry: _Entry, endings: tuple[str, ...]) -> bool:
    lower = entry.address.lower()
    return lower.endswith(endings) or (entry.named and not lower.endswith(SIDECAR_ENDINGS))


def _note_passed_over(entries: Iterable[_Entry], endings: tuple[str, ...], notes: Notes) -> None:
    passed = Counter(posixpath.splitext(e.address)[1].lower() for e in entries if not _is_photo(e, endings))
    kinds = [f"{ending} ({n})" for ending, n in sorted(passed.items()) if ending in CAMERA_ENDINGS]
    if kinds:
        notes.add(
            "Files with these endings are not read: {items}; export them as JPEG, PNG, WebP, TIFF or HEIC.",
            ", ".join(kinds),
        )


def _entries(source: str, workspace: Workspace, notes: Notes) -> Iterator[_Entry]:
    if is_remote(source) and not source.startswith(LOCAL_PROTOCOLS):
        return _remote(source)
    return _local(source, workspace, notes)


def _local(source: str, workspace: Workspace, notes: Notes) -> Iterator[_Entry]:
    path = local_source(source, workspace.root)
    if path.is_dir():
        yield from _walk(path, workspace, notes)
    elif path.exists():
        yield from _named_files([path], named=True)
    elif glob.has_magic(str(path)):
        base = _fixed_part(path)
        hits = [
            Path(hit) for hit in sorted(glob.glob(str(path), recursive=True)) if not _hidden(os.path.relpath(hit, base))
        ]
        if not hits:
            raise SettingsError(
                text_of(f"Nothing fits the source {source} (looked for {path}); correct it in ingest.sources.")
            )
        for folder in (hit for hit in hits if hit.is_dir()):
            yield from _walk(folder, workspace, notes)
        yield from _named_files([hit for hit in hits if not hit.is_dir()], named=False)
    else:
        raise SettingsError(
            text_of(
                f"The source {source} does not exist (looked for {path}); make the folder or correct ingest.sources."
            )
        )


def _fixed_part(pattern: Path) -> Path:
    """The folder above the first wildcard."""
    return next((p for p in pattern.parents if not glob.has_magic(str(p))), pattern)


def _walk(top: Path, workspace: Workspace, notes: Notes) -> Iterator[_Entry]:
    """All files below a folder; links are followed, but no folder is walked twice."""
    rooms = (
        workspace.store,
        workspace.runs,
        workspace.current,
        workspace.generations,
        workspace.models,
        workspace.decisions,
    )
    own = {os.path.abspath(p) for p in rooms}
    seen: set[str] = set()

    def complain(error: OSError) -> None:
        raise_if_machine(error, str(top))
        notes.add(
            "Folders that cannot be read were passed over: {items}; check their permissions.",
            str(error.filename),
            not_read=str(top) if str(error.filename) == str(top) else "",  # but not lost+found and the like in it
        )

    for folder, subfolders, files in os.walk(top, followlinks=True, onerror=complain):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(s for s in subfolders if not _hidden(s) and os.path.join(folder, s) not in own)
        yield from (_local_entry(os.path.join(folder, f)) for f in sorted(files) if not _hidden(f))


def _named_files(paths: Sequence[Path], named: bool) -> Iterator[_Entry]:
    """Single files, and the label files that lie beside them."""
    for path in paths:
        yield _local_entry(path, named, whole_folder=False)
    for folder in sorted({path.parent for path in paths}):
        beside = (p for p in sorted(folder.iterdir()) if p.suffix.lower() in SIDECAR_ENDINGS and p not in paths)
        yield from (_local_entry(p, whole_folder=False) for p in beside if not _hidden(p.name))


def _local_entry(path: str | Path, named: bool = False, whole_folder: bool = True) -> _Entry:
    address = text_of(os.fspath(path).replace(os.sep, "/"))
    try:
        stat = os.stat(path)
    except OSError as error:  # a dead link, or deleted this moment: opening it will say so
        raise_if_machine(error, address)
        return _Entry(address, 0, "", named, whole_folder)
    return _Entry(address, stat.st_size, version_of(stat), named, whole_folder)


def _remote(source: str) -> Iterator[_Entry]:
    fs, path = filesystem(source)
    fs.invalidate_cache()
    try:
        if fs.exists(path):
            base, named = (path if fs.isdir(path) else folder_of(path)), not fs.isdir(path)
            hits: Mapping[str, Any] = {path: fs.info(path)} if named else fs.find(path, detail=True)
        else:
            hits, base, named = (fs.glob(path, detail=True) if glob.has_magic(path) else {}), "", False
            hits = {name: info for name, info in hits.items() if info.get("type") != "directory"}
    except OSError as error:
        raise SettingsError(
            f"The source {source} cannot be listed ({error}); check the address and your access to it."
        ) from None
    if not hits and not (base and not named):
        raise SettingsError(f"The source {source} does not exist; correct it in ingest.sources.")
    for name, info in sorted(hits.items()):
        if not _hidden(name[len(base) :] if base else name_of(name)):
            yield _Entry(
                fs.unstrip_protocol(name),
                int(info.get("size") or 0),
                _version(info),
                named,
                whole_folder=bool(base) and not named,
            )


def _version(info: Mapping[str, Any]) -> str:
    return next((str(info[key]) for key in VERSION_KEYS if info.get(key)), "")


def _hidden(path: str) -> bool:
    """Whether any part of a relative path is hidden or belongs to an operating system."""
    parts = [p for p in path.replace(os.sep, "/").split("/") if p not in ("", ".", "..")]
    return any(part.startswith(".") or part.lower() in SYSTEM_NAMES for part in parts)
