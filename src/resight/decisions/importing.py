"""Names that somebody has already: in folders, workbooks, CSV files, exports of Wildbook and SeaTurtleID. Shown first, counted when agreed to."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight.decisions.names import doubtful_pairs, similar
from resight.errors import SettingsError, WorkspaceError
from resight.ingest.addresses import is_remote, local_source, name_of
from resight.ingest.labels import Entry, read_metadata, read_table
from resight.ingest.lookup import Lookup
from resight.ingest.notes import Notes
from resight.ingest.sidecars import METADATA_NAMES
from resight.ingest.sources import PhotoFile, Sidecar, list_files
from resight.ingest.wildbook import is_wildbook, read_wildbook
from resight.store.durable import write_bytes
from resight.store.workspace import Workspace
from resight.wording import counted

TARGET = "metadata.csv"
COLUMNS = ("file", "individual_id", "taken_at", "encounter_id", "viewpoint")
DATE = re.compile(r"(?:.*\D)?(?:19|20)\d\d(?:\D?(?:0?[1-9]|1[0-2])(?:\D?\d{1,2})?)?(?:\D.*)?", re.DOTALL)
NO_NAMES = re.compile(
    r"(?:\d+|.*(?:unknown|unbekannt|new|unnamed|unsorted|todo|misc|dcim|dive|site|beach|photos?|images?|pictures?|export).*)", re.IGNORECASE
)  # fmt: skip
SHOWN = 6


@dataclass(frozen=True)
class Found:
    """What was understood.

    Attributes:
        kind: ``folders``, or the file that the names are in.
        entries: What is said of each photo, by its path below the folder; photos without a name are not in it.
        doubts: Sentences about names that are perhaps none, or misspelt.
        left_out: Names that are left out unless they are asked for, with how many photos each has.
        n_photos: Photos in the folder.
    """

    kind: str
    entries: Mapping[str, Mapping[str, str]]
    doubts: Sequence[str]
    left_out: Mapping[str, int]
    n_photos: int

    @property
    def animals(self) -> dict[str, int]:
        """Photos by name."""
        return dict(sorted(Counter(row["individual_id"] for row in self.entries.values()).items()))


def look(
    workspace: Workspace, folder: Path, extensions: Sequence[str], known: Sequence[str], keep: Sequence[str] = ()
) -> Found:
    """Read the names in a folder; changes nothing.

    Args:
        workspace: Where relative paths begin.
        folder: With photos in it.
        extensions: Endings of photos.
        known: Names of animals in the workspace, for spelling.
        keep: Names that are names although they do not look so.

    Raises:
        WorkspaceError: It is no folder, or there are no photos in it.
    """
    folder = _as_listed(folder)
    if not folder.is_dir():
        raise WorkspaceError(f"{folder} is not a folder; name the one with the photos.")
    notes = Notes()
    listing = list_files(workspace, [str(folder)], extensions, notes)
    if not listing.photos:
        raise WorkspaceError(f"There are no photos in {folder}; name the folder that holds them.")
    kind, rows = _from_files(listing.sidecars, listing.photos, folder, notes)
    if not rows:
        kind, rows = "folders", _from_folders(listing.photos, folder)
    left_out, doubts = _doubtful(rows, known, keep, kind)
    kept = {file: row for file, row in rows.items() if row["individual_id"] not in left_out}
    return Found(kind, kept, [*notes.sentences(), *doubts], left_out, len(listing.photos))


def take_over(folder: Path, found: Found) -> Path:
    """Write what was understood as ``metadata.csv`` into the folder, which every run reads from then on.

    Raises:
        SettingsError: There is such a file already, or there are no names.
    """
    target = folder / TARGET
    if not found.entries:
        raise SettingsError(f"No names were found in {folder}, so nothing is written.")
    if target.exists():
        raise SettingsError(f"{target} is there already and every run reads it; nothing is written over it.")
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({"file": file} | dict(row) for file, row in sorted(found.entries.items()))
    write_bytes(target, text.getvalue().encode())
    return target


def is_read(workspace: Workspace, folder: Path, sources: Sequence[str]) -> bool:
    """Whether runs read the folder: it is one of their sources, or lies in one; a table above a source counts for nothing."""
    place = _as_listed(folder)
    roots = [local_source(s, workspace.root) for s in sources if not is_remote(s)]
    return any(place.is_relative_to(root) or place.resolve().is_relative_to(root.resolve()) for root in roots)


def _as_listed(folder: Path) -> Path:
    """The folder as files in it are listed: absolute, and without ``..``."""
    return Path(os.path.abspath(folder.expanduser()))


def _from_folders(photos: Sequence[PhotoFile], folder: Path) -> dict[str, dict[str, str]]:
    """The folder that a photo lies in names the animal; photos at the top have no name."""
    rows = {}
    for photo in photos:
        path = Path(photo.address).relative_to(folder)
        if len(path.parts) > 1:
            rows[path.as_posix()] = {"individual_id": path.parts[0]}
    return rows


def _from_files(
    sidecars: Sequence[Sidecar], photos: Sequence[PhotoFile], folder: Path, notes: Notes
) -> tuple[str, dict[str, dict[str, str]]]:
    names, rows = [], {}
    for sidecar in sidecars:
        entries = _entries(sidecar.address, notes)
        files = Lookup(photos).match(sidecar, [entry.names for entry in entries], notes) if entries else []
        for entry, file in zip(entries, files, strict=True):
            if file is not None and entry.label.individual_id:
                rows[Path(file.address).relative_to(folder).as_posix()] = _row(entry)
                names.append(name_of(sidecar.address))
    return ", ".join(dict.fromkeys(names)), rows


def _entries(address: str, notes: Notes) -> list[Entry]:
    lower = name_of(address).casefold()
    if lower.endswith(".xlsx"):
        table = _workbook(address, notes)
    elif lower.endswith(".csv"):
        table = read_table(Path(address).read_bytes(), address, notes if lower in METADATA_NAMES else Notes())
    else:
        return []
    if table and is_wildbook(table[0]):
        return list(read_wildbook(table, address, notes))
    return list(read_metadata(table, address, Notes())) if table else []


def _workbook(address: str, notes: Notes) -> list[dict[str, str]]:
    """Rows of the first sheet, as `read_table` gives them."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        notes.add(
            "Workbooks need one more package: {items}; `pip install 'resight[export]'`, or save them as CSV.", address
        )
        return []
    try:
        book = load_workbook(address, read_only=True, data_only=True)
        lines = [["" if cell is None else str(cell).strip() for cell in line] for line in book.worksheets[0].values]
    except Exception as error:  # openpyxl raises what it likes on files that are no workbooks
        notes.add("Workbooks that cannot be read: {items}; save them as CSV.", f"{address}: {error}")
        return []
    head = [name.casefold() for name in lines[0]] if lines else []
    rows = [dict(zip(head, line, strict=False)) for line in lines[1:]]
    return [{k: v for k, v in row.items() if k} for row in rows if any(row.values())]


