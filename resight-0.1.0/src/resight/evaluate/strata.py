"""What queries are grouped by, and in which order the groups are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

# Upper ends of the bins of days between a query and the nearest gallery photo of its animal.
DAY_BINS = ((0, "0"), (30, "1-30"), (365, "31-365"), (1825, "366-1825"))
LAST_DAYS, NO_DATE = "1826+", "unknown"
PHOTO_BINS = ((1, "1"), (3, "2-3"), (7, "4-7"), (15, "8-15"))
LAST_PHOTOS = "16+"
SIZES = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
VIEWS = ("left", "right", "top", "front", "back", "unknown", "mixed")
SEEN = ("good", "fair", "poor", "none", "mixed")


def day_bin(days: int | None) -> str:
    """Bin of the days to the nearest gallery photo of the animal; ``unknown`` without dates."""
    return NO_DATE if days is None else _bin(days, DAY_BINS, LAST_DAYS)


def photo_bin(n: int) -> str:
    """Bin of the number of gallery photos of the animal."""
    return _bin(n, PHOTO_BINS, LAST_PHOTOS)


def strata(rows: Sequence[Row], column: str) -> dict[str, list[int]]:
    """Indices of the rows in each stratum of a column, in the order of `ORDER`; rows without a value are left out."""
    name = COLUMNS[column]
    groups: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        value = name(row)
        if value is not None:
            groups.setdefault(value, []).append(k)
    order = ORDER.get(column, ())
    return {v: groups[v] for v in sorted(groups, key=lambda v: (order.index(v) if v in order else len(order), v))}


def gallery_sizes(n_animals: int) -> list[int]:
    """Sizes of the smaller galleries that get a figure."""
    return [size for size in SIZES if size < n_animals]


def _bin(value: int, bins: Sequence[tuple[int, str]], last: str) -> str:
    return next((name for end, name in bins if value <= end), last)


COLUMNS: dict[str, Callable[[Row], str | None]] = {
    "viewpoint": lambda r: r["viewpoint"],
    "visibility": lambda r: r["visibility"],
    "days_between": lambda r: day_bin(r["days_between"]),
    "gallery_photos": lambda r: photo_bin(r["n_gallery_photos"]),
}
ORDER: dict[str, tuple[str, ...]] = {
    "viewpoint": VIEWS,
    "visibility": SEEN,
    "days_between": (*(name for _, name in DAY_BINS), LAST_DAYS, NO_DATE),
    "gallery_photos": (*(name for _, name in PHOTO_BINS), LAST_PHOTOS),
}
