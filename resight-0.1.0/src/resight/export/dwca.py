"""Darwin Core Archive: occurrences as GBIF and OBIS take them.

Text guide: https://dwc.tdwg.org/text/; terms: https://dwc.tdwg.org/terms/; ``eml.xml`` follows GBIF's profile of EML 2.1.1.
Only animals that a person has confirmed become an ``organismID``; what the program says is a remark, marked as unconfirmed.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as Xml

from resight.export.base import (
    Product,
    Source,
    csv_bytes,
    moment_text,
    need_species,
    public_path,
    unconfirmed_sentence,
    without,
)
from resight.export.sightings import CONFIRMED, Row

DARWIN_CORE = "http://rs.tdwg.org/dwc/terms/"
TERMS = (
    "occurrenceID", "basisOfRecord", "occurrenceStatus", "scientificName", "taxonRank", "individualCount", "organismID", "organismRemarks",
    "identificationVerificationStatus", "eventDate", "eventRemarks", "locality", "decimalLatitude", "decimalLongitude",
    "geodeticDatum", "catalogNumber", "associatedMedia", "dynamicProperties",
)  # fmt: skip
NO_OFFSET = "Local time on the spot; its offset from UTC is not known."
EARLIEST_OF_ZIP = (1980, 1, 1, 0, 0, 0)  # so that equal data give equal files


def make(source: Source) -> Product:
    """One zip file with ``meta.xml``, ``eml.xml`` and ``occurrence.txt``."""
    need_species(source.rows)
    files = {
        "meta.xml": _meta(),
        "eml.xml": _eml(source),
        "occurrence.txt": csv_bytes(TERMS, [occurrence(row) for row in source.rows], delimiter="\t"),
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            opened.writestr(zipfile.ZipInfo(name, EARLIEST_OF_ZIP), data, zipfile.ZIP_DEFLATED)
    return Product({"dwca.zip": archive.getvalue()}, notes=_notes(source))


def occurrence(row: Row) -> Row:
    """One sighting in Darwin Core terms; its id is made from its first photo, and stays when it gets a name."""
    confirmed, placed = row["certainty"] == CONFIRMED, row["latitude_deg"] is not None
    words = len(row["species"].split())
    return {
        "occurrenceID": f"urn:resight:{row['photo_ids'][0]}",
        "basisOfRecord": "HumanObservation",
        "occurrenceStatus": "present",
        "scientificName": row["species"],
        "taxonRank": {2: "species", 3: "subspecies"}.get(words),
        "individualCount": 1,
        "organismID": row["individual_id"] if confirmed else None,
        "organismRemarks": unconfirmed_sentence(row),
        "identificationVerificationStatus": "individual confirmed by a person"
        if confirmed
        else "individual unconfirmed",
        "eventDate": moment_text(row),
        "eventRemarks": NO_OFFSET if row["taken_at"] is not None and not row["utc_offset"] else None,
        "locality": row["site"],
        "decimalLatitude": row["latitude_deg"],
        "decimalLongitude": row["longitude_deg"],
        "geodeticDatum": "EPSG:4326" if placed else None,
        "catalogNumber": row["sighting_id"],
        "associatedMedia": " | ".join(public_path(uri) for uri in row["photos"]),
        "dynamicProperties": json.dumps(
            {name: row[name] for name in ("certainty", "probability", "p_new", "viewpoints") if row[name] is not None}
        ),
    }


def _notes(source: Source) -> list[str]:
    untold = [row | {"told": row["utc_offset"] or (None if row["taken_at"] else True)} for row in source.rows]
    notes = without(
        untold,
        "told",
        "{n} sightings have a local time without its offset from UTC ({items}); their eventDate says no offset, or give --time-zone.",
    )
    notes += without(source.rows, "taken_on", "{n} sightings have no date ({items}).")
    if not source.wishes.publisher:
        notes.append("eml.xml names the workspace as its creator; give --publisher before you publish the archive.")
    return notes


def _meta() -> bytes:
    root = Xml.Element("archive", {"xmlns": "http://rs.tdwg.org/dwc/text/", "metadata": "eml.xml"})
    core = Xml.SubElement(root, "core", {
        "encoding": "UTF-8", "fieldsTerminatedBy": "\\t", "linesTerminatedBy": "\\n", "fieldsEnclosedBy": '"',
        "ignoreHeaderLines": "1", "rowType": f"{DARWIN_CORE}Occurrence",
    })  # fmt: skip
    Xml.SubElement(Xml.SubElement(core, "files"), "location").text = "occurrence.txt"
    Xml.SubElement(core, "id", {"index": "0"})
    for index, term in enumerate(TERMS):
        Xml.SubElement(core, "field", {"index": str(index), "term": f"{DARWIN_CORE}{term}"})
    return _document(root)


def _eml(source: Source) -> bytes:
    """Title, who publishes, what it is, and where and when: what GBIF asks for at least."""
    run = source.run
    root = Xml.Element("eml:eml", {
        "xmlns:eml": "eml://ecoinformatics.org/eml-2.1.1", "packageId": run["run_id"], "system": "http://gbif.org",
        "scope": "system", "xml:lang": "en",
    })  # fmt: skip
    dataset = Xml.SubElement(root, "dataset")
    publisher = source.wishes.publisher or source.workspace.root.name
    _text(dataset, "title", f"Sightings of individual animals, {source.workspace.root.name}")
    for role in ("creator", "metadataProvider"):
        _text(Xml.SubElement(dataset, role), "organizationName", publisher)
    _text(dataset, "pubDate", run["night"])
    _text(dataset, "language", "en")
    _text(Xml.SubElement(dataset, "abstract"), "para", (
        f"Photographed animals, one occurrence for each encounter, from run {run['run_id']} of {source.program}. "
        "An organismID was confirmed by a person; what the program says by itself is a remark and unconfirmed."
    ))  # fmt: skip
    _coverage(dataset, source.rows)
    _text(Xml.SubElement(dataset, "contact"), "organizationName", publisher)
    return _document(root)


def _coverage(dataset: Xml.Element, rows: Sequence[Mapping[str, Any]]) -> None:
    latitudes = [row["latitude_deg"] for row in rows if row["latitude_deg"] is not None]
    longitudes = [row["longitude_deg"] for row in rows if row["longitude_deg"] is not None]
    days = [row["taken_on"] for row in rows if row["taken_on"]]
    coverage = Xml.SubElement(dataset, "coverage") if latitudes or days else dataset
    if latitudes:
        place = Xml.SubElement(coverage, "geographicCoverage")
        _text(place, "geographicDescription", "Box around all positions")
        box = Xml.SubElement(place, "boundingCoordinates")
        for name, value in (
            ("west", min(longitudes)),
            ("east", max(longitudes)),
            ("north", max(latitudes)),
            ("south", min(latitudes)),
        ):
            _text(box, f"{name}BoundingCoordinate", str(value))
    if days:
        span = Xml.SubElement(Xml.SubElement(coverage, "temporalCoverage"), "rangeOfDates")
        for name, day in (("beginDate", min(days)), ("endDate", max(days))):
            _text(Xml.SubElement(span, name), "calendarDate", day.isoformat())


def _text(parent: Xml.Element, name: str, text: str) -> None:
    Xml.SubElement(parent, name).text = text


def _document(root: Xml.Element) -> bytes:
    Xml.indent(root)
    written: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"
