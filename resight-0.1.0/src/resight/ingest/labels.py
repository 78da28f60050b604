"""Reads `metadata.csv`, its Wildbook and SeaTurtleID cousins, and merges what is said about one photo."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any

from resight.ingest.notes import Notes
from resight.ingest.values import is_missing, parse_coordinates, parse_role, parse_viewpoint, parse_when, zone_of
from resight.status import Viewpoint

DELIMITERS = (",", ";", "\t")
EXCEL_SEPARATOR = re.compile(
    r"\"?sep=([^\w\s\"]|\t)\"?\W*$", re.IGNORECASE
)  # other separators may follow as empty cells
ZONE_COLUMN = "utc_offset"
NAMES = {
    "file": ("file", "path", "file_name", "filename", "file_path", "image", "image_name", "image_path", "photo"),
    "individual_id": ("individual_id", "identity", "individual", "turtle_id", "animal_id"),
    "taken_at": ("taken_at", "date", "datetime", "timestamp", "date_captured"),
    "encounter_id": ("encounter_id", "encounter"),
    "viewpoint": ("viewpoint", "orientation", "side", "view"),
    "role": ("role",),
    "latitude_deg": ("latitude_deg", "latitude", "lat", "decimallatitude"),
    "longitude_deg": ("longitude_deg", "longitude", "lon", "lng", "decimallongitude"),
}


@dataclass(frozen=True)
class Label:
    """What people say about a photo; `None` where they say nothing."""

    individual_id: str | None = None
    taken_at: datetime | None = None
    taken_on: date | None = None
    encounter_id: str | None = None
    viewpoint: Viewpoint | None = None
    role: str | None = None
    place: tuple[float, float] | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A label and the names that its row gives the photo, best first."""

    names: tuple[str, ...]
    label: Label


def read_table(data: bytes, where: str, notes: Notes) -> list[dict[str, str]]:
    """Rows of a CSV file with stripped cells and lower-case column names.

    Comma, semicolon, tab or what Excel's line ``sep=`` says; UTF-8, UTF-16 or Windows-1252.
    """
    text = _decode(data, where, notes)
    first, _, rest = text.partition("\n")
    separator = EXCEL_SEPARATOR.match(first)
    if separator:
        text, delimiter = rest, separator[1]
    else:
        delimiter = max(DELIMITERS, key=first.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", restval="")
        rows = [{k.strip().casefold(): v.strip() for k, v in row.items() if k} for row in reader]
    except csv.Error as error:
        notes.add(f"{where} is no valid CSV file ({{items}}) and was ignored; export it again.", str(error))
        return []
    return [row for row in rows if any(row.values())]


def read_metadata(rows: Sequence[Mapping[str, str]], where: str, notes: Notes) -> list[Entry]:
    """Entries of a table with the columns of ``metadata.csv``; unknown columns go into ``extra``."""
    columns = _columns(rows[0]) if rows else {}
    if rows and not columns["file"]:
        notes.add(f"{where} has no column 'file' and was ignored; add one with the photos' names.")
        return []
    entries = []
    for row in rows:
        names = tuple(row[c] for c in columns["file"] if row[c])
        if names:
            entries.append(Entry(names, _label(row, columns, where, notes)))
        else:
            notes.add(f"{where}: {{n}} rows name no file and are ignored; fill the column '{columns['file'][0]}'.")
    return entries


def label_from(
    cells: Mapping[str, str], extra: Mapping[str, str], names: Sequence[str], where: str, notes: Notes
) -> Label:
    """A label from text, by our column names; what cannot be read is noted and left out."""

    def read(column: str, parse: Any, cure: str) -> Any:
        text = cells.get(column, "")
        if is_missing(text):
            return None
        try:
            return parse(text)
        except ValueError:
            notes.add(
                f"{where}: {{n}} values of {column} cannot be read and are ignored ({{items}}); {cure}.",
                f"{text!r} for {names[0]}",
            )
            return None

    taken_at, taken_on = read("taken_at", parse_when, "write 2010-07-02 or 2010-07-02 14:07:16") or (None, None)
    return Label(
        individual_id=read("individual_id", str.strip, ""),
        taken_at=taken_at,
        taken_on=taken_on,
        encounter_id=read("encounter_id", str.strip, ""),
        viewpoint=read("viewpoint", parse_viewpoint, "write left, right, top, front or back"),
        role=read("role", parse_role, "write gallery or query"),
        place=_place(cells, names, where, notes),
        extra={k: v for k, v in extra.items() if v},
    )


def merge(labels: Sequence[Label], uri: str, notes: Notes) -> Label:
    """One label from all labels of one content; where two contradict each other in a field, neither is believed."""
    values: dict[str, Any] = {}
    for name in (f.name for f in fields(Label) if f.name != "extra"):
        different = list(dict.fromkeys(v for label in labels if (v := getattr(label, name)) is not None))
        if len(different) > 1:
            notes.add(
                f"{{n}} photos are labelled with different values of {name}, so it stays open ({{items}}); correct the label files.",
                f"{uri}: {' / '.join(str(v) for v in different)}",
            )
        values[name] = different[0] if len(different) == 1 else None
    values["extra"] = {k: v for label in reversed(labels) for k, v in label.extra.items()}
    return Label(**values)


def _decode(data: bytes, where: str, notes: Notes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:2]:
        text = data.decode(_utf_16(data), errors="replace").removeprefix("\ufeff")
        if "\ufffd" in text:
            notes.add(f"{where} is damaged UTF-16, so some letters are lost; save it as UTF-8.")
        return text
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        notes.add(f"{where} is not UTF-8 and was read as Windows-1252; save it as UTF-8 if names look wrong.")
        return data.decode("cp1252", errors="replace")


def _utf_16(data: bytes) -> str:
    """Its byte order, by the mark or by where the first letter has its zero."""
    return "utf-16-be" if data[:2] == b"\xfe\xff" or data[:1] == b"\0" else "utf-16-le"


def _columns(row: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The columns that hold each of our fields: several for ``file``, otherwise the best one."""
    present = {name: tuple(c for c in candidates if c in row) for name, candidates in NAMES.items()}
    return {name: columns if name == "file" else columns[:1] for name, columns in present.items()}


def _label(row: Mapping[str, str], columns: Mapping[str, tuple[str, ...]], where: str, notes: Notes) -> Label:
    used = {c for present in columns.values() for c in present}
    cells = {name: row[present[0]] for name, present in columns.items() if present and name != "file"}
    names = [row[c] for c in columns["file"] if row[c]]
    extra = {k: v for k, v in row.items() if k not in used}
    zone = zone_of(cells.get("taken_at", ""))
    if zone and not extra.get(ZONE_COLUMN):
        extra[ZONE_COLUMN] = zone  # times are local; exports need to know how far from UTC
    return label_from(cells, extra, names, where, notes)


def _place(cells: Mapping[str, str], names: Sequence[str], where: str, notes: Notes) -> tuple[float, float] | None:
    latitude, longitude = cells.get("latitude_deg", ""), cells.get("longitude_deg", "")
    if is_missing(latitude) and is_missing(longitude):
        return None
    try:
        return parse_coordinates(latitude, longitude)
    except ValueError:
        notes.add(
            f"{where}: {{n}} coordinates are no place on the globe and are ignored ({{items}}); write degrees such as 37.72 and 20.87.",
            f"{latitude!r}, {longitude!r} for {names[0]}",
        )
        return None