def _row(entry: Entry) -> dict[str, str]:
    label = entry.label
    when = label.taken_at or label.taken_on
    said = {"individual_id": label.individual_id, "encounter_id": label.encounter_id, "viewpoint": label.viewpoint}
    return {k: str(v) for k, v in (said | {"taken_at": when}).items() if v}


def _doubtful(
    rows: Mapping[str, Mapping[str, str]], known: Sequence[str], keep: Sequence[str], kind: str
) -> tuple[dict[str, int], list[str]]:
    """Names that look like something else, which are left out, and sentences about them and about spelling."""
    photos_of = Counter(row["individual_id"] for row in rows.values())
    left_out: dict[str, int] = {}
    doubts = []
    for name, n in sorted(photos_of.items()) if kind == "folders" else ():
        what = "a date" if DATE.fullmatch(name) else "no name of an animal" if NO_NAMES.fullmatch(name) else ""
        if what and name not in keep:
            left_out[name] = n
            doubts.append(
                f"{name} looks like {what}, so its {counted(n, 'photo')} {'gets' if n == 1 else 'get'} no name; --keep {name!r} if it is an animal."
            )
    for name in sorted(set(photos_of) - set(left_out)):
        near = similar(name, known)
        if near:
            doubts.append(f"{name} looks like {near[0]}, which is known already; did you mean {near[0]}?")
    rest = {name: n for name, n in photos_of.items() if name not in left_out}
    doubts += [f"{rare} looks like {often}; did you mean {often}?" for rare, often in doubtful_pairs(rest)]
    return left_out, doubts


def described(found: Found) -> dict[str, Any]:
    """For the screen and ``--json``."""
    n = len(found.entries)
    animals = found.animals
    rest = found.n_photos - n
    sentence = f"{counted(len(animals), 'animal')}, {counted(n, 'photo')}, from {found.kind}"
    sentence += f"; {counted(rest, 'photo')} {'has' if rest == 1 else 'have'} no name."
    return {
        "sentence": sentence, "kind": found.kind, "animals": animals, "doubts": list(found.doubts),
        "left_out": dict(found.left_out), "n_photos": found.n_photos,
    }  # fmt: skip
