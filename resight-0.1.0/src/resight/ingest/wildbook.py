"""Wildbook's spreadsheets, saved as CSV: one row is an encounter with any number of photos.

Columns are read whatever their case: ``Encounter.mediaAsset0`` and on, ``Encounter.individualID`` (or
``MarkedIndividual.individualID``), ``Encounter.catalogNumber``, ``Encounter.occurrenceID``, ``Encounter.year`` to ``minutes``,
``Encounter.decimalLatitude`` and ``decimalLongitude``, ``Annotation0.Viewpoint``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from resight.ingest.addresses import name_of
from resight.ingest.labels import Entry, label_from
from resight.ingest.notes import Notes
from resight.ingest.values import is_missing

ASSET = re.compile(r"encounter\.mediaasset(\d+)(\.filename)?")
INDIVIDUAL = ("encounter.individualid", "markedindividual.individualid", "markedindividual.nickname", "name0.value")
LATITUDE = ("encounter.decimallatitude", "encounter.latitude")
LONGITUDE = ("encounter.decimallongitude", "encounter.longitude")


def is_wildbook(row: Mapping[str, str]) -> bool:
    """Whether a table with these (lower-case) columns is a Wildbook export with photos."""
    return any(ASSET.fullmatch(column) for column in row)


def read_wildbook(rows: Sequence[Mapping[str, str]], where: str, notes: Notes) -> list[Entry]:
    """One entry per photo of each row."""
    entries = []
    for row in rows:
        assets = {m[1]: row[c] for c in row if (m := ASSET.fullmatch(c)) and row[c]}
        for number, name in sorted(assets.items(), key=lambda item: int(item[0])):
            used = {*INDIVIDUAL, *LATITUDE, *LONGITUDE}
            extra = {k: v for k, v in row.items() if k not in used and not ASSET.fullmatch(k)}
            cells = _cells(row, list(assets.values())) | {"viewpoint": row.get(f"annotation{number}.viewpoint", "")}
            entries.append(Entry((name,), label_from(cells, extra, [name], where, notes)))
    return entries


def _cells(row: Mapping[str, str], assets: Sequence[str]) -> dict[str, str]:
    return {
        "individual_id": _first(row, INDIVIDUAL),
        "taken_at": _when(row),
        "encounter_id": _encounter(row, assets),
        "latitude_deg": _first(row, LATITUDE),
        "longitude_deg": _first(row, LONGITUDE),
    }


def _encounter(row: Mapping[str, str], assets: Sequence[str]) -> str:
    """The encounter's own number; else made up from the occurrence, which several animals may share, and what tells them apart.

    Empty where individual and day will do, or where a lone photo says nothing.
    """
    number, occurrence, individual = (
        _first(row, (f"encounter.{c}",)) for c in ("catalognumber", "occurrenceid", "individualid")
    )
    if number:
        return number
    if not occurrence and (len(assets) < 2 or (individual and _when(row))):
        return ""
    return "-".join(part for part in (occurrence, individual or name_of(assets[0].replace("\\", "/"))) if part)


def _when(row: Mapping[str, str]) -> str:
    """ISO text; empty unless year, month and day are all given."""
    year, month, day, hour, minutes = (
        _first(row, (f"encounter.{c}",)) for c in ("year", "month", "day", "hour", "minutes")
    )
    if not (year and month and day):
        return ""
    text = f"{year.zfill(4)}-{month.zfill(2)}-{day.zfill(2)}"
    return f"{text} {hour.zfill(2)}:{(minutes or '0').zfill(2)}" if hour else text


def _first(row: Mapping[str, str], columns: Sequence[str]) -> str:
    return next((row[c] for c in columns if not is_missing(row.get(c))), "")
