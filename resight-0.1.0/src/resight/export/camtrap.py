"""Camtrap DP 1.0 (https://camtrap-dp.tdwg.org): deployments, media and observations.

Photos taken by hand come close to it as follows. A deployment is one place on one day; an event is a sighting; each sighting is
one observation of its event, classified by a human if a person has named the animal and by the machine otherwise. Times
need an offset from UTC: where none is known they are written as UTC, and ``timestampIssues`` of the deployment is true.
"""

from __future__ import annotations

import json
import mimetypes
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from pathlib import PurePosixPath
from typing import Any

from resight.errors import WorkspaceError
from resight.export.base import Product, Source, csv_bytes, public_path, unconfirmed_sentence, without
from resight.export.sightings import CONFIRMED, DECIDED, OPEN, Row

VERSION = "1.0.1"
SCHEMAS = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}"
DEPLOYMENTS = (
    "deploymentID", "locationName", "latitude", "longitude", "deploymentStart", "deploymentEnd", "timestampIssues", "deploymentComments",
)  # fmt: skip
MEDIA = ("mediaID", "deploymentID", "timestamp", "filePath", "filePublic", "fileName", "fileMediatype", "mediaComments")
OBSERVATIONS = (
    "observationID", "deploymentID", "eventID", "eventStart", "eventEnd", "observationLevel", "observationType", "scientificName",
    "count", "individualID", "classificationMethod", "classifiedBy", "classificationProbability", "observationTags",
    "observationComments",
)  # fmt: skip
ISSUES = "The offset of the times from UTC, or the time of day, is not known; they are written as if they were UTC."


def make(source: Source) -> Product:
    """``deployments.csv``, ``media.csv``, ``observations.csv`` and ``datapackage.json``."""
    rows = [row for row in source.rows if row["taken_on"] is not None and row["latitude_deg"] is not None]
    if not rows:
        raise WorkspaceError(
            "No sighting has both a day and a position, which Camtrap DP needs; add them to metadata.csv."
        )
    product = Product(notes=_notes(source.rows, rows))
    product.files["deployments.csv"] = csv_bytes(DEPLOYMENTS, _deployments(rows, source.photo_times))
    product.files["media.csv"] = csv_bytes(MEDIA, [m for row in rows for m in _media(row, source.photo_times)])
    observations = [_observation(row, source) for row in rows]
    product.files["observations.csv"] = csv_bytes(OBSERVATIONS, observations)
    product.files["datapackage.json"] = json.dumps(_package(source, rows), indent=2).encode() + b"\n"
    return product


def _deployment_id(row: Row) -> str:
    site = row["site"] or f"{row['latitude_deg']:.5f} {row['longitude_deg']:.5f}"
    return f"{row['taken_on']} {site}"


def _deployments(rows: Sequence[Row], times: Mapping[str, datetime]) -> list[Row]:
    """One for each place and day; its position is that of the first sighting there."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[_deployment_id(row)].append(row)
    listed = []
    for name, own in groups.items():
        moments = [moment for row in own for moment in _span(row, times)]
        issues = any(row["taken_at"] is None or not row["utc_offset"] for row in own)
        listed.append({
            "deploymentID": name, "locationName": own[0]["site"], "latitude": own[0]["latitude_deg"], "longitude": own[0]["longitude_deg"],
            "deploymentStart": _text(min(moments)), "deploymentEnd": _text(max(moments)),
            "timestampIssues": issues, "deploymentComments": ISSUES if issues else None,
        })  # fmt: skip
    return listed


def _span(row: Row, times: Mapping[str, datetime]) -> tuple[datetime, datetime]:
    """First and last moment of a sighting: of its photos, or the whole day where they have no time."""
    zone = datetime.strptime(row["utc_offset"] or "+00:00", "%z").tzinfo
    if row["taken_at"] is not None:
        moments = [times[photo_id] for photo_id in row["photo_ids"] if photo_id in times] or [row["taken_at"]]
        first, last = (moment.replace(microsecond=0, tzinfo=zone) for moment in (min(moments), max(moments)))
        return first, last
    day = row["taken_on"]
    return datetime.combine(day, time.min, zone), datetime.combine(day, time(23, 59, 59), zone)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _media(row: Row, times: Mapping[str, datetime]) -> list[Row]:
    """The photos of a sighting; one without a time has that of the sighting's start."""
    start, _ = _span(row, times)
    listed = []
    for photo_id, uri in zip(row["photo_ids"], row["photos"], strict=True):
        own = times[photo_id].replace(microsecond=0, tzinfo=start.tzinfo) if photo_id in times else start
        listed.append({
            "mediaID": photo_id, "deploymentID": _deployment_id(row), "timestamp": _text(own), "filePath": _inside(uri), "filePublic": False,
            "fileName": PurePosixPath(uri).name, "fileMediatype": mimetypes.guess_type(uri)[0] or "image/jpeg",
            "mediaComments": f"sighting {row['sighting_id']}",
        })  # fmt: skip
    return listed


def _inside(uri: str) -> str:
    """The photo's path as the standard wants it: no leading point, nothing that leads upwards."""
    return "/".join(part.lstrip(".~") or "_" for part in public_path(uri).replace("..", "_").split("/"))


def _observation(row: Row, source: Source) -> Row:
    confirmed = row["certainty"] == CONFIRMED
    start, end = _span(row, source.photo_times)
    return {
        "observationID": f"{row['sighting_id']}:1",
        "deploymentID": _deployment_id(row),
        "eventID": row["sighting_id"],
        "eventStart": _text(start),
        "eventEnd": _text(end),
        "observationLevel": "event",
        "observationType": "animal",
        "scientificName": row["species"],
        "count": 1,
        "individualID": None if row["certainty"] == OPEN else row["individual_id"],
        "classificationMethod": "human" if confirmed else "machine",
        "classifiedBy": None if confirmed else source.program,
        "classificationProbability": row["probability"] if row["certainty"] == DECIDED else None,
        "observationTags": row["certainty"] if confirmed else f"unconfirmed|{row['certainty']}",
        "observationComments": unconfirmed_sentence(row),
    }


def _package(source: Source, rows: Sequence[Row]) -> dict[str, Any]:
    x, y = [row["longitude_deg"] for row in rows], [row["latitude_deg"] for row in rows]
    west, east, south, north = min(x), max(x), min(y), max(y)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    days = [row["taken_on"] for row in rows]
    return {
        "resources": [
            {"name": name, "path": f"{name}.csv", "profile": "tabular-data-resource", "format": "csv", "mediatype": "text/csv",
             "encoding": "utf-8", "schema": f"{SCHEMAS}/{name}-table-schema.json"}
            for name in ("deployments", "media", "observations")
        ],
        "profile": f"{SCHEMAS}/camtrap-dp-profile.json",
        "name": source.run["run_id"].lower(),
        "created": source.run["ended_at"].isoformat(timespec="seconds"),
        "title": f"Sightings of individual animals, {source.workspace.root.name}",
        "description": "Animals photographed by people, identified by their patterns. Observations with classificationMethod 'machine' "
        "are unconfirmed answers of the program.",
        "contributors": [{"title": source.wishes.publisher or source.workspace.root.name, "role": "publisher"}],
        "sources": [{"title": "Resight", "version": source.run["resight_version"]}],
        "project": {
            "title": source.workspace.root.name, "samplingDesign": "opportunistic", "captureMethod": ["activityDetection"],
            "individualAnimals": True, "observationLevel": ["event"],
        },
        "spatial": {"type": "Polygon", "coordinates": [ring]},
        "temporal": {"start": min(days).isoformat(), "end": max(days).isoformat()},
        "taxonomic": [{"scientificName": name} for name in sorted({row["species"] for row in rows if row["species"]})],
    }  # fmt: skip


def _notes(every: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    lacking = [row | {"both": (row["taken_on"] and row["latitude_deg"] is not None) or None} for row in every]
    notes = without(
        lacking, "both", "{n} sightings without a day or a position are left out ({items}); Camtrap DP needs both."
    )
    untold = [row | {"told": row["utc_offset"] if row["taken_at"] is not None else None} for row in rows]
    notes += without(
        untold,
        "told",
        "{n} sightings have no time with an offset from UTC ({items}); timestampIssues says so, or give --time-zone.",
    )
    return notes + without(
        rows,
        "species",
        "{n} sightings have no species ({items}); give --species, or a column 'species' in metadata.csv.",
    )
