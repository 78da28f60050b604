"""How far the clock on the spot was from UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from resight.errors import MachineError, SettingsError
from resight.ingest.addresses import is_remote
from resight.ingest.decode import clock_of
from resight.ingest.zones import offset_at as offset_at


def checked_zone(zone: str) -> str:
    """The time zone if it is one.

    Raises:
        SettingsError: It is not.
    """
    try:
        offset_at(zone, datetime(2000, 1, 1))
    except ValueError as error:
        raise SettingsError(f"{error}; write an offset such as +03:00 or a name such as Europe/Athens.") from None
    return zone


def photo_offsets(photos: Iterable[Mapping[str, Any]], root: Path) -> dict[str, str]:
    """UTC offsets that EXIF gives for the times in the table ``photos``, by photo; for runs of before it had a column for them.

    Left out: photos that have one there, photos whose time is not that of their EXIF, photos behind a network address, and files that are gone.
    """
    offsets = {}
    for photo in photos:
        if photo.get("utc_offset") or photo["taken_at"] is None or is_remote(photo["uri"]):
            continue
        try:
            taken_at, offset = clock_of(photo["uri"], root)
        except (OSError, MachineError):  # exporting needs no photos: a copy of the tables may have none beside it
            continue
        if offset and taken_at == photo["taken_at"].replace(microsecond=0):
            offsets[photo["photo_id"]] = offset
    return offsets
