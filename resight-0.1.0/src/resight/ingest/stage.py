"""The stage as a whole: from sources to the table ``photos``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa

from resight.environment import Environment
from resight.ingest.addresses import name_of, read_bytes
from resight.ingest.annotation import Annotation
from resight.ingest.coco import read_coco
from resight.ingest.files import Contents, read_contents
from resight.ingest.notes import Notes
from resight.ingest.params import EncounterParams, IngestParams
from resight.ingest.past import Then, names_then
from resight.ingest.photos import SCHEMA, photo_id_of, photo_rows, with_encounters
from resight.ingest.sidecars import is_outline_file, read_sidecars
from resight.ingest.sources import list_files
from resight.store.counts import reconcile
from resight.store.workspace import Workspace


@dataclass(frozen=True)
class IngestSetup:
    """How photos are read.

    Attributes:
        params: Which files, and the limits of a usable photo.
        encounter: What stands in for an encounter that nobody has named.
    """

    params: IngestParams
    encounter: EncounterParams


@dataclass(frozen=True)
class IngestResult:
    """All photos of the sources.

    Attributes:
        photos: Columns of the table ``photos`` without ``run_id``, sorted by photo.
        annotations: Outlines by ``photo_id``.
        n_files: Files of these photos; several may hold one.
        n_decoded: Pictures really opened in this call; 0 where nothing is new.
        notes: One-sentence warnings for people.
        not_read: Sources and label files that are there and cannot be read.
    """

    photos: pa.Table
    annotations: dict[str, tuple[Annotation, ...]]
    n_files: int
    n_decoded: int
    notes: tuple[str, ...]
    not_read: tuple[str, ...] = ()


def ingest(
    env: Environment, setup: IngestSetup, name: str, sources: Sequence[str], night: str, then: Then | None = None
) -> IngestResult:
    """Find the photos, look at those that are new, and join labels and outlines. The sources are only read.

    Args:
        env: Holds the cache; relative sources start in its workspace.
        setup: How photos are read.
        name: From `ingest_fingerprint`.
        sources: Folders, files, globs, fsspec addresses.
        night: ISO date, recorded as ``first_night`` of what was never seen before.
        then: The view of a night of the past: photos that came later are left out, and names are those of then.

    Raises:
        SettingsError: A source does not exist, or needs a driver that is not installed.
        BrokenCountError: A file is in no row.
    """
    notes = Notes()
    listed = list_files(env.workspace, sources, setup.params.extensions, notes)
    if not listed.photos:
        notes.add(
            "No photos were found in {items}; put some there or name other folders in ingest.sources.",
            ", ".join(sources),
        )
    contents = read_contents(env, setup.params, name, listed.photos, night)
    labels = read_sidecars(listed.sidecars, listed.photos, notes)
    names = names_then(env.workspace, then, _first_nights(contents)) if then else None
    rows, annotations = photo_rows(listed.photos, contents, labels, night, notes, names)
    reconcile("ingest", (file.uri for file in listed.photos), (uri for row in rows for uri in row["uris"]))
    rows = with_encounters(then.rows(rows) if then else rows, setup.encounter, notes)
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    outlined = {row["photo_id"]: annotations[row["photo_id"]] for row in rows if row["photo_id"] in annotations}
    n_files = sum(row["n_files"] for row in rows)
    return IngestResult(table, outlined, n_files, contents.n_decoded, notes.sentences(), tuple(notes.not_read))


def _first_nights(contents: Contents) -> dict[str, date]:
    return {photo_id_of(sha): date.fromisoformat(facts["first_night"]) for sha, facts in contents.facts.items()}


def has_outlines(source: str, root: Path | None = None) -> bool:
    """Whether a source brings outlines of heads.

    Raises:
        SettingsError: It does not exist.
    """
    silent = Notes()
    listed = list_files(Workspace(root or Path(os.getcwd())), [source], (), silent)
    outlines = (s.address for s in listed.sidecars if is_outline_file(name_of(s.address).casefold()))
    images = (image for address in outlines for image in read_coco(read_bytes(address), address, silent))
    return any(outline.part == "head" for image in images for outline in image.outlines)
