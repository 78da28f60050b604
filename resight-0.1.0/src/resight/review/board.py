"""What there is to look at: the encounters of the newest run as decisions up to now make them, and who they may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.decisions.desk import Desk
from resight.decisions.entry import IDENTITY, NAMING, Entry, Kind
from resight.decisions.state import Decided
from resight.decisions.tables import Tables
from resight.pairs.cohort import IDENTIFY
from resight.run.pages import REVIEWED
from resight.status import CropStatus, Decision, PairStatus, PhotoStatus
from resight.store.fingerprint import digest_ids

Row = dict[str, Any]
ORDER = (
    Decision.LIKELY, Decision.UNSURE, Decision.KNOWN, Decision.LIKELY_NEW, Decision.NEW, Decision.NOT_COMPARED,
)  # fmt: skip


@dataclass(frozen=True)
class Crop:
    """A head that was cut out, or the photo where none was.

    Attributes:
        crop_id: None where the photo has no usable crop.
        box_px: Where it lies in the upright photo.
    """

    photo_id: str
    uri: str
    viewpoint: str
    when: str
    crop_id: str | None = None
    size_px: tuple[int, int] | None = None
    box_px: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Candidate:
    """An animal that the encounter may be.

    Attributes:
        fits: Points that fit one pattern in the best pair; None where no geometry was tried.
        others_fit: The most that photos of any other animal reach with this encounter.
        pair: Crops of the best pair, of the encounter and of the animal; None where nothing was compared.
        refused: A person says that it is not this one.
    """

    name: str
    probability: float | None
    fits: int | None
    others_fit: int | None
    pair: tuple[str, str] | None
    refused: bool = False


@dataclass(frozen=True)
class Card:
    """An encounter, as it is to be decided on.

    Attributes:
        key: Made from the encounter's name, for addresses: that may hold anything.
        photos: photo_ids, in the order in which they were taken.
        state: ``open``, ``named``, ``cannot_tell`` or ``taken_out``.
        name: The animal where all photos have one.
        asked: Who wants a second opinion that nobody has given yet.
    """

    key: str
    encounter_id: str
    photos: tuple[str, ...]
    state: str
    name: str | None
    decision: Decision
    verdict: Mapping[str, Any]
    tonight: bool
    asked: str | None = None


@dataclass(frozen=True)
class Facts:
    """What is read once for each run: crops, and how many points fit between encounters and animals."""

    tables: Tables
    crops: Mapping[str, Sequence[Row]]
    most_fits: Mapping[str, Mapping[str, int]]
    fits: Mapping[tuple[str, str], int | None]
    by_photo: Mapping[str, Sequence[Row]]
    voted_out: Mapping[str, set[str]] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Tables) -> Facts:
        """Read them."""
        generation = tables.generation
        crops: dict[str, list[Row]] = defaultdict(list)
        for row in generation.table("crops").drop_columns(["polygons"]).to_pylist():
            if row["status"] == CropStatus.OK:
                crops[row["photo_id"]].append(row)
        ranked = generation.table("identifications").to_pylist() if generation.has("identifications") else []
        by_photo: dict[str, list[Row]] = defaultdict(list)
        for row in ranked:
            if row["level"] == "photo":
                by_photo[row["query_id"]].append(row)
        shown = {(r["best_query_crop_id"], r["best_gallery_crop_id"]) for r in ranked}
        pairs = generation.table("pairs") if generation.has("pairs") else None
        most, fits = _fits(pairs, tables, shown) if pairs is not None else ({}, {})
        voted_out: dict[str, set[str]] = defaultdict(set)
        for row in tables.photos.values():
            if row["voted_out_of"]:
                voted_out[row["voted_out_of"]].add(row["photo_id"])
        paths = {row["crop_id"]: row["path"] for rows in crops.values() for row in rows}
        return cls(tables, crops, most, fits, by_photo, dict(voted_out), paths)


def _fits(
    pairs: pa.Table, tables: Tables, shown: set[tuple[str, str]]
) -> tuple[dict[str, dict[str, int]], dict[tuple[str, str], int | None]]:
    """By encounter and animal the most points that fit, and those of the pairs that are shown."""
    columns = ["query_crop_id", "gallery_crop_id", "query_photo_id", "gallery_photo_id", "n_inliers"]
    scored = pc.and_(pc.equal(pairs["purpose"], IDENTIFY), pc.equal(pairs["status"], PairStatus.SCORED))
    pairs = pairs.filter(scored).select(columns)
    best = pairs.group_by(["query_photo_id", "gallery_photo_id"]).aggregate([("n_inliers", "max")])
    most: dict[str, dict[str, int]] = defaultdict(dict)
    for row in best.to_pylist():
        if row["n_inliers_max"] is not None:
            encounter = tables.photos[row["query_photo_id"]]["encounter_id"]
            animal = tables.photos[row["gallery_photo_id"]]["individual_id"]
            most[encounter][animal] = max(most[encounter].get(animal, 0), row["n_inliers_max"])
    wanted = pa.array({q for q, _ in shown}, pa.string())
    rows = pairs.filter(pc.is_in(pairs["query_crop_id"], wanted)).to_pylist()
    fits = {(r["query_crop_id"], r["gallery_crop_id"]): r["n_inliers"] for r in rows}
    return most, {pair: fits[pair] for pair in shown if pair in fits}


@dataclass
class Board:
    """The encounters of the newest run, as of now."""

    desk: Desk
    _facts: Facts | None = field(default=None, init=False)
    _cards: tuple[Tables | None, Decided | None, dict[str, Card]] = field(default=(None, None, {}), init=False)

    @property
    def facts(self) -> Facts:
        """Read again where another run has become current."""
        tables = self.desk.tables
        if self._facts is None or self._facts.tables is not tables:
            self._facts = Facts.of(tables)
        return self._facts

    def cards(self) -> dict[str, Card]:
        """All encounters that the program was asked about or somebody has decided on, by key, in the order of the queue."""
        tables, decided = self.desk.tables, self.desk.decided
        if self._cards[0] is not tables or self._cards[1] is not decided:
            self._cards = tables, decided, _cards(self.desk, tables, decided)
        return self._cards[2]

    def queue(self, by: str = "") -> list[Card]:
        """Encounters that are open, tonight's first; those on which ``by`` is asked for a second opinion come before."""
        cards = self.cards().values()
        return [c for c in cards if (c.asked and c.asked != by) or (c.state == "open" and c.asked != by)]

    def candidates(self, card: Card) -> list[Candidate]:
        """Who it may be, best first, with those that a person has refused at the end."""
        facts, decided = self.facts, self.desk.decided
        tables = facts.tables
        rows = tables.candidates.get(card.encounter_id) or _of_photos(facts, card.photos)
        base = tables.photos[card.photos[0]]["encounter_id"]
        most = {decided.called(a): n for a, n in sorted(facts.most_fits.get(base, {}).items(), key=lambda x: x[1])}
        there = tables.photos.keys() - facts.voted_out.get(base, set())  # a rejection holds for the photos that stayed
        refused, seen, found = decided.rejected(card.photos, there), set[str](), []
        for row in rows:
            name = decided.called(row["individual_id"])
            if name in seen:
                continue
            seen.add(name)
            pair = (row["best_query_crop_id"], row["best_gallery_crop_id"])
            others = [n for animal, n in most.items() if animal != name]
            fits = facts.fits.get(pair)
            found.append(Candidate(name, row["probability"], fits, max(others, default=None), pair, name in refused))
        said = card.verdict.get("individual_id") if card.encounter_id in tables.verdicts else None
        if (
            said and decided.called(said) not in seen
        ):  # known by another encounter alone: no photo of the two was compared
            name = decided.called(said)
            first = Candidate(name, card.verdict.get("probability"), None, None, None, name in refused)
            found.insert(0, first)
        return sorted(found[: REVIEWED + len(refused)], key=lambda c: c.refused)

    def crops_of(self, photo_id: str) -> list[Crop]:
        """The heads of a photo, or the photo as it is."""
        photo, decided = self.facts.tables.photos[photo_id], self.desk.decided
        when, uri = str(photo["taken_at"] or photo["taken_on"] or "")[:16], photo["uri"].removeprefix("photos/")
        found = []
        for row in self.facts.crops.get(photo_id, ()):
            box = (row["bbox_x_px"], row["bbox_y_px"], row["bbox_width_px"], row["bbox_height_px"])
            if decided.bad_crop(photo_id, box) is None:
                side = decided.side(photo_id, box) or row["viewpoint"]
                size = (row["crop_width_px"], row["crop_height_px"])
                found.append(Crop(photo_id, uri, side, when, row["crop_id"], size, box))
        return found or [Crop(photo_id, uri, decided.side(photo_id) or photo["viewpoint"], when)]

    def photos_of(self, name: str) -> list[Crop]:
        """The heads of an animal, by side and time."""
        crops = [crop for photo in self.desk.photos_by_name.get(name, ()) for crop in self.crops_of(photo)]
        return sorted(crops, key=lambda c: (c.viewpoint, c.when, c.uri))

    def story(self, card: Card) -> list[Entry]:
        """What was decided on these photos, the newest first."""
        decided = self.desk.decided
        entries = {e.decision_id: e for p in card.photos for e in decided.by_photo.get(p, ())}
        return sorted(entries.values(), key=lambda e: e.at, reverse=True)


