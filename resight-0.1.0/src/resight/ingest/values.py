"""Turns what people write into label files into values. Each function raises `ValueError` for what it cannot read."""

from __future__ import annotations

import math
import re
from datetime import date, datetime

from resight.status import Viewpoint

MISSING = {"", "na", "n/a", "nan", "none", "null", "nil", "unknown", "unidentified", "unassigned", "?", "-", "--"}
SIDES = {
    Viewpoint.LEFT: "left l lefthand leftside leftprofile leftlateral frontleft backleft topleft upleft leftfront leftback",
    Viewpoint.RIGHT: "right r righthand rightside rightprofile rightlateral frontright backright topright upright rightfront rightback",
    Viewpoint.TOP: "top t up above fromabove dorsal overhead",
    Viewpoint.FRONT: "front f frontal anterior",
    Viewpoint.BACK: "back b rear behind posterior",
}
VIEWPOINTS = {word: side for side, words in SIDES.items() for word in words.split()}
ROLES = {
    "gallery": "gallery", "galleries": "gallery", "reference": "gallery", "references": "gallery", "database": "gallery", "train": "gallery",
    "query": "query", "queries": "query", "probe": "query", "test": "query",
}  # fmt: skip
DAY = r"(?P<y>\d{4})(?P<s>[-:/.]?)(?P<m>\d\d)(?P=s)(?P<d>\d\d)|(?P<d2>\d{1,2})\.(?P<m2>\d{1,2})\.(?P<y2>\d{4})"
TIME = r"(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?)?"
WHEN = re.compile(rf"(?:{DAY})(?:[T ]+{TIME}\s*(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?)?")


def is_missing(text: str | None) -> bool:
    """Whether a cell says nothing: empty, NA, none, unknown and the like."""
    return text is None or text.strip().casefold() in MISSING


def parse_when(text: str) -> tuple[datetime | None, date]:
    """Local time (missing where only the day is given) and day. A time zone is dropped: the clock on the spot counts.

    Years come first (2010-07-02, 2010:07:02, 2010/07/02, 20100702), or days with dots (2.7.2010). 07/02/2010 is refused:
    it is February to some and July to others.
    """
    match = WHEN.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is no date")
    g = match.groupdict()
    day = date(int(g["y"] or g["y2"]), int(g["m"] or g["m2"]), int(g["d"] or g["d2"]))
    if g["H"] is None:
        return None, day
    micros = int((g["f"] or "0")[:6].ljust(6, "0"))
    return datetime(day.year, day.month, day.day, int(g["H"]), int(g["M"]), int(g["S"] or 0), micros), day


def zone_of(text: str) -> str:
    """The offset from UTC as it stands behind a time, e.g. ``+03:00`` or ``Z``; '' where there is none."""
    match = WHEN.fullmatch(text.strip())
    return (match["zone"] or "") if match else ""


def parse_viewpoint(text: str) -> Viewpoint:
    """Side of the head. Oblique views count as the side that they show, because the other side is hidden in them."""
    if is_missing(text):
        return Viewpoint.UNKNOWN
    word = re.sub(r"[^a-z]", "", text.casefold())
    for candidate in (word, word.removesuffix("view"), word.removesuffix("side"), word.removesuffix("head")):
        if candidate in VIEWPOINTS:
            return VIEWPOINTS[candidate]
    raise ValueError(f"{text!r} is no viewpoint")


def parse_role(text: str) -> str:
    """``gallery`` or ``query``."""
    try:
        return ROLES[text.strip().casefold()]
    except KeyError:
        raise ValueError(f"{text!r} is no role") from None


def parse_coordinates(latitude: str, longitude: str) -> tuple[float, float]:
    """WGS 84 degrees; a decimal comma is read too."""
    return check_coordinates(_number(latitude), _number(longitude))


def check_coordinates(latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
    """The same two numbers if they lie on the globe."""
    if (
        not (math.isfinite(latitude_deg) and math.isfinite(longitude_deg))
        or abs(latitude_deg) > 90
        or abs(longitude_deg) > 180
    ):
        raise ValueError(f"{latitude_deg}, {longitude_deg} is no place on the globe")
    return latitude_deg, longitude_deg


def _number(text: str) -> float:
    text = text.strip().removesuffix("°")
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
