"""Reads all label and outline files beside the photos, afresh in every run, and joins them to the photos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resight.ingest.addresses import name_of, read_bytes
from resight.ingest.coco import CocoImage, read_coco
from resight.ingest.labels import Entry, Label, read_metadata, read_table
from resight.ingest.lookup import Lookup
from resight.ingest.notes import Notes
from resight.ingest.reasons import raise_if_machine
from resight.ingest.sources import PhotoFile, Sidecar
from resight.ingest.wildbook import is_wildbook, read_wildbook

METADATA_NAMES = {"metadata.csv", "metadata_splits.csv"}


@dataclass
class SidecarLabels:
    """Everything that the files beside the photos say, by uri.

    Attributes:
        labels: From tables.
        weak_labels: From COCO files; they count where no table says anything.
        outlines: COCO images with the address of their file, in order of address.
    """

    labels: dict[str, list[Label]] = field(default_factory=lambda: defaultdict(list))
    weak_labels: dict[str, list[Label]] = field(default_factory=lambda: defaultdict(list))
    outlines: dict[str, list[tuple[str, CocoImage]]] = field(default_factory=lambda: defaultdict(list))


def read_sidecars(sidecars: Sequence[Sidecar], files: Sequence[PhotoFile], notes: Notes) -> SidecarLabels:
    """Read them all; what cannot be read is noted and left out."""
    labels, lookup = SidecarLabels(), Lookup(files)
    for sidecar in sidecars:
        name = name_of(sidecar.address).casefold()
        if name.endswith((".xlsx", ".xls")):
            notes.add("Spreadsheets are not read: {items}; save them as CSV.", sidecar.address)
        elif name.endswith(".csv"):
            _add_table(sidecar, name in METADATA_NAMES, lookup, labels, notes)
        elif is_outline_file(name):
            _add_coco(sidecar, lookup, labels, notes)
    return labels


def is_outline_file(name: str) -> bool:
    """Whether a (lower-case) file name is one of those that hold outlines."""
    return name in ("annotations.json", "annotations.coco.json", "_annotations.coco.json") or name.endswith(
        ".coco.json"
    )


def _add_table(sidecar: Sidecar, is_metadata: bool, lookup: Lookup, labels: SidecarLabels, notes: Notes) -> None:
    silent = Notes()
    data = _read(sidecar, notes, tells=is_metadata)
    rows = read_table(data, sidecar.address, notes if is_metadata else silent)
    if rows and is_wildbook(rows[0]):
        entries = read_wildbook(rows, sidecar.address, notes)
    elif is_metadata:
        entries = read_metadata(rows, sidecar.address, notes)
    else:
        return
    _join(sidecar, entries, lookup, labels.labels, notes)


def _add_coco(sidecar: Sidecar, lookup: Lookup, labels: SidecarLabels, notes: Notes) -> None:
    data = _read(sidecar, notes)
    images = read_coco(data, sidecar.address, notes) if data else []
    files = _join(sidecar, [image.entry for image in images], lookup, labels.weak_labels, notes)
    for image, file in zip(images, files, strict=True):
        if file and image.outlines:
            labels.outlines[file.uri].append((sidecar.address, image))


def _join(
    sidecar: Sidecar, entries: Sequence[Entry], lookup: Lookup, into: Mapping[str, list[Label]], notes: Notes
) -> list[PhotoFile | None]:
    files = lookup.match(sidecar, [entry.names for entry in entries], notes)
    for entry, file in zip(entries, files, strict=True):
        if file:
            into[file.uri].append(entry.label)
    return files


def _read(sidecar: Sidecar, notes: Notes, tells: bool = True) -> bytes:
    """Its content; b'' with a note where it cannot be read. Whether it ``tells`` of photos, or may be any table, is known by its name."""
    try:
        return read_bytes(sidecar.address)
    except OSError as error:
        raise_if_machine(error, sidecar.address)
        notes.add(
            "Label files that cannot be read were passed over ({items}); check their permissions.",
            f"{sidecar.address}: {error}",
            not_read=sidecar.address if tells else "",
        )
        return b""
