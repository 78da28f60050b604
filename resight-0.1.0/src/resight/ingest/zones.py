"""How far the clock on the spot was from UTC."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ZONE = ("utc_offset", "time_zone", "timezone")  # columns of metadata.csv
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


def offset_in(extra: Mapping[str, str], local: datetime) -> str | None:
    """The offset that columns of ``metadata.csv`` give for a local time; None where they give none that can be read.

    Args:
        extra: Unknown columns, by name in small letters.
        local: Time on the clock there.
    """
    zone = next((extra[name] for name in ZONE if extra.get(name)), None)
    try:
        return None if zone is None else offset_at(zone, local)
    except ValueError:
        return None
