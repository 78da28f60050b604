"""What the camera wrote into the file: orientation, time, place, make and model. Nonsense counts as missing."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

from resight.ingest.values import check_coordinates

BROKEN_EXIF = (
    OSError,
    SyntaxError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    EOFError,
    struct.error,
)
OFFSET = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")
TIME = re.compile(r"(\d{4})[:\-/](\d\d)[:\-/](\d\d)[ T](\d\d):(\d\d):(\d\d)")
UPRIGHT = 1


@dataclass(frozen=True)
class Exif:
    """Columns of `photos` that come from EXIF; ``orientation`` is 1 to 8, ``utc_offset`` that of ``taken_at``, e.g. ``+03:00``."""

    orientation: int = UPRIGHT
    taken_at: datetime | None = None
    utc_offset: str | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    camera: str | None = None


def read_exif(image: Image.Image) -> Exif:
    """EXIF of an opened picture; the defaults where there is none or it is broken."""
    try:
        tags = image.getexif()
        details = tags.get_ifd(ExifTags.IFD.Exif)
        gps = tags.get_ifd(ExifTags.IFD.GPSInfo)
    except BROKEN_EXIF:
        return Exif()
    latitude, longitude = _position(gps)
    taken_at, offset = _taken_at(tags, details), _utc_offset(details)
    return Exif(_orientation(image, tags), taken_at, offset, latitude, longitude, _camera(tags))


def read_offset(image: Image.Image) -> tuple[datetime | None, str]:
    """When an opened picture was taken (local time) and the offset of that clock from UTC, e.g. ``+03:00``; '' where it says none."""
    try:
        tags = image.getexif()
        details = tags.get_ifd(ExifTags.IFD.Exif)
    except BROKEN_EXIF:
        return None, ""
    return _taken_at(tags, details), _utc_offset(details) or ""


def _utc_offset(details: dict[int, Any]) -> str | None:
    names = (ExifTags.Base.OffsetTimeOriginal, ExifTags.Base.OffsetTimeDigitized, ExifTags.Base.OffsetTime)
    texts = (_text(details.get(name)).replace("Z", "+00:00") for name in names)
    return next((text for text in texts if OFFSET.fullmatch(text)), None)


def _orientation(image: Image.Image, tags: Image.Exif) -> int:
    """The HEIF reader has already turned the picture and keeps the original value aside."""
    value = image.info.get("original_orientation") or tags.get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def _taken_at(tags: Image.Exif, details: dict[int, Any]) -> datetime | None:
    """DateTimeOriginal, then DateTimeDigitized, then the file's DateTime: local time of the camera, without its zone."""
    original, digitized, changed = (
        ExifTags.Base.DateTimeOriginal,
        ExifTags.Base.DateTimeDigitized,
        ExifTags.Base.DateTime,
    )
    for value in (
        details.get(original),
        tags.get(original),
        details.get(digitized),
        tags.get(digitized),
        tags.get(changed),
    ):
        match = TIME.match(_text(value))
        if match:
            try:
                return datetime(*(int(g) for g in match.groups()))  # type: ignore[arg-type]
            except ValueError:  # 0000:00:00, as cameras with a dead clock write it
                continue
    return None


def _position(gps: dict[int, Any]) -> tuple[float | None, float | None]:
    """WGS 84 latitude and longitude in degrees; missing where a hemisphere is missing or the receiver had no fix (0, 0)."""
    latitude = _degrees(gps.get(ExifTags.GPS.GPSLatitude), _text(gps.get(ExifTags.GPS.GPSLatitudeRef)), "N", "S")
    longitude = _degrees(gps.get(ExifTags.GPS.GPSLongitude), _text(gps.get(ExifTags.GPS.GPSLongitudeRef)), "E", "W")
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None, None
    try:
        return check_coordinates(latitude, longitude)
    except ValueError:
        return None, None


def _degrees(value: Any, hemisphere: str, positive: str, negative: str) -> float | None:
    sign = {positive: 1.0, negative: -1.0}.get(hemisphere[:1].upper())
    if sign is None or not isinstance(value, tuple | list) or not 1 <= len(value) <= 3:
        return None
    try:
        parts = [float(v) for v in value] + [0.0, 0.0]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    degrees = parts[0] + parts[1] / 60 + parts[2] / 3600
    return sign * degrees if math.isfinite(degrees) else None


def _camera(tags: Image.Exif) -> str | None:
    """Make and model; the make is left out where the model repeats it."""
    make, model = _text(tags.get(ExifTags.Base.Make)), _text(tags.get(ExifTags.Base.Model))
    both = model if model.casefold().startswith(make.casefold()) else f"{make} {model}"
    return both.strip() or None


def _text(value: Any) -> str:
    """Printable text of a tag; '' for anything else."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in value.split("\0")[0]).split())
