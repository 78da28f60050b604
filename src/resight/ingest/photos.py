"""Puts together one row for each content: files, facts from the cache, labels, encounter."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa

from resight.catalog import table as catalog_table
from resight.ingest.annotation import Annotation
from resight.ingest.block import Row
from resight.ingest.coco import Frame, outlines_on
from resight.ingest.encounters import default_encounters
from resight.ingest.files import Contents
from resight.ingest.labels import Label, merge
from resight.ingest.notes import Notes
from resight.ingest.params import EncounterParams
from resight.ingest.reasons import complaint
from resight.ingest.sidecars import SidecarLabels
from resight.ingest.sources import PhotoFile
from resight.ingest.zones import offset_in
from resight.status import EncounterSource, PhotoReason, PhotoStatus, Viewpoint

PHOTO_ID_CHARS = 20
SCHEMA = pa.schema([f for f in catalog_table("photos").schema if f.name != "run_id"])
FIRST_PHOTOGRAPH = date(1839, 1, 1)
EXTRA = json.JSONEncoder(sort_keys=True, ensure_ascii=False)  # one for all: to make it takes longer than to use it
ONE_DAY = timedelta(days=1)  # of time zones: it may be tomorrow where the photo was taken
COPIED = ("format", "width_px", "height_px", "camera", "sharpness", "exposure", "contrast", "clipped_fraction")


def photo_rows(
    files: Sequence[PhotoFile],
    contents: Contents,
    sidecars: SidecarLabels,
    night: str,
    notes: Notes,
    names: Mapping[str, str | None] | None = None,
) -> tuple[list[Row], dict[str, tuple[Annotation, ...]]]:
    """A row for each content, sorted by photo, and the outlines by photo.

    Args:
        files: Of the sources.
        contents: What is in them.
        sidecars: What label and outline files say.
        night: Of the run.
        notes: For people.
        names: By photo_id, what stands in the place of the name that label files give.
    """
    groups: dict[str, list[PhotoFile]] = defaultdict(list)
    for file in sorted(files, key=lambda f: f.uri):
        groups[contents.digest.get(file.uri, "unreadable:" + file.uri)].append(file)
    today = max(date.today(), date.fromisoformat(night))
    rows, annotations = [], {}
    for digest, group in groups.items():
        facts = _with_possible_time(contents.facts.get(digest, {"first_night": night}), group[0].uri, today, notes)
        row = _identity(digest, group) | _facts(facts) | _verdict(facts, group, contents)
        label = _label([f.uri for f in group], sidecars, today, notes)
        if names is not None and row["photo_id"] in names:
            label = replace(label, individual_id=names[row["photo_id"]])
        row |= _labelled(label, facts)
        row |= _told_encounter(label, row)
        rows.append(row)
        outlines = _outlines(row, facts, sidecars, notes)
        if outlines:
            annotations[row["photo_id"]] = outlines
    return sorted(rows, key=lambda row: row["photo_id"]), annotations


def with_encounters(rows: Sequence[Row], encounter: EncounterParams, notes: Notes) -> list[Row]:
    """The same rows; those whose encounter nobody has said get one by rule, which looks at all of them."""
    by_rule = default_encounters(rows, encounter)
    for row in rows:
        if not row.get("encounter_id"):
            alone = f"photo-{row['photo_id']}", EncounterSource.PHOTO
            row["encounter_id"], row["encounter_source"] = by_rule.get(row["photo_id"], alone)
    _note_mixed_encounters(rows, notes)
    return list(rows)


def photo_id_of(digest: str) -> str:
    """Name of a content, from its SHA-256."""
    return digest[:PHOTO_ID_CHARS]


def _identity(digest: str, group: Sequence[PhotoFile]) -> Row:
    readable = not digest.startswith("unreadable:")
    uris = [f.uri for f in group]
    return {
        "photo_id": photo_id_of(digest if readable else hashlib.sha256(digest.encode()).hexdigest()),
        "sha256": digest if readable else "",
        "uri": uris[0],
        "uris": uris,
        "n_files": len(uris),
        "size_bytes": group[0].size_bytes,
    }


def _facts(facts: Row) -> Row:
    exif = {"exif_orientation": facts.get("orientation"), "first_night": date.fromisoformat(facts["first_night"])}
    return {name: facts.get(name) for name in COPIED} | exif


def _verdict(facts: Row, group: Sequence[PhotoFile], contents: Contents) -> Row:
    uri = group[0].uri
    if uri in contents.unreadable:
        reason, detail = str(PhotoReason.UNREADABLE), contents.unreadable[uri]
    else:
        reason, detail = facts["reason"], facts["detail"]
    if not reason:
        return {"status": str(PhotoStatus.OK), "reason": "", "message": ""}
    message = complaint(PhotoReason(reason), uri, len(group), detail)
    return {"status": str(PhotoStatus.REJECTED), "reason": reason, "message": message}


def _is_possible(day: date, uri: str, today: date, notes: Notes) -> bool:
    """Whether a photo can have been taken on that day; notes it otherwise."""
    if day >= FIRST_PHOTOGRAPH and day - ONE_DAY <= today:
        return True
    notes.add(
        "{n} dates lie before the first photograph or in the future and are ignored ({items}); correct the label file or the camera's clock.",
        f"{day} for {uri}",
    )
    return False


def _with_possible_time(facts: Row, uri: str, today: date, notes: Notes) -> Row:
    """What the camera wrote, without an impossible time."""
    taken_at: datetime | None = facts.get("taken_at")
    return facts if taken_at is None or _is_possible(taken_at.date(), uri, today, notes) else facts | {"taken_at": None}


def _possible_labels(labels: Mapping[str, list[Label]], uris: Sequence[str], today: date, notes: Notes) -> list[Label]:
    return [
        label
        if label.taken_on is None or _is_possible(label.taken_on, uri, today, notes)
        else replace(label, taken_at=None, taken_on=None)
        for uri in uris
        for label in labels.get(uri, [])
    ]


def _label(uris: Sequence[str], sidecars: SidecarLabels, today: date, notes: Notes) -> Label:
    """What tables say; what COCO files say fills fields about which no table says anything at all."""
    strong = _possible_labels(sidecars.labels, uris, today, notes)
    weak = _possible_labels(sidecars.weak_labels, uris, today, notes)
    if len(strong) + len(weak) == 1:
        return (strong or weak)[0]
    first, second = merge(strong, uris[0], notes), merge(weak, uris[0], notes)
    silent = [name for name in vars(first) if name != "extra" and all(getattr(label, name) is None for label in strong)]
    if "taken_on" not in silent:
        silent = [name for name in silent if name != "taken_at"]
    extra = {**second.extra, **first.extra}
    return Label(**vars(first) | {name: getattr(second, name) for name in silent} | {"extra": extra})


def _labelled(label: Label, facts: Row) -> Row:
    """Columns that labels decide; the camera's time and place where no label says them."""
    taken_at: datetime | None = facts.get("taken_at") if label.taken_on is None else label.taken_at
    taken_on: date | None = label.taken_on or (taken_at.date() if taken_at else None)
    latitude, longitude = label.place or (facts.get("latitude_deg"), facts.get("longitude_deg"))
    return {
        "taken_at": taken_at,
        "utc_offset": _utc_offset(label, facts, taken_at),
        "taken_on": taken_on,
        "latitude_deg": latitude,
        "longitude_deg": longitude,
        "individual_id": label.individual_id,
        "viewpoint": str(label.viewpoint or Viewpoint.UNKNOWN),
        "role": label.role,
        "extra": EXTRA.encode(dict(label.extra)) if label.extra else None,
    }


def _utc_offset(label: Label, facts: Row, taken_at: datetime | None) -> str | None:
    """As the label says; the camera's where the time is the camera's."""
    if taken_at is None:
        return None
    told = offset_in({k.strip().casefold(): v for k, v in label.extra.items()}, taken_at)
    by_camera = facts.get("taken_at") == taken_at.replace(microsecond=0)
    return told or (facts.get("utc_offset") if by_camera else None)


def _told_encounter(label: Label, row: Mapping[str, Any]) -> Row:
    """Which photos show one animal met once: as the label says, else by animal and day; nothing where neither is said."""
    if label.encounter_id:
        return {"encounter_id": label.encounter_id, "encounter_source": EncounterSource.METADATA}
    if label.individual_id and row["taken_on"]:
        encounter = f"{label.individual_id}-{row['taken_on'].isoformat()}"
        return {"encounter_id": encounter, "encounter_source": EncounterSource.LABEL_AND_DAY}
    return {}


def _outlines(row: Row, facts: Row, sidecars: SidecarLabels, notes: Notes) -> tuple[Annotation, ...]:
    """Outlines of the first annotated file of a content: a second file of outlines would double its heads."""
    images = [pair for uri in row["uris"] for pair in sidecars.outlines.get(uri, [])]
    if not images or row["status"] != PhotoStatus.OK:
        return ()
    if len({where for where, _ in images}) > 1:
        notes.add(
            "{n} photos are outlined in several files; the first one counts ({items}).", f"{row['uri']}: {images[0][0]}"
        )
    where, image = images[0]
    return outlines_on(image, Frame(facts["width_px"], facts["height_px"], facts["orientation"]), where, notes)


def _note_mixed_encounters(rows: Iterable[Row], notes: Notes) -> None:
    animals: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["individual_id"]:
            animals[row["encounter_id"]].add(row["individual_id"])
    for encounter, names in sorted(animals.items()):
        if len(names) > 1:
            notes.add("An encounter is one animal, but {n} encounters are labelled with several ({items}); correct encounter_id.",
                      f"{encounter}: {' / '.join(sorted(names))}")  # fmt: skip
