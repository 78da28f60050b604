"""One card per query encounter: who it is, how sure, and the pairs that prove it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from resight.report.data import ReportData
from resight.report.drawings import Curve, PairDrawing, draw_curve, draw_pair, pair_cdf
from resight.report.params import ReportParams
from resight.report.pictures import Picture, Pictures
from resight.report.words import BADGES, ORDER, certainty, headline, moment, percent
from resight.status import CropStatus, Decision

THUMBNAILS = 8
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Thumbnail:
    """A query crop and what is written under it."""

    picture: Picture | None
    viewpoint: str
    file: str


@dataclass(frozen=True)
class Candidate:
    """An animal that the encounter may be, with its best pair."""

    rank: int
    name: str
    probability: float | None
    score: float
    pair: Row | None
    n_pairs: int
    query: Thumbnail
    gallery: Thumbnail
    gallery_when: str
    drawing: PairDrawing | None
    curve: Curve | None


@dataclass(frozen=True)
class Card:
    """An encounter. ``shares`` are the probabilities of the first candidate, of all others, and of a new animal."""

    anchor: str
    encounter_id: str
    decision: Decision
    badge: str
    headline: str
    certainty: str
    sentence: str
    label: str | None
    when: str
    n_photos: int
    thumbnails: list[Thumbnail]
    n_more: int
    candidates: list[Candidate]
    others: list[str]
    shares: tuple[float, float, float] | None


@dataclass(frozen=True)
class Index:
    """The tables, looked up by what a card needs."""

    photos: dict[str, Row]
    crops: dict[str, Row]
    crops_of: dict[str, list[Row]]
    photos_of: dict[str, list[Row]]
    pairs: dict[tuple[str, str], Row]
    ranked: dict[str, list[Row]]

    @classmethod
    def of(cls, data: ReportData, encounters: set[str]) -> Index:
        """Rows of the encounters that are shown; the table of pairs may hold millions of others."""
        photo_columns = ["photo_id", "uri", "encounter_id", "taken_at", "taken_on"]
        photos = {r["photo_id"]: r for r in data.photos.select(photo_columns).to_pylist()}
        crops = data.crops.select(["crop_id", "photo_id", "viewpoint", "status", "confidence"]).to_pylist()
        ranked = defaultdict(list)
        for row in data.identifications.to_pylist():
            if row["level"] == "encounter" and row["query_id"] in encounters:
                ranked[row["query_id"]].append(row)
        wanted = {(r["best_query_crop_id"], r["best_gallery_crop_id"]) for rows in ranked.values() for r in rows}
        return cls(
            photos,
            {c["crop_id"]: c for c in crops},
            _grouped(crops, lambda c: photos.get(c["photo_id"], {}).get("encounter_id", "")),
            _grouped(photos.values(), lambda p: p["encounter_id"]),
            _pairs(data.pairs, wanted),
            {k: sorted(v, key=lambda r: r["rank"]) for k, v in ranked.items()},
        )


def make_cards(data: ReportData, params: ReportParams, pictures: Pictures) -> list[Card]:
    """Cards in the order in which people should look at them, at most ``params.max_encounters``."""
    place = {decision: k for k, decision in enumerate(ORDER)}
    rows = sorted(
        data.novelty.to_pylist(),
        key=lambda r: (place[Decision(r["decision"])], -(r["probability"] or 0), r["encounter_id"]),
    )
    rows = rows[: params.max_encounters]
    index = Index.of(data, {r["encounter_id"] for r in rows})
    return [_card(f"e{k}", row, index, data, params, pictures) for k, row in enumerate(rows, 1)]


def _card(anchor: str, row: Row, index: Index, data: ReportData, params: ReportParams, pictures: Pictures) -> Card:
    ranked = index.ranked.get(row["encounter_id"], [])
    shown, rest = ranked[: params.candidates], ranked[params.candidates :]
    crops = [c for c in index.crops_of.get(row["encounter_id"], []) if c["status"] == CropStatus.OK]
    photos = index.photos_of.get(row["encounter_id"], [])
    times = [p["taken_at"] or p["taken_on"] for p in photos if p["taken_at"] or p["taken_on"]]
    return Card(
        anchor=anchor,
        encounter_id=row["encounter_id"],
        decision=Decision(row["decision"]),
        badge=BADGES[Decision(row["decision"])],
        headline=headline(row),
        certainty=certainty(row),
        sentence=row["evidence"],
        label=row["true_individual_id"],
        when=moment(min(times, key=str)) if times else "",
        n_photos=row["n_photos"],
        thumbnails=[_thumbnail(c["crop_id"], index, pictures) for c in crops[:THUMBNAILS]],
        n_more=max(len(crops) - THUMBNAILS, 0),
        candidates=[_candidate(one, index, data, pictures) for one in shown],
        others=[f"{one['individual_id']} {percent(one['probability'])}" for one in rest],
        shares=_shares(row, ranked),
    )


def _candidate(row: Row, index: Index, data: ReportData, pictures: Pictures) -> Candidate:
    key = (row["best_query_crop_id"], row["best_gallery_crop_id"])
    query, gallery = (_thumbnail(crop_id, index, pictures) for crop_id in key)
    pair = index.pairs.get(key)
    distribution = pair_cdf(pair) if pair else None
    drawable = query.picture and gallery.picture
    photo = index.photos.get(row["best_gallery_photo_id"], {})
    return Candidate(
        rank=row["rank"],
        name=row["individual_id"],
        probability=row["probability"],
        score=row["score"],
        pair=pair,
        n_pairs=row["n_pairs"],
        query=query,
        gallery=gallery,
        gallery_when=moment(photo.get("taken_at") or photo.get("taken_on")),
        drawing=draw_pair(query.picture, gallery.picture, data.evidence.get(key)) if drawable else None,  # type: ignore[arg-type]
        curve=draw_curve(distribution, data.null) if distribution else None,
    )


def _thumbnail(crop_id: str, index: Index, pictures: Pictures) -> Thumbnail:
    crop = index.crops.get(crop_id, {})
    uri = index.photos.get(crop.get("photo_id", ""), {}).get("uri", "")
    return Thumbnail(
        pictures.of(crop_id), crop.get("viewpoint") or "unknown", PurePosixPath(uri.replace("\\", "/")).name
    )


def _shares(row: Row, ranked: list[Row]) -> tuple[float, float, float] | None:
    if row["probability"] is None or row["p_new"] is None or not ranked:
        return None
    best, new = float(row["probability"]), float(row["p_new"])
    return best, max(1.0 - best - new, 0.0), new


def _pairs(table: pa.Table, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], Row]:
    keys = zip(table["query_crop_id"].to_pylist(), table["gallery_crop_id"].to_pylist(), strict=True)
    rows = [k for k, key in enumerate(keys) if key in wanted]
    return {(r["query_crop_id"], r["gallery_crop_id"]): r for r in table.take(pa.array(rows, pa.int64())).to_pylist()}


def _grouped(rows: Iterable[Row], key: Any) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups
