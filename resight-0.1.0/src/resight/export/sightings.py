"""Who was met when and where: one row for each encounter, with how certain the identity is. Every export starts here."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from resight.catalog import SIGHTINGS
from resight.errors import WorkspaceError
from resight.export.clocks import photo_offsets
from resight.ingest.zones import offset_in
from resight.status import NAMED, PhotoStatus, Viewpoint
from resight.store.runs import read_current, read_run, run_tables
from resight.store.workspace import Workspace, open_workspace

Row = dict[str, Any]

CONFIRMED, DECIDED, PROVISIONAL, OPEN = "confirmed", "decided", "provisional", "open"
SITE = ("site", "location", "locality", "place", "beach", "encounter.verbatimlocality", "encounter.locationid")
SPECIES = ("species", "scientific_name", "scientificname", "taxon")
MEASURING = {"accuracy", "evaluate", "compare"}  # flows whose verdicts are on photos with a name
COMMON_NAMES = {
    "loggerhead": "Caretta caretta",
    "green": "Chelonia mydas",
    "hawksbill": "Eretmochelys imbricata",
    "leatherback": "Dermochelys coriacea",
    "olive ridley": "Lepidochelys olivacea",
    "kemp's ridley": "Lepidochelys kempii",
    "flatback": "Natator depressus",
}


def read_sightings(
    workspace: str | Path | Workspace, run_id: str | None = None, *, exif_offsets: bool = True
) -> pa.Table:
    """Who was met when and where, as a run knows it: the table ``sightings`` of the data dictionary, by day and time.

    Args:
        workspace: The folder with ``resight.toml``.
        run_id: Name of the run; the newest accepted one if not given.
        exif_offsets: Of photos that were read before 2026-11-29, look for the offset of the camera's clock from UTC in the
            files on this machine, where ``metadata.csv`` does not say it; some milliseconds for each photo.

    Raises:
        WorkspaceError: There is no such workspace or run, or it has looked at no photos.

    Examples:
        >>> sightings = resight.read_sightings("my season")
        >>> sorted(set(sightings["certainty"].to_pylist()) - {"confirmed", "decided", "provisional", "open"})
        []
    """
    place = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    run_id = run_id or newest_run(place)
    photos, verdicts = photos_and_verdicts(place, run_id)
    offsets = photo_offsets(photos, place.root) if exif_offsets else {}
    return pa.Table.from_pylist(sighting_rows(photos, verdicts, run_id, offsets), schema=SIGHTINGS.schema)


def newest_run(workspace: Workspace) -> str:
    """The newest accepted run.

    Raises:
        WorkspaceError: There is none yet.
    """
    newest = read_current(workspace, "runs")
    if newest is None:
        raise WorkspaceError(f"{workspace.root} has no run yet; start with `resight nightly`.")
    return str(newest["run_id"][0])


def photos_and_verdicts(workspace: Workspace, run_id: str) -> tuple[list[Row], list[Row]]:
    """Rows of a run's tables ``photos`` and ``novelty``; no verdicts where it has met no query.

    Raises:
        WorkspaceError: There is no such run, or it does not say who was met.
    """
    flow = read_run(workspace, run_id, "runs")["flow"][0].as_py()
    if flow in MEASURING:
        raise WorkspaceError(f"Run {run_id} measures ({flow}) and hides names for that; name a night or a rebuild.")
    tables = run_tables(workspace, run_id)
    if "photos" not in tables:
        raise WorkspaceError(f"Run {run_id} has no table 'photos'; name a night or a rebuild.")
    verdicts = read_run(workspace, run_id, "novelty").to_pylist() if "novelty" in tables else []
    return read_run(workspace, run_id, "photos").to_pylist(), verdicts


def sighting_rows(
    photos: Iterable[Mapping[str, Any]],
    verdicts: Iterable[Mapping[str, Any]],
    run_id: str,
    offsets: Mapping[str, str] | None = None,
) -> list[Row]:
    """Rows of the table ``sightings`` in the order of day and time.

    Args:
        photos: Rows of the table ``photos``.
        verdicts: Rows of the table ``novelty``.
        run_id: The run that both are of.
        offsets: UTC offsets by photo, for photos of which ``metadata.csv`` does not say it.
    """
    verdict_of = {row["encounter_id"]: row for row in verdicts}
    encounters: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for photo in photos:
        if photo["status"] == PhotoStatus.OK:
            encounters[photo["encounter_id"]].append(photo)
    rows = []
    for encounter, own in encounters.items():
        parts = _by_name(own)
        for name, group in parts.items():
            sighting = encounter if len(parts) == 1 else f"{encounter}/{name or 'without a name'}"
            identity = _identity(name, verdict_of.get(encounter, {}))
            facts = _facts(sorted(group, key=_moment), offsets or {})
            rows.append({"run_id": run_id, "sighting_id": sighting, "encounter_id": encounter} | facts | identity)
    return sorted(rows, key=lambda row: (*_moment(row), row["sighting_id"]))


def _by_name(photos: Sequence[Mapping[str, Any]]) -> dict[str | None, list[Mapping[str, Any]]]:
    """An encounter's photos by the animal that people have named; photos without a name go with the only one."""
    names = sorted({photo["individual_id"] for photo in photos if photo["individual_id"]})
    only = names[0] if len(names) == 1 else None
    parts: dict[str | None, list[Mapping[str, Any]]] = defaultdict(list)
    for photo in photos:
        parts[photo["individual_id"] or only].append(photo)
    return parts


