"""How far the clock on the spot was from UTC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from resight.errors import MachineError, SettingsError
from resight.ingest.addresses import is_remote
from resight.ingest.decode import clock_of

FIXED = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?([0-5]\d))?")
MOST_HOURS = 14


def offset_at(zone: str, local: datetime) -> str:
    """The offset of a time zone from UTC at a local time.

    Args:
        zone: ``+03:00``, ``+3``, ``UTC+3``, ``Z``, ``UTC``, or a name such as ``Europe/Athens``.
        local: Time on the clock there.

    Returns:
        E.g. ``+03:00``.

    Raises:
        ValueError: There is no such zone.
    """
    text = zone.strip()
    if text.upper() in {"Z", "UTC", "GMT"}:
        return "+00:00"
    fixed = FIXED.fullmatch(text.upper())
    if fixed:
        sign, hours, minutes = fixed[1], int(fixed[2]), fixed[3] or "00"
        if hours > MOST_HOURS:
            raise ValueError(f"{zone!r} is no offset from UTC")
        return f"{sign}{hours:02d}:{minutes}"
    try:
        written = local.replace(tzinfo=ZoneInfo(text)).strftime("%z")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{zone!r} is no time zone") from None
    return f"{written[:3]}:{written[3:5]}"


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
    """UTC offsets that EXIF gives for the times in the table ``photos``, by photo.

    Left out: photos whose time is not that of their EXIF, photos behind a network address, and files that are gone.
    """
    offsets = {}
    for photo in photos:
        if photo["taken_at"] is None or is_remote(photo["uri"]):
            continue
        try:
            taken_at, offset = clock_of(photo["uri"], root)
        except (OSError, MachineError):  # exporting needs no photos: a copy of the tables may have none beside it
            continue
        if offset and taken_at == photo["taken_at"].replace(microsecond=0):
            offsets[photo["photo_id"]] = offset
    return offsets