def key_of(encounter_id: str) -> str:
    """A name for addresses."""
    return digest_ids([encounter_id])


def _cards(desk: Desk, tables: Tables, decided: Decided) -> dict[str, Card]:
    groups: dict[str, list[str]] = defaultdict(list)
    for encounter, photos in tables.encounters.items():
        if encounter in tables.verdicts or any(p in decided.by_photo for p in photos):
            for photo in photos:
                groups[decided.encounter(photo, encounter)].append(photo)
    night = tables.generation.table("runs")["night"][0].as_py()
    cards = [_card(e, photos, desk, tables, decided, str(night)) for e, photos in groups.items()]
    place = {decision: k for k, decision in enumerate(ORDER)}
    cards.sort(key=lambda c: (not c.asked, not c.tonight, place[c.decision], -(c.verdict.get("probability") or 0), c.encounter_id))  # fmt: skip
    return {card.key: card for card in cards}


def _card(encounter: str, photos: list[str], desk: Desk, tables: Tables, decided: Decided, night: str) -> Card:
    rows = [tables.photos[p] for p in photos]
    own = [r for r in rows if r["status"] == PhotoStatus.OK and decided.taken_out(r["photo_id"]) is None]
    names = [desk.name_of(r, decided) for r in own]
    entries = {e.decision_id: e for p in photos for e in decided.by_photo.get(p, ())}
    story = sorted(entries.values(), key=lambda e: e.at)
    last = next((e for e in reversed(story) if e.kind in IDENTITY | {Kind.SPLIT}), None)
    if not own:
        state = "taken_out" if story else "open"
    elif all(names):
        state = "named"
    else:
        state = "cannot_tell" if last is not None and last.kind is Kind.CANNOT_TELL else "open"
    base = rows[0]["encounter_id"]
    verdict = tables.verdicts.get(encounter) or (tables.verdicts.get(base, {}) if len(rows) > 1 else {})
    decision = Decision(verdict["decision"]) if verdict else Decision.NOT_COMPARED
    one = names[0] if names and len(set(names)) == 1 else None
    tonight = any(str(r["first_night"]) == night for r in rows)
    return Card(key_of(encounter), encounter, tuple(photos), state, one, decision, verdict, tonight, _asked(story))


def _asked(story: Sequence[Entry]) -> str | None:
    """Who asked for a second opinion since anybody else has said who it is."""
    asked: str | None = None
    for entry in story:
        if entry.kind is Kind.SECOND_OPINION:
            asked = entry.by
        elif entry.kind in NAMING | {Kind.CANNOT_TELL} and entry.by != asked:
            asked = None
    return asked


def _of_photos(facts: Facts, photos: Iterable[str]) -> list[Row]:
    """Candidates of a part of an encounter, which no run has judged as a whole: those of its photos, without a probability."""
    rows = [r for p in photos for r in facts.by_photo.get(p, ())]
    return [r | {"probability": None} for r in sorted(rows, key=lambda r: -r["score"])]
