"""Photos taken within seconds of each other show the same moment; together they count once."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa


def moments(crops_info: pa.Table, burst_seconds: float) -> dict[str, str]:
    """The moment of each photo: the smallest photo_id of its burst.

    A burst is a series of photos of one encounter that show the same side, each taken within ``burst_seconds`` of the one before.
    A photo without a time of day is a moment of its own, and so is one with crops of different sides.

    Args:
        crops_info: Columns ``photo_id``, ``encounter_id``, ``viewpoint`` and ``taken_at``.
        burst_seconds: Longest pause within a burst; 0 turns bursts off.
    """
    moment = {photo: photo for photo in crops_info["photo_id"].to_pylist()}
    names = ("photo_id", "encounter_id", "viewpoint", "taken_at")
    if burst_seconds <= 0 or not set(names) <= set(crops_info.column_names):
        return moment
    for series in _series(crops_info.select(names).to_pylist()):
        burst: list[str] = []
        last: datetime | None = None
        for taken_at, photo in series:
            if last is None or (taken_at - last).total_seconds() > burst_seconds:
                burst = []
            burst.append(photo)
            last = taken_at
            moment |= dict.fromkeys(burst, min(burst))
    return moment


def _series(rows: list[dict[str, object]]) -> list[list[tuple[datetime, str]]]:
    """Timed photos by encounter and side, in order of time."""
    sides: dict[str, set[object]] = {}
    for row in rows:
        sides.setdefault(str(row["photo_id"]), set()).add(row["viewpoint"])
    series: dict[tuple[object, object], set[tuple[datetime, str]]] = {}
    for row in rows:
        taken_at, photo = row["taken_at"], str(row["photo_id"])
        if isinstance(taken_at, datetime) and len(sides[photo]) == 1:
            series.setdefault((row["encounter_id"], row["viewpoint"]), set()).add((taken_at, photo))
    return [sorted(photos) for photos in series.values()]
