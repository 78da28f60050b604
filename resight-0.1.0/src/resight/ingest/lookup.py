"""Finds the photo that a label or outline file means, although people move folders, write backslashes or `.jpg` for `.JPG`."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from resight.ingest.addresses import folder_of, is_remote, name_of
from resight.ingest.notes import Notes
from resight.ingest.sources import PhotoFile, Sidecar


class Lookup:
    """All photos of the sources by address."""

    def __init__(self, files: Sequence[PhotoFile]) -> None:
        self._exact = {f.address: f for f in files}
        self._folded: dict[str, list[PhotoFile]] = defaultdict(list)
        self._by_name: dict[str, list[PhotoFile]] = defaultdict(list)
        for file in files:
            folded = _fold(file.address)
            self._folded[folded].append(file)
            self._by_name[name_of(folded)].append(file)

    def match(self, sidecar: Sidecar, rows: Sequence[tuple[str, ...]], notes: Notes) -> list[PhotoFile | None]:
        """The photo of every row; notes those that are not there or fit several photos.

        Names count from the folder of the file that holds them. If not one of them is there, leading folders are taken off
        all of them alike until some are (the export was made elsewhere), but never the last one.
        """
        folder = folder_of(sidecar.address)
        depth = max((len(_parts(name)) for names in rows for name in names), default=0)
        for drop in range(max(1, depth - 1)):
            matches = [self._find(folder, names, drop) for names in rows]
            if any(matches):
                break
        else:
            matches = [[] for _ in rows]
        for names, photos in zip(rows, matches, strict=True):
            _note(sidecar, names, photos, notes)
        return [photos[0] if len(photos) == 1 else None for photos in matches]

    def _find(self, folder: str, names: tuple[str, ...], drop: int) -> list[PhotoFile]:
        return next((photos for name in names if (photos := self._find_name(folder, name, drop))), [])

    def _find_name(self, folder: str, name: str, drop: int) -> list[PhotoFile]:
        parts = _parts(name)[drop:]
        if not parts or (drop and len(parts) < 2):
            return []
        whole = name if is_remote(name) or posixpath.isabs(name) else posixpath.join(folder, *parts)
        if not drop and whole in self._exact:
            return [self._exact[whole]]
        wanted = _fold(posixpath.join(folder, *parts))
        if wanted in self._folded:
            return self._folded[wanted]
        below, tail = _fold(folder) + "/", "/" + _fold("/".join(parts))
        candidates = self._by_name.get(name_of(tail), [])
        return [f for f in candidates if _fold(f.address).startswith(below) and _fold(f.address).endswith(tail)]


def _parts(name: str) -> list[str]:
    return [p for p in posixpath.normpath(name.strip().replace("\\", "/")).split("/") if p not in ("", ".", "..")]


def _fold(text: str) -> str:
    """Same text for names that only differ in case or in how accents are stored (macOS splits them)."""
    return unicodedata.normalize("NFC", text).casefold()


def _note(sidecar: Sidecar, names: tuple[str, ...], photos: list[PhotoFile], notes: Notes) -> None:
    if len(photos) > 1:
        notes.add(
            f"{sidecar.address}: {{n}} entries fit several photos and are ignored ({{items}}); write the folder too.",
            names[0],
        )
    elif not photos and sidecar.whole_folder:
        notes.add(
            f"{sidecar.address}: {{n}} entries name photos that are not there ({{items}}); correct the names or add the photos.",
            names[0],
        )
