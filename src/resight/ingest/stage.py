"""The stage as a whole: from sources to the table ``photos``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from resight.ingest.addresses import name_of, read_bytes
from resight.ingest.coco import read_coco
from resight.ingest.files import read_contents
from resight.ingest.notes import Notes
from resight.ingest.photos import SCHEMA, build_rows
from resight.ingest.sidecars import is_outline_file, read_sidecars
from resight.ingest.sources import find_files
from resight.runner.runner import Runner
from resight.segment.base import Annotation
from resight.settings import Settings
from resight.store.counts import reconcile
from resight.store.workspace import Workspace


@dataclass(frozen=True)
class IngestResult:
    """All photos of the sources.

    Attributes:
        photos: Columns of the table ``photos`` without ``run_id``, sorted by photo.
        annotations: Outlines by ``photo_id``.
        n_files: Files found; several may hold one photo.
        n_decoded: Pictures really opened in this call; 0 where nothing is new.
        notes: One-sentence warnings for people.
    """

    photos: pa.Table
    annotations: dict[str, tuple[Annotation, ...]]
    n_files: int
    n_decoded: int
    notes: tuple[str, ...]


def ingest(
    workspace: Workspace, settings: Settings, sources: Sequence[str], night: str, runner: Runner
) -> IngestResult:
    """Find the photos, look at those that are new, and join labels and outlines. The sources are only read.

    Args:
        workspace: Holds the cache; relative sources start here.
        settings: Sections ``ingest`` and ``encounter`` are used.
        sources: Folders, files, globs, fsspec addresses.
        night: ISO date, recorded as ``first_night`` of what was never seen before.
        runner: Runs the blocks.

    Raises:
        SettingsError: A source does not exist, or needs a driver that is not installed.
        BrokenCountError: A file is in no row.
    """
    notes = Notes()
    found = find_files(workspace, sources, settings.ingest.extensions, notes)
    if not found.photos:
        notes.add(
            "No photos were found in {items}; put some there or name other folders in ingest.sources.",
            ", ".join(sources),
        )
    contents = read_contents(workspace, settings.ingest, found.photos, night, runner)
    said = read_sidecars(found.sidecars, found.photos, notes)
    rows, annotations = build_rows(found.photos, contents, said, settings.encounter.unlabelled, night, notes)
    reconcile("ingest", (file.uri for file in found.photos), (uri for row in rows for uri in row["uris"]))
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return IngestResult(table, annotations, len(found.photos), contents.n_decoded, notes.sentences())


def has_outlines(source: str, root: Path | None = None) -> bool:
    """Whether a source brings outlines of heads.

    Raises:
        SettingsError: It does not exist.
    """
    silent = Notes()
    found = find_files(Workspace(root or Path(os.getcwd())), [source], (), silent)
    outlines = (s.address for s in found.sidecars if is_outline_file(name_of(s.address).casefold()))
    images = (image for address in outlines for image in read_coco(read_bytes(address), address, silent))
    return any(outline.part == "head" for image in images for outline in image.outlines)
