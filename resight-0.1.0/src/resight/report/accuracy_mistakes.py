"""Mistakes and changed identifications with their photos side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resight.report import words
from resight.report.accuracy_data import AccuracyData
from resight.report.pictures import EmbeddedCrop, EmbeddedCrops

Row = Mapping[str, Any]
PAIRS_SHOWN = 10


@dataclass(frozen=True)
class Shown:
    """A crop and what stands under it. ``kind`` is query, wrong, right or none."""

    kind: str
    title: str
    picture: EmbeddedCrop | None
    file: str
    when: str
    view: str


@dataclass(frozen=True)
class Case:
    """An identification to look at, with its photos."""

    headline: str
    sentence: str
    badge: str
    kind: str
    shown: tuple[Shown, ...]


class Album:
    """Finds crops by their id and embeds them."""

    def __init__(self, data: AccuracyData, pictures: EmbeddedCrops) -> None:
        columns = ["photo_id", "uri", "taken_at", "taken_on"]
        self._photos = {r["photo_id"]: r for r in data.photos.select(columns).to_pylist()}
        self._crops = {r["crop_id"]: r for r in data.crops.select(["crop_id", "photo_id", "viewpoint"]).to_pylist()}
        self._pictures = pictures

    def show(self, kind: str, title: str, crop_id: str | None) -> Shown:
        """A crop with its file, day and side; without picture where there is none."""
        crop = self._crops.get(crop_id or "", {})
        photo = self._photos.get(crop.get("photo_id", ""), {})
        file = words.photo_path(photo["uri"]) if photo else ""
        when = words.day(photo.get("taken_on") or photo.get("taken_at"))
        return Shown(kind, title, self._pictures.of(crop_id) if crop else None, file, when, crop.get("viewpoint", ""))


def mistakes(data: AccuracyData, album: Album) -> list[Case]:
    """Wrong identifications, the most confident first: encounters, then single photos of other encounters."""
    wrong = [
        r for r in data.outcomes if r["trial"] == "closed" and r["known"] and not r["correct"] and r["individual_id"]
    ]
    encounters = sorted((r for r in wrong if r["level"] == "encounter"), key=_most_confident)
    ids = {r["encounter_id"] for r in encounters}
    photos = sorted((r for r in wrong if r["level"] == "photo" and r["encounter_id"] not in ids), key=_most_confident)
    return [_mistake(r, album) for r in [*encounters, *photos][: data.worst]]


def confusions(data: AccuracyData) -> list[tuple[str, str, int, int]]:
    """(animal, mistaken for, photos, photos of that animal), the most frequent first."""
    photos = [r for r in data.outcomes if r["trial"] == "closed" and r["level"] == "photo" and r["known"]]
    queries = Counter(r["true_individual_id"] for r in photos)
    pairs = Counter((r["true_individual_id"], r["individual_id"]) for r in photos if not r["correct"] and r["individual_id"])  # fmt: skip
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(animal, other, n, queries[animal]) for (animal, other), n in ordered[:PAIRS_SHOWN]]


def changed(data: AccuracyData, album: Album) -> list[Case]:
    """Identifications that differ from the previous run: lost ones first, then gained, then wrong both times."""
    place = {"lost": 0, "gained": 1, "still_wrong": 2}
    rows = sorted(data.changes, key=lambda r: (r["level"] != "encounter", place[r["outcome"]], r["query_id"]))
    return [_change(r, album) for r in rows[: data.worst]]


def tally(data: AccuracyData) -> list[tuple[str, str, int]]:
    """(level, outcome, how many) of all changes."""
    counts = Counter((r["level"], r["outcome"]) for r in data.changes)
    return [(level, outcome, counts[level, outcome]) for level in ("encounter", "photo")
            for outcome in ("lost", "gained", "still_wrong") if counts[level, outcome]]  # fmt: skip


def painted(data: AccuracyData, pictures: EmbeddedCrops) -> list[EmbeddedCrop]:
    """Examples of what the background control saw."""
    return [p for p in (pictures.of(c) for c in data.painted) if p]


def _most_confident(r: Row) -> tuple[float, float, str]:
    lead = (r["score_wrong"] or 0.0) - (r["score_right"] or 0.0)
    return -(r["probability"] or 0.0), -lead, str(r["query_id"])


def _mistake(r: Row, album: Album) -> Case:
    place = "could not be compared" if r["rank"] is None else f"ranked {r['rank']}"
    sure = f" with {words.percent(r['probability'])}" if r["probability"] is not None else ""
    scores = f" Scores: {words.figure(r['score_wrong'])} against {words.figure(r['score_right'])}." if r["rank"] else ""
    right = album.show("right", f"right: {r['true_individual_id']}", r["right_crop_id"])
    level = r["level"]
    return Case(
        f"{r['true_individual_id']} mistaken for {r['individual_id']}",
        f"{_where(r)}: {r['individual_id']} first{sure}, {r['true_individual_id']} {place}.{scores}",
        level, "lost",
        (album.show("query", f"query {level}", r["query_crop_id"]), album.show("wrong", f"best match: {r['individual_id']}", r["found_crop_id"]), right),
    )  # fmt: skip


def _where(r: Row) -> str:
    return r["encounter_id"] if r["level"] == "encounter" else f"A photo of {r['encounter_id']}"


BADGES = {"gained": "right now", "lost": "was right before", "still_wrong": "wrong both times"}


def _change(r: Row, album: Album) -> Case:
    old, new = r["old_individual_id"] or "no candidate", r["new_individual_id"] or "no candidate"
    kinds = ["right" if name == r["true_individual_id"] else "wrong" for name in (old, new)]
    shown = (
        album.show("query", f"query: {r['true_individual_id']}", r["query_crop_id"]),
        album.show(kinds[0], f"before: {old} {_sure(r['old_probability'])}", r["old_crop_id"]),
        album.show(kinds[1], f"now: {new} {_sure(r['new_probability'])}", r["new_crop_id"]),
    )
    return Case(f"{old} → {new}", f"{_where(r)}.", BADGES[r["outcome"]], r["outcome"], shown)


def _sure(probability: float | None) -> str:
    return "" if probability is None else f"({words.percent(probability)})"
