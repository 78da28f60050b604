"""Decisions in the tables of a run: names, encounters, sides and outlines of photos, and which crops are used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.decisions.entry import Entry
from resight.decisions.names import doubtful_pairs
from resight.decisions.state import Decided
from resight.ingest.annotation import Annotation
from resight.ingest.notes import Notes
from resight.status import CropStatus, PhotoReason, PhotoStatus, Viewpoint
from resight.store.fingerprint import canonical_json

Row = dict[str, Any]
Annotations = Mapping[str, tuple[Annotation, ...]]


def decide_photos(
    photos: pa.Table, annotations: Annotations, decided: Decided
) -> tuple[pa.Table, Annotations, tuple[str, ...]]:
    """The table ``photos`` and the outlines as decisions make them, and sentences for people.

    ``individual_id`` becomes what counts, and ``labelled_individual_id`` keeps what label files say.
    """
    notes = Notes()
    labels = photos.schema.get_field_index("labelled_individual_id")
    as_labelled = photos.set_column(labels, photos.schema.field(labels), photos["individual_id"])
    about = pc.or_(
        pc.is_in(photos["photo_id"], pa.array(decided.by_photo, pa.string())),
        pc.is_in(photos["individual_id"], pa.array(decided.current_name, pa.string())),
    )
    rows = [_decided_row(row, decided, notes) for row in as_labelled.filter(about).to_pylist()]
    table = _with_rows(as_labelled, about, pa.Table.from_pylist(rows, schema=photos.schema))
    _note_doubtful_names(Counter(table["individual_id"].drop_null().to_pylist()), decided, notes)
    drawn = {row["photo_id"]: outline for row in rows if (outline := _drawn(row, decided))}
    return table, {**annotations, **drawn}, notes.sentences()


def _with_rows(table: pa.Table, chosen: pa.ChunkedArray, rows: pa.Table) -> pa.Table:
    """The table with others in the place of the chosen rows; decisions are about few of 100,000 photos."""
    if not rows.num_rows:
        return table
    places = pc.if_else(
        chosen, pc.add(pc.cumulative_sum(chosen.cast(pa.int64())), table.num_rows - 1), pa.array(range(table.num_rows))
    )
    return pa.concat_tables([table, rows]).take(places)


def _decided_row(row: Row, decided: Decided, notes: Notes) -> Row:
    photo, label = row["photo_id"], row["individual_id"]
    row = dict(row)
    out = decided.taken_out(photo)
    if out is not None and row["status"] == PhotoStatus.OK:
        message = f"{row['uri']} does not belong to the survey, {out.by} has decided ({out.at[:10]}); undo decision {out.decision_id[:8]} if it does."
        row |= {"status": str(PhotoStatus.REJECTED), "reason": str(PhotoReason.TAKEN_OUT), "message": message}
    side = decided.side(photo)
    if side:
        row["viewpoint"] = side
    encounter = decided.encounter(photo, row["encounter_id"])
    if encounter != row["encounter_id"]:
        row |= {"encounter_id": encounter, "encounter_source": "decision"}
    name, identity = decided.named(photo, label)
    if identity is not None and identity.conflict:
        notes.add("{n} photos have another name in a label file than by decision: {items}.", f"{row['uri']}: {identity.conflict}")  # fmt: skip
    return row | {"individual_id": name} | (_encounter_of(row, name) if name and name != label else {})


def _encounter_of(row: Row, name: str) -> Row:
    """Named photos of one animal and day are one encounter, as with a name in a label file, unless that or a person says which they are in."""
    if row["encounter_source"] in ("metadata", "decision") or not row["taken_on"]:
        return {}
    return {"encounter_id": f"{name}-{row['taken_on'].isoformat()}", "encounter_source": "label_and_day"}


def _note_doubtful_names(photos_of: Mapping[str, int], decided: Decided, notes: Notes) -> None:
    for rare, often in doubtful_pairs(photos_of, decided.apart):
        notes.add(
            "{n} names look like another one, and each makes an animal of its own: {items}. If they are one animal, `resight rename OLD NEW`; "
            "if they are two, `resight decide apart ONE OTHER`.",
            f"{rare} ({photos_of[rare]} photos; did you mean {often}, {photos_of[often]} photos?)",
        )


def _drawn(row: Row, decided: Decided) -> tuple[Annotation, ...]:
    """The head that a person has drawn, cut to the photo."""
    entry = decided.drawn_box(row["photo_id"])
    if entry is None or entry.box_px is None or row["status"] != PhotoStatus.OK:
        return ()
    return (Annotation("head", entry.box_px, viewpoint=Viewpoint(decided.side(row["photo_id"]) or Viewpoint.UNKNOWN)),)


def decide_crops(crops: pa.Table, decided: Decided) -> pa.Table:
    """The table ``crops`` without those that people say are none, and with the sides that people see."""
    if not decided.by_photo:
        return crops
    rows = [_decided_crop(row, decided) for row in crops.to_pylist()]
    return pa.Table.from_pylist(rows, schema=crops.schema)


def _decided_crop(row: Row, decided: Decided) -> Row:
    if row["status"] != CropStatus.OK:
        return row
    box = (row["bbox_x_px"], row["bbox_y_px"], row["bbox_width_px"], row["bbox_height_px"])
    side = decided.side(row["photo_id"], box)
    if side:
        row["viewpoint"] = side
    bad = decided.bad_crop(row["photo_id"], box)
    if bad is not None:
        what = str(bad.kind).replace("_", " ")
        row |= {"status": str(CropStatus.TAKEN_OUT), "reason": f"{bad.by} has decided: {what} ({bad.decision_id[:8]})"}
    return row


def rejections(photos: pa.Table, decided: Decided) -> dict[str, frozenset[str]]:
    """By encounter, the animals that it is not; only encounters with any.

    What was said of an encounter before some of its photos were voted out holds for the photos that stayed.
    """
    of_encounter: dict[str, set[str]] = {}
    gone: dict[str, set[str]] = {}
    for row in photos.select(["photo_id", "encounter_id", "voted_out_of"]).to_pylist():
        of_encounter.setdefault(row["encounter_id"], set()).add(row["photo_id"])
        if row["voted_out_of"]:
            gone.setdefault(row["voted_out_of"], set()).add(row["photo_id"])
    present = {p for own in of_encounter.values() for p in own}
    refused = {
        e: decided.rejected(own, present - gone[e] if e in gone else present)
        for e, own in of_encounter.items()
        if any(p in decided.by_photo for p in own)
    }
    return {e: names for e, names in refused.items() if names}


def decision_rows(decided: Decided, photos: pa.Table) -> list[Row]:
    """Rows of the table ``decisions`` without ``run_id``."""
    known = {f.name for f in catalog_table("decisions").schema}
    label = dict(zip(photos["photo_id"].to_pylist(), photos["labelled_individual_id"].to_pylist(), strict=True))
    return [{k: v for k, v in _row(entry, decided, label).items() if k in known} for entry in decided.entries]


def _row(entry: Entry, decided: Decided, label: Mapping[str, str | None]) -> Row:
    found = [(p, decided.identity(p, label.get(p))) for p in entry.photos if p in label]
    conflicts = sorted(
        {i.conflict for _, i in found if i is not None and i.entry.decision_id == entry.decision_id and i.conflict}
    )
    return vars(entry) | {
        "decision_id": entry.decision_id,
        "decided_at": datetime.fromisoformat(entry.at),
        "decided_by": entry.by,
        "kind": str(entry.kind),
        "is_active": decided.counts(entry),
        "conflict": "; ".join(conflicts),
        "decided_photo_ids": list(entry.photos),
        "parts": canonical_json(entry.parts) if entry.parts else None,
        "crop_box_px": list(entry.crop_box_px) if entry.crop_box_px else None,
        "box_px": list(entry.box_px) if entry.box_px else None,
        "seen_run_id": entry.run_id,
        "model_fingerprint": entry.model,
        "evidence": canonical_json(dict(entry.evidence)) if entry.evidence else None,
    }
