"""Which photos without a name were taken of one animal, met once: the rule where nobody has said so.

A folder may be a dive or the whole season of one camera, so it takes more than a common folder to put photos together.
"""

from __future__ import annotations

import hashlib
import math
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from resight.ingest.addresses import is_remote
from resight.ingest.params import EncounterParams
from resight.status import EncounterSource

Row = Mapping[str, Any]
Encounter = tuple[str, EncounterSource]

MOST_IN_A_DIVE = 20  # photos in a folder that may stand for one animal
LEAST_DIVES = 3  # folders side by side: two may be what is known and what is new
DIVE_GAP = timedelta(minutes=5)  # within a folder that stands for a dive
LONGEST = timedelta(hours=1)
FARTHEST_M = 200.0
EARTH_RADIUS_M = 6_371_000.0


def default_encounters(rows: Sequence[Row], params: EncounterParams) -> dict[str, Encounter]:
    """Encounter and where it comes from, by photo, for those photos that have neither a name nor an encounter.

    Args:
        rows: Columns ``photo_id``, ``uri``, ``taken_at``, ``taken_on``, ``latitude_deg``, ``longitude_deg``, ``individual_id`` and,
            where it is settled already, ``encounter_id`` of all photos.
        params: The rule. ``auto``: photos of one folder and day, taken shortly one after the other and not far apart, or
            those of a folder that stands for a dive (`dive_folders`).
    """
    open_rows = [row for row in rows if not row["individual_id"] and not row.get("encounter_id")]
    if params.unlabelled == "photo":
        return {}
    if params.unlabelled == "folder":
        return {row["photo_id"]: (_of_day(row), EncounterSource.FOLDER_AND_DAY) for row in open_rows}
    dives = dive_folders(rows)
    found: dict[str, Encounter] = {}
    timed: dict[tuple[str, date], list[Row]] = defaultdict(list)
    for row in open_rows:
        if row["taken_at"] is not None:
            timed[folder_of(row), row["taken_on"]].append(row)
        elif folder_of(row) in dives:
            found[row["photo_id"]] = (_of_day(row), EncounterSource.FOLDER_AND_DAY)
    for (folder, day), photos in timed.items():
        gap = max(timedelta(minutes=params.gap_minutes), DIVE_GAP if folder in dives else timedelta(0))
        same_second: Counter[str] = Counter()  # two cameras far apart may have one folder and begin in one second
        for window in windows(photos, gap):
            if len(window) == 1 and folder not in dives:
                continue
            name = f"{_shown(folder)}-{day.isoformat()}-{window[0]['taken_at']:%H%M%S}"
            same_second[name] += 1
            name += f"-{same_second[name]}" if same_second[name] > 1 else ""
            found |= {row["photo_id"]: (name, EncounterSource.FOLDER_AND_TIME) for row in window}
    return found


def dive_folders(rows: Iterable[Row]) -> set[str]:
    """Folders that stand for a dive: several lie side by side, each with a handful of photos of one animal and no folder within.

    A folder that is called like the animal in it is a catalogue's, and says nothing about those beside it.
    """
    names: dict[str, list[str | None]] = defaultdict(list)
    above: set[str] = set()
    for row in rows:
        folder = folder_of(row)
        names[folder].append(row["individual_id"])
        while folder and folder not in above and posixpath.dirname(folder) != folder:
            folder = posixpath.dirname(folder)
            above.add(folder)
    beside: dict[str, list[str]] = defaultdict(list)
    for folder, found in names.items():
        animals = {name for name in found if name}
        is_catalogue = {name.casefold() for name in animals} == {posixpath.basename(folder).casefold()}
        if folder and folder not in above and len(found) <= MOST_IN_A_DIVE and len(animals) < 2 and not is_catalogue:
            beside[posixpath.dirname(folder)].append(folder)
    return {folder for folders in beside.values() if len(folders) >= LEAST_DIVES for folder in folders}


def windows(photos: Iterable[Row], gap: timedelta) -> list[list[Row]]:
    """Photos of one folder and day in the order of time, cut where more than ``gap`` passes or the camera has moved away.

    No window is longer than an hour: in a camera that never rests the gap says nothing.
    """
    found: list[list[Row]] = []
    for row in sorted(photos, key=lambda r: (r["taken_at"], r["uri"])):
        before = found[-1][-1] if found else None
        started: datetime | None = found[-1][0]["taken_at"] if found else None
        if (
            before is None
            or row["taken_at"] - before["taken_at"] > gap
            or (started is not None and row["taken_at"] - started > LONGEST)
            or distance_m(before, row) > FARTHEST_M
        ):
            found.append([])
        found[-1].append(row)
    return found


def distance_m(a: Row, b: Row) -> float:
    """Between two places on the globe (haversine formula); 0 where one is not known."""
    places = [row[name] for row in (a, b) for name in ("latitude_deg", "longitude_deg")]
    if any(value is None for value in places):
        return 0.0
    lat_a, lon_a, lat_b, lon_b = map(math.radians, places)
    half = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, half)))


def folder_of(row: Row) -> str:
    """The folder of a photo; '' for the workspace itself."""
    return posixpath.dirname(row["uri"])


def _of_day(row: Row) -> str:
    return f"{_shown(folder_of(row))}-{row['taken_on'].isoformat() if row['taken_on'] else 'undated'}"


def _shown(folder: str) -> str:
    """A folder's name in tables that go to other people: outside of the workspace its last two parts, and what tells it apart."""
    if not is_remote(folder) and not PurePosixPath(folder).is_absolute() and not PureWindowsPath(folder).is_absolute():
        return folder or "."
    parts = [part for part in folder.split("?")[0].split("/") if part]
    return f"{'/'.join(parts[-2:])}~{hashlib.sha256(folder.encode()).hexdigest()[:4]}"
