"""One card per query encounter: who it is, how sure, and the pairs that prove it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.report.data import ReportData
from resight.report.drawings import Curve, PairDrawing, draw_curve, draw_pair, pair_cdf
from resight.report.params import ReportParams
from resight.report.pictures import Beside, EmbeddedCrop, EmbeddedCrops
from resight.report.words import (
    BADGES,
    ORDER,
    certainty,
    headline,
    moment,
    page_link,
    percent,
    photo_path,
    taken_out,
)
from resight.runner.progress import counted
from resight.status import CropStatus, Decision

THUMBNAILS = 8
INSIDE = 60  # pictures of about 30 kB each that a page holds itself
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Thumbnail:
    """A crop, or a photo without one, and what is written under it; ``link`` leads to the photo itself."""

    picture: EmbeddedCrop | None
    viewpoint: str
    file: str
    link: str = ""
    mini: EmbeddedCrop | None = None


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
    """An encounter; ``tonight`` is False for what is open from before. ``shares`` are the probabilities of the first candidate, of all others, and of a new animal.

    ``files`` are its photos by path, with links. ``taken_out`` says which photos have left it, or which encounter its photos have left; '' where there are none.
    """

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
    title: str
    files: list[tuple[str, str]]
    tonight: bool
    thumbnails: list[Thumbnail]
    n_more: int
    candidates: list[Candidate]
    others: list[str]
    shares: tuple[float, float, float] | None
    taken_out: str


@dataclass(frozen=True)
class Index:
    """Rows of the tables by what a card needs: an id, an encounter, or the two crops of a pair."""

    photos: dict[str, Row]
    crops: dict[str, Row]
    crops_of: dict[str, list[Row]]
    photos_of: dict[str, list[Row]]
    pairs: dict[tuple[str, str], Row]
    ranked: dict[str, list[Row]]
    left: dict[str, list[Row]]

    @classmethod
    def of(cls, data: ReportData, encounters: set[str]) -> Index:
        """Rows of the encounters that are shown; the table of pairs may hold millions of others."""
        photo_columns = ["photo_id", "uri", "encounter_id", "taken_at", "taken_on", "first_night", "voted_out_of"]
        photos = {r["photo_id"]: r for r in data.photos.select(photo_columns).to_pylist()}
        crops = data.crops.select(["crop_id", "photo_id", "viewpoint", "status", "confidence"]).to_pylist()
        of_verdict = {r["encounter_id"]: r["individual_id"] for r in data.novelty.to_pylist()}
        ranked = [
            r for r in data.identifications.to_pylist() if r["level"] == "encounter" and r["query_id"] in encounters
        ]
        candidates = sorted(ranked, key=lambda r: (r["individual_id"] != of_verdict.get(r["query_id"]), r["rank"]))
        return cls(
            photos,
            {c["crop_id"]: c for c in crops},
            _grouped(crops, lambda c: photos.get(c["photo_id"], {}).get("encounter_id", "")),
            _grouped(photos.values(), lambda p: p["encounter_id"]),
            _pairs(data.pairs, {(r["best_query_crop_id"], r["best_gallery_crop_id"]) for r in candidates}),
            _grouped(candidates, lambda r: r["query_id"]),
            _grouped(photos.values(), lambda p: p["voted_out_of"] or ""),
        )


def shown_verdicts(novelty: pa.Table, photos: pa.Table, night: str, params: ReportParams) -> list[dict[str, Any]]:
    """Rows of ``novelty`` in the order in which people should look at them: tonight's first, and ``params.earlier_encounters`` more.

    Where the night has none of its own, those that are open from before. At most ``params.max_encounters``.
    """
    place = {decision: k for k, decision in enumerate(ORDER)}
    verdicts: list[dict[str, Any]] = novelty.to_pylist()
    fresh = _fresh(photos, night)
    verdicts.sort(key=lambda r: (r["encounter_id"] not in fresh, place[Decision(r["decision"])], -(r["probability"] or 0), r["encounter_id"]))  # fmt: skip
    n_fresh = sum(row["encounter_id"] in fresh for row in verdicts)
    return verdicts[
        : min(params.max_encounters, n_fresh + params.earlier_encounters if n_fresh else params.max_encounters)
    ]


def make_cards(
    data: ReportData, params: ReportParams, pictures: EmbeddedCrops, beside: Beside | None = None
) -> list[Card]:
    """Cards of `shown_verdicts`.

    Where there are more than `INSIDE` pictures, they go into files ``beside`` the page, if that is given.
    """
    rows = shown_verdicts(data.novelty, data.photos, data.run["night"], params)
    index = Index.of(data, {r["encounter_id"] for r in rows})
    if beside is not None and _n_pictures(rows, index, params) > INSIDE:
        pictures.beside = beside
    return [
        _card(f"e{k}", row, index, data, params, pictures)
        for k, row in counted(list(enumerate(rows, 1)), "report", "encounters")
    ]


def _n_pictures(rows: Iterable[Row], index: Index, params: ReportParams) -> int:
    crops: set[str] = set()
    for row in rows:
        own = [c["crop_id"] for c in index.crops_of.get(row["encounter_id"], ()) if c["status"] == CropStatus.OK]
        shown = index.ranked.get(row["encounter_id"], [])[: params.candidates]
        crops.update(own[:THUMBNAILS], *((r["best_query_crop_id"], r["best_gallery_crop_id"]) for r in shown))
    return len(crops)


def of_tonight(data: ReportData) -> set[str]:
    """Encounters with a photo that is there for the first time."""
    return _fresh(data.photos, data.run["night"])


def _fresh(photos: pa.Table, night: str) -> set[str]:
    rows = zip(*(photos[c].to_pylist() for c in ("encounter_id", "first_night")), strict=True)
    return {encounter for encounter, first in rows if str(first) == str(night)}


def _card(anchor: str, row: Row, index: Index, data: ReportData, params: ReportParams, pictures: EmbeddedCrops) -> Card:
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
        title=_title(photos, row["encounter_id"]),
        files=sorted((photo_path(p["uri"]), page_link(p["uri"], data.root, data.folder)) for p in photos),
        tonight=any(str(p["first_night"]) == str(data.run["night"]) for p in photos),
        thumbnails=_thumbnails(crops, photos, index, data, pictures),
        n_more=max(len(crops or photos) - THUMBNAILS, 0),
        candidates=[_candidate(candidate, index, data, pictures) for candidate in shown],
        others=[f"{r['individual_id']} {percent(r['probability'])}" for r in rest],
        shares=_shares(row, ranked),
        taken_out=taken_out(photos, index.left.get(row["encounter_id"], [])),
    )


def _thumbnails(
    crops: Sequence[Row], photos: Sequence[Row], index: Index, data: ReportData, pictures: EmbeddedCrops
) -> list[Thumbnail]:
    """The encounter's heads; where there is none, its photos, as they are."""
    if crops:
        return [_thumbnail(c["crop_id"], index, data, pictures, mini=k == 0) for k, c in enumerate(crops[:THUMBNAILS])]
    shown = sorted(photos, key=lambda p: p["uri"])[:THUMBNAILS]
    found = [(p["uri"], pictures.of_photo(p["photo_id"], mini=k == 0)) for k, p in enumerate(shown)]
    return [
        Thumbnail(picture, "no head", photo_path(uri), page_link(uri, data.root, data.folder), pictures.mini(picture))
        for uri, picture in found
    ]


