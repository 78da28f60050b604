"""Sheets for Wildbook's bulk import, one row for each encounter.

Columns as in https://wildbook.docs.wildme.org/data/bulk-import-beta.html: at most 200 encounters in a sheet, no empty
columns, file names of letters, digits, periods and spaces that are all different. Only names that a person has confirmed
become individuals; what the program says goes into the researcher's comments, and the encounter is ``unapproved``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from resight.export.base import Product, Source, csv_bytes, need_species, unconfirmed_sentence, without
from resight.export.sightings import CONFIRMED, Row
from resight.export.workbook import Sheet, workbook_bytes

ROWS_PER_SHEET = 200
PHOTOS = "photos"


def make(source: Source) -> Product:
    """``bulk-import-001.xlsx`` and on, ``photos.csv`` with the name that each photo must have, and on request the photos."""
    need_species(source.rows, words=2)
    names = upload_names(source.rows)
    product = Product(notes=_notes(source.rows))
    rows = [_row(sighting, names) for sighting in source.rows]
    for number, start in enumerate(range(0, len(rows), ROWS_PER_SHEET), 1):
        part = rows[start : start + ROWS_PER_SHEET]
        sheet = Sheet("Encounters", _columns(part), part)
        product.files[f"bulk-import-{number:03d}.xlsx"] = workbook_bytes([sheet])
    product.files["photos.csv"] = csv_bytes(
        ["upload_as", "photo"], [{"upload_as": name, "photo": uri} for uri, name in names.items()]
    )
    if source.wishes.with_photos:
        product.photos = {f"{PHOTOS}/{name}": uri for uri, name in names.items()}
    else:
        product.notes.append(
            "Wildbook takes the photos by the names in the sheet: photos.csv lists them, --with-photos copies the photos under these names."
        )
    return product


def upload_names(rows: Sequence[Row]) -> dict[str, str]:
    """For each photo's file the name to upload it as; where two would be equal, both get the start of the photo's id."""
    files = [(photo_id, uri) for row in rows for photo_id, uri in zip(row["photo_ids"], row["photos"], strict=True)]
    plain = {uri: _plain(uri) for _, uri in files}
    taken = Counter(name.casefold() for name in plain.values())
    names = {}
    for photo_id, uri in files:
        stem, _, ending = plain[uri].rpartition(".")
        names[uri] = plain[uri] if taken[plain[uri].casefold()] == 1 else f"{stem} {photo_id}.{ending}"
    return names


def _plain(uri: str) -> str:
    """The file's name in letters, digits, periods and spaces."""
    path = PurePosixPath(uri)
    stem, ending = (" ".join(re.sub(r"[^A-Za-z0-9]+", " ", part).split()) for part in (path.stem, path.suffix))
    return f"{stem or 'photo'}.{ending or 'jpg'}"


def _row(row: Row, names: Mapping[str, str]) -> Row:
    confirmed = row["certainty"] == CONFIRMED
    genus, epithet = row["species"].split()[:2]
    day, time = row["taken_on"], row["taken_at"]
    cells = {
        "MarkedIndividual.individualID": row["individual_id"] if confirmed else None,
        "Encounter.state": "approved" if confirmed else "unapproved",
        "Encounter.genus": genus,
        "Encounter.specificEpithet": epithet,
        "Encounter.year": day and day.year,
        "Encounter.month": day and day.month,
        "Encounter.day": day and day.day,
        "Encounter.hour": time and time.hour,
        "Encounter.minutes": time and time.minute,
        "Encounter.verbatimLocality": row["site"],
        "Encounter.decimalLatitude": row["latitude_deg"],
        "Encounter.decimalLongitude": row["longitude_deg"],
        "Encounter.otherCatalogNumbers": row["sighting_id"],
        "Encounter.researcherComments": unconfirmed_sentence(row),
    }
    return cells | {f"Encounter.mediaAsset{k}": names[uri] for k, uri in enumerate(row["photos"])}


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns in which any row has a value: Wildbook wants no empty ones."""
    return list(dict.fromkeys(name for row in rows for name in row if any(r.get(name) is not None for r in rows)))


def _notes(rows: Sequence[Row]) -> list[str]:
    return list(_lacking(rows))


def _lacking(rows: Sequence[Row]) -> Iterator[str]:
    yield from without(
        rows, "taken_on", "{n} encounters have no date ({items}), and Wildbook asks at least for the year."
    )
    nowhere = [row | {"place": row["site"] or row["latitude_deg"]} for row in rows]
    yield from without(
        nowhere, "place", "{n} encounters have no place ({items}), and Wildbook asks for one; add it in the sheet."
    )