def _identity(name: str | None, verdict: Mapping[str, Any]) -> Row:
    """Who it is; a name that people have given overrules the program."""
    row = {
        "decision": verdict.get("decision"),
        "best_candidate_id": verdict.get("individual_id"),
        "best_candidate_probability": verdict.get("probability"),
        "p_new": verdict.get("p_new"),
        "probability": None,
    }
    if name:
        return row | {"individual_id": name, "certainty": CONFIRMED}
    if row["decision"] in NAMED and row["best_candidate_id"]:
        probability = row["best_candidate_probability"]
        return row | {"individual_id": row["best_candidate_id"], "certainty": DECIDED, "probability": probability}
    provisional = verdict.get("provisional_individual_id")
    return row | {"individual_id": provisional, "certainty": PROVISIONAL if provisional else OPEN}


def _facts(photos: Sequence[Mapping[str, Any]], offsets: Mapping[str, str]) -> Row:
    """What the photos of a sighting, in the order of time, say about when and where."""
    extras = [_extra(photo["extra"]) for photo in photos]
    first, extra = photos[0], extras[0]
    place = next((p for p in photos if p["latitude_deg"] is not None and p["longitude_deg"] is not None), first)
    return {
        "taken_on": first["taken_on"],
        "taken_at": first["taken_at"],
        "utc_offset": first.get("utc_offset") or _offset(extra, first["taken_at"]) or offsets.get(first["photo_id"]),
        "site": _most_frequent(extras, SITE),
        "latitude_deg": place["latitude_deg"],
        "longitude_deg": place["longitude_deg"],
        "species": _species(extras),
        "viewpoints": sorted({str(photo["viewpoint"]) for photo in photos} - {str(Viewpoint.UNKNOWN)}),
        "n_photos": len(photos),
        "photo_ids": [photo["photo_id"] for photo in photos],
        "photos": [photo["uri"] for photo in photos],
    }


def _moment(row: Mapping[str, Any]) -> tuple[date, datetime, str]:
    """For sorting; what has no date comes last, and a day without a time comes after its times."""
    return row["taken_on"] or date.max, row["taken_at"] or datetime.max, str(row.get("photo_id", ""))


def _extra(text: str | None) -> dict[str, str]:
    """The unknown columns of ``metadata.csv``, by name in small letters."""
    return {str(k).strip().casefold(): str(v).strip() for k, v in json.loads(text).items()} if text else {}


def _most_frequent(extras: Sequence[Mapping[str, str]], names: Sequence[str]) -> str | None:
    """The value that most photos have in the first of the columns that any of them fills."""
    for name in names:
        values = Counter(extra[name] for extra in extras if extra.get(name))
        if values:
            return values.most_common(1)[0][0]
    return None


def _species(extras: Sequence[Mapping[str, str]]) -> str | None:
    genus, epithet = (_most_frequent(extras, (f"encounter.{part}",)) for part in ("genus", "specificepithet"))
    species = _most_frequent(extras, SPECIES) or (f"{genus} {epithet}" if genus and epithet else None)
    return scientific_name(species) if species else None


def scientific_name(species: str) -> str:
    """The scientific name of a sea turtle that is given by its common one; other names as they are, with one space between words."""
    text = " ".join(species.replace("_", " ").split())
    return COMMON_NAMES.get(text.casefold().removesuffix("turtle").strip().removesuffix("sea").strip(), text)


def _offset(extra: Mapping[str, str], local: datetime | None) -> str | None:
    return None if local is None else offset_in(extra, local)