def _title(photos: Sequence[Row], encounter_id: str) -> str:
    """Files as people know them; the encounter's name where no photo is in the tables."""
    paths = sorted(photo_path(p["uri"]) for p in photos)
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return paths[0] + more if paths else encounter_id


def _candidate(row: Row, index: Index, data: ReportData, pictures: EmbeddedCrops) -> Candidate:
    key = (row["best_query_crop_id"], row["best_gallery_crop_id"])
    query, gallery = (_thumbnail(crop_id, index, data, pictures) for crop_id in key)
    pair = index.pairs.get(key)
    distribution = pair_cdf(pair) if pair else None
    drawing = None
    if query.picture and gallery.picture:
        drawing = draw_pair(query.picture, gallery.picture, data.matches.get(key))
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
        drawing=drawing,
        curve=draw_curve(distribution, data.null) if distribution else None,
    )


def _thumbnail(crop_id: str, index: Index, data: ReportData, pictures: EmbeddedCrops, mini: bool = False) -> Thumbnail:
    crop = index.crops.get(crop_id, {})
    uri = index.photos.get(crop.get("photo_id", ""), {}).get("uri", "")
    file = photo_path(uri) if uri else ""
    picture, link = pictures.of(crop_id, mini=mini), page_link(uri, data.root, data.folder)
    return Thumbnail(picture, crop.get("viewpoint") or "unknown", file, link, pictures.mini(picture))


def _shares(row: Row, ranked: list[Row]) -> tuple[float, float, float] | None:
    if row["probability"] is None or row["p_new"] is None or not ranked:
        return None
    best, new = float(row["probability"]), float(row["p_new"])
    return best, max(1.0 - best - new, 0.0), new


def _pairs(table: pa.Table, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], Row]:
    queries = pa.array(sorted({query for query, _ in wanted}), pa.string())
    rows = table.filter(pc.is_in(table["query_crop_id"], queries)) if wanted else table.slice(0, 0)
    keys = zip(rows["query_crop_id"].to_pylist(), rows["gallery_crop_id"].to_pylist(), strict=True)
    at = [k for k, key in enumerate(keys) if key in wanted]
    return {(r["query_crop_id"], r["gallery_crop_id"]): r for r in rows.take(pa.array(at, pa.int64())).to_pylist()}


def _grouped(rows: Iterable[Row], key: Any) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups
