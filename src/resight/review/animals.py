"""The catalogue: what is known of each animal, and of all together."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from math import cos, radians
from typing import Any

import pyarrow.compute as pc

from resight.decisions.asking import sentence
from resight.decisions.entry import Entry, Kind
from resight.decisions.names import alike
from resight.errors import DamagedError
from resight.review.board import Board, Crop, key_of
from resight.run.calibration import calibration_pairs
from resight.status import PairStatus, PhotoStatus
from resight.store.runs import run_record

log = logging.getLogger("resight")
Row = dict[str, Any]
SIDES = ("left", "right")
MOST_SIMILAR = 5
FEWEST_FIT = 12  # points between photos of two animals, from which on they are worth a look


@dataclass(frozen=True)
class Sighting:
    """An encounter with the animal."""

    day: date | None
    encounter_id: str
    n_photos: int
    place: tuple[float, float] | None


@dataclass(frozen=True)
class Animal:
    """What is known of one animal.

    Attributes:
        best: The sharpest head of each side.
        crops: All heads, by side and time.
        missing: Sides of which there is no photo.
        similar: Other animals that may be the same, the most similar first, and why.
        story: Decisions about its name and photos, the newest first.
    """

    key: str
    name: str
    best: Mapping[str, Crop]
    crops: Sequence[Crop]
    sightings: Sequence[Sighting]
    missing: Sequence[str]
    similar: Sequence[tuple[str, str]]
    earlier_names: Sequence[str]
    story: Sequence[tuple[Entry, str]]

    @property
    def first(self) -> date | None:
        """Day of the first sighting that has a date."""
        return min((s.day for s in self.sightings if s.day), default=None)

    @property
    def last(self) -> date | None:
        """Day of the last one."""
        return max((s.day for s in self.sightings if s.day), default=None)


def animals(board: Board) -> dict[str, Animal]:
    """All animals by key, in the order of their names, as of now."""
    photos: dict[str, list[Row]] = defaultdict(list)
    decided = board.desk.decided
    for row in board.desk.tables.photos.values():
        name = board.desk.name_of(row, decided) if row["status"] == PhotoStatus.OK else None
        if name and decided.taken_out(row["photo_id"]) is None:
            photos[name].append(row)
    like = _similar(board, photos)
    return {key_of(name): _animal(board, name, photos[name], like.get(name, [])) for name in sorted(photos)}


def _animal(board: Board, name: str, rows: Sequence[Row], similar: Sequence[tuple[str, str]]) -> Animal:
    decided, sharp = board.desk.decided, {row["photo_id"]: row["sharpness"] or 0.0 for row in rows}
    crops = [crop for row in rows for crop in board.crops_of(row["photo_id"])]
    best: dict[str, Crop] = {}
    for crop in sorted(crops, key=lambda c: (c.crop_id is not None, sharp[c.photo_id])):
        best[crop.viewpoint] = crop
    names = {name, *(old for old, now in decided.current_name.items() if now == name)}
    ids = set(sharp)
    about = [e for e in decided.entries if {e.individual_id, e.into} & names or ids & set(e.photos)]
    missing = [side for side in SIDES if side not in best]
    order = sorted(best, key=lambda side: (side not in SIDES, side))
    return Animal(
        key_of(name), name, {side: best[side] for side in order}, sorted(crops, key=lambda c: (c.viewpoint, c.when)),
        _sightings(rows), missing, similar, sorted(names - {name}),
        [(e, sentence(e) + ("" if decided.counts(e) else " (undone)")) for e in reversed(about)],
    )  # fmt: skip


def _sightings(rows: Sequence[Row]) -> list[Sighting]:
    groups: dict[tuple[str, date | None], list[Row]] = defaultdict(list)
    for row in rows:
        groups[(row["encounter_id"], row["taken_on"])].append(row)
    found = []
    for (encounter, day), own in groups.items():
        at = next(((r["latitude_deg"], r["longitude_deg"]) for r in own if r["latitude_deg"] is not None), None)
        found.append(Sighting(day, encounter, len(own), at))
    return sorted(found, key=lambda s: (s.day or date.max, s.encounter_id))


def _similar(board: Board, photos: Mapping[str, Sequence[Row]]) -> dict[str, list[tuple[str, str]]]:
    """Pairs of names that may be one animal: names that look alike, and photos of which many points fit."""
    decided = board.desk.decided
    name_of = {row["photo_id"]: name for name, rows in photos.items() for row in rows}
    found: dict[frozenset[str], tuple[int, str]] = {}
    for a, b, n in _between(board):
        pair = frozenset((name_of.get(a, ""), name_of.get(b, "")))
        if len(pair) == 2 and "" not in pair and n >= FEWEST_FIT and n > found.get(pair, (0, ""))[0]:
            found[pair] = n, f"{n} points of two photos fit"
    names = sorted(photos)
    for k, one in enumerate(names):
        for other in names[k + 1 :]:
            if alike(one, other):
                n, why = found.get(frozenset((one, other)), (0, ""))
                found[frozenset((one, other))] = n + 1000, "; ".join(filter(None, ["the names look alike", why]))
    similar: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for pair, (_, why) in sorted(found.items(), key=lambda item: (-item[1][0], sorted(item[0]))):
        one, other = sorted(pair)
        if pair not in decided.apart:
            similar[one].append((other, why))
            similar[other].append((one, why))
    return {name: pairs[:MOST_SIMILAR] for name, pairs in similar.items()}


def _between(board: Board) -> list[tuple[str, str, int]]:
    """Photos of the gallery that were compared with each other, and how many points fit."""
    generation = board.desk.tables.generation
    if not generation.has("pairs") or not generation.has("runs"):
        return []
    record = run_record(generation.table("runs"))
    try:
        pairs = calibration_pairs(generation.workspace, record, lambda: generation.table("pairs"))
    except DamagedError as damage:
        log.warning("%s Animals that may be one are told by their names alone.", damage)
        return []
    wanted = pc.and_(
        pc.equal(pairs["status"], PairStatus.SCORED),
        pc.fill_null(pc.greater_equal(pairs["n_inliers"], FEWEST_FIT), False),
    )
    rows = pairs.filter(wanted).select(["query_photo_id", "gallery_photo_id", "n_inliers"])
    return list(zip(*(rows[c].to_pylist() for c in rows.column_names), strict=True))


@dataclass(frozen=True)
class Season:
    """All animals together.

    Attributes:
        discovered: Day, and how many animals had been met by then.
        months: Month, and sightings in it.
        intervals: Days between sightings of one animal, in classes, and how often.
    """

    discovered: Sequence[tuple[date, int]]
    months: Sequence[tuple[str, int]]
    intervals: Sequence[tuple[str, int]]


CLASSES = (("same week", 7), ("same month", 31), ("within a year", 366), ("later", 10**6))


def season(found: Mapping[str, Animal]) -> Season:
    """Counts over all animals whose sightings have dates."""
    firsts = Counter(a.first for a in found.values() if a.first)
    total, discovered = 0, []
    for day in sorted(firsts):
        total += firsts[day]
        discovered.append((day, total))
    months = Counter(s.day.strftime("%Y-%m") for a in found.values() for s in a.sightings if s.day)
    gaps: Counter[str] = Counter()
    for animal in found.values():
        days = sorted({s.day for s in animal.sightings if s.day})
        for before, after in pairwise(days):
            gaps[next(name for name, most in CLASSES if (after - before).days <= most)] += 1
    return Season(discovered, sorted(months.items()), [(name, gaps[name]) for name, _ in CLASSES])


RENAMING = frozenset({Kind.RENAME, Kind.MERGE, Kind.APART})


def curve(points: Sequence[tuple[date, int]], width: float = 600.0, height: float = 140.0) -> str:
    """Points of an SVG polyline that rises by steps."""
    if not points:
        return ""
    first, span = points[0][0], max((points[-1][0] - points[0][0]).days, 1)
    top, line, before = points[-1][1], [], 0.0
    for day, n in points:
        x, y = width * (day - first).days / span, height * (1 - n / top)
        line += [f"{x:.1f},{height - before:.1f}", f"{x:.1f},{y:.1f}"]
        before = height - y
    return " ".join([*line, f"{width:.1f},{height - before:.1f}"])


def timeline(
    sightings: Sequence[Sighting], first: date, last: date, width: float = 600.0
) -> list[tuple[float, float, str]]:
    """Where sightings stand on a line from ``first`` to ``last``: x, radius by number of photos, and what is said of each."""
    span = max((last - first).days, 1)
    return [
        (
            width * (s.day - first).days / span,
            4.0 + min(s.n_photos, 8) / 2,
            f"{s.day}: {s.n_photos} photo{'s' if s.n_photos != 1 else ''}",
        )
        for s in sightings
        if s.day
    ]


KM_PER_DEGREE = 111.2  # of latitude; on a sphere of 6,371 km
SMALLEST_MAP_DEG = 0.002  # some 220 m: what positions of cameras can tell apart
MAP_PX, EDGE_PX = (300.0, 220.0), 24.0


def plotted(places: Sequence[tuple[float, float]]) -> tuple[list[tuple[float, float]], tuple[float, str]]:
    """A map of the places' own surroundings: x and y in `MAP_PX`, north up, distances alike in both directions; and a scale.

    Args:
        places: Latitude and longitude in degrees.

    Returns:
        The points, and the length of a scale in pixels with the distance that it stands for.
    """
    if not places:
        return [], (0.0, "")
    mid = sum(lat for lat, _ in places) / len(places)
    xy = [(lon * cos(radians(mid)), -lat) for lat, lon in places]
    spans = [(min(values), max(values)) for values in zip(*xy, strict=True)]
    sizes = (max(high - low, SMALLEST_MAP_DEG) for low, high in spans)
    scale = min((px - 2 * EDGE_PX) / size for px, size in zip(MAP_PX, sizes, strict=True))
    points = [
        tuple(px / 2 + (v - (low + high) / 2) * scale for v, px, (low, high) in zip(point, MAP_PX, spans, strict=True))
        for point in xy
    ]
    longest_m = 1000 * KM_PER_DEGREE * MAP_PX[0] / 3 / scale
    length_m = max(n * 10**k for k in range(8) for n in (1, 2, 5) if n * 10**k <= longest_m)
    said = f"{length_m // 1000} km" if length_m >= 1000 else f"{length_m} m"
    return [(x, y) for x, y in points], (length_m * scale / 1000 / KM_PER_DEGREE, said)
