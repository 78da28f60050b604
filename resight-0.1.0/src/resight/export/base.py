"""What every kind of export gets and gives back."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import PurePosixPath, PureWindowsPath
from types import ModuleType
from typing import Any

from resight.errors import SettingsError
from resight.export.sightings import CONFIRMED, DECIDED, PROVISIONAL, Row
from resight.ingest.addresses import is_remote
from resight.store.workspace import Workspace

SHOWN = 3


@dataclass(frozen=True)
class Wishes:
    """What the user wants of an export; each kind names those that it heeds.

    Attributes:
        species: Scientific name for sightings whose photos name none.
        time_zone: Offset from UTC, or name of a time zone, for times that come without one.
        publisher: Person or organisation that publishes the data.
        occasion: Length of a capture occasion: day, month, year, or a number of days.
        by_side: Capture histories also for left and right sides.
        with_unconfirmed: Capture histories also from what no person has confirmed.
        all_periods: Capture occasions also where nothing was photographed.
        with_photos: Copies of the photos lie beside the table.
    """

    species: str | None = None
    time_zone: str | None = None
    publisher: str | None = None
    occasion: str | None = None
    by_side: bool = False
    with_unconfirmed: bool = False
    all_periods: bool = False
    with_photos: bool = False


@dataclass(frozen=True)
class Source:
    """What a kind of export is made from.

    Attributes:
        workspace: Where the run lies.
        run: Its record: id, night, flow, version and model.
        rows: Rows of the table ``sightings``, species and offsets filled in as the user wishes.
        wishes: What the user wants.
        photo_times: Local time of each photo that has one, by ``photo_id``.
    """

    workspace: Workspace
    run: Mapping[str, Any]
    rows: Sequence[Row]
    wishes: Wishes = field(default_factory=Wishes)
    photo_times: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """Name and version of what gave the answers that no person has confirmed."""
        return f"Resight {self.run['resight_version']}"


@dataclass
class Product:
    """What a kind of export has made.

    Attributes:
        files: Contents by name; a name may have folders in it.
        photos: Photos to copy: uri by name.
        notes: What people should know, a sentence each.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    photos: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def csv_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], delimiter: str = ",") -> bytes:
    """A table as UTF-8 text; missing values are empty, booleans ``true`` and ``false``."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else value


def unconfirmed_sentence(row: Mapping[str, Any]) -> str | None:
    """What the program says about a sighting that no person has named, marked as unconfirmed; None for the others."""
    if row["certainty"] == CONFIRMED:
        return None
    if row["certainty"] == DECIDED:
        return f"Unconfirmed answer of the program: {row['individual_id']}{_percent(row['probability'])}"
    said = [f"provisional name {row['individual_id']}"] if row["certainty"] == PROVISIONAL else []
    if row["best_candidate_id"]:
        said.append(f"most similar to {row['best_candidate_id']}{_percent(row['best_candidate_probability'])}")
    if row["p_new"] is not None:
        said.append(f"not in the gallery{_percent(row['p_new'])}")
    return "Unconfirmed; the program does not name it" + (f": {', '.join(said)}" if said else "")


def _percent(probability: float | None) -> str:
    return "" if probability is None else f" ({100 * probability:.1f} %)"


def moment_text(row: Mapping[str, Any]) -> str:
    """ISO 8601: time with offset, time without one, day, or nothing, whichever is known."""
    if row["taken_at"] is not None:
        when: datetime = row["taken_at"]
        return when.isoformat(timespec="seconds") + (row["utc_offset"] or "")
    day: date | None = row["taken_on"]
    return day.isoformat() if day else ""


def public_path(uri: str) -> str:
    """A photo's name for people elsewhere: below the workspace as it is, otherwise its folder and name, and no more of this machine."""
    if is_remote(uri) or PurePosixPath(uri).is_absolute() or PureWindowsPath(uri).is_absolute():
        parts = [part for part in uri.split("?")[0].split("/") if part]
        return "/".join(parts[-2:])
    return uri


def without(rows: Sequence[Row], column: str, sentence: str) -> list[str]:
    """One note where rows lack a value of ``column``; ``{n}`` becomes e.g. "2 of 7", ``{items}`` the first names."""
    lacking = [row["sighting_id"] for row in rows if row[column] is None]
    if not lacking:
        return []
    items = ", ".join(lacking[:SHOWN]) + (f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else "")
    return [sentence.replace("{n}", f"{len(lacking)} of {len(rows)}").replace("{items}", items)]


def need_species(rows: Sequence[Row], words: int = 1) -> None:
    """Refuse sightings without a scientific name of at least so many words.

    Raises:
        SettingsError: There are some.
    """
    lacking = [row for row in rows if len((row["species"] or "").split()) < words]
    if lacking:
        raise SettingsError(
            f"{len(lacking)} of {len(rows)} sightings have no species ({lacking[0]['sighting_id']}, …), which this format "
            "needs; give it with --species 'Caretta caretta', or in a column 'species' of metadata.csv."
        )


def need_package(name: str) -> ModuleType:
    """An installed package that only exports use.

    Raises:
        SettingsError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise SettingsError(
            f"This export needs the package {name}; install it with: pip install 'resight[export]'."
        ) from None
