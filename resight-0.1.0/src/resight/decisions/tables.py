"""What the newest run says, by what is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from resight.decisions.state import Decided
from resight.status import PhotoStatus
from resight.store.generations import Generation

Row = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """Its rows.

    Attributes:
        photos: Rows by photo_id, also of photos that cannot be used.
        encounters: photo_ids by encounter, in the order in which they were taken.
        verdicts: Rows of ``novelty`` by encounter.
        candidates: Rows of ``identifications`` by encounter: the animal of the verdict, then by rank.
    """

    generation: Generation
    photos: Mapping[str, Row]
    encounters: Mapping[str, Sequence[str]]
    verdicts: Mapping[str, Row]
    candidates: Mapping[str, Sequence[Row]]

    @classmethod
    def of(cls, generation: Generation) -> Tables:
        """Read them."""
        photos = {r["photo_id"]: r for r in generation.table("photos").to_pylist()}
        if not generation.has("decisions"):  # names are those of label files; runs of before do not say so
            photos = {p: r | {"labelled_individual_id": r["individual_id"]} for p, r in photos.items()}
        encounters: dict[str, list[str]] = defaultdict(list)
        for row in sorted(photos.values(), key=lambda r: (str(r["taken_at"] or r["taken_on"] or "9"), r["uri"])):
            encounters[row["encounter_id"]].append(row["photo_id"])
        candidates: dict[str, list[Row]] = defaultdict(list)
        for row in _rows(generation, "identifications"):
            if row["level"] == "encounter":
                candidates[row["encounter_id"]].append(row)
        verdicts = {r["encounter_id"]: r for r in _rows(generation, "novelty")}
        said = {
            e: row["individual_id"] for e, row in verdicts.items()
        }  # in view of all encounters; scores may rank another first
        ranked = {
            e: sorted(rows, key=lambda r: (r["individual_id"] != said.get(e), r["rank"]))
            for e, rows in candidates.items()
        }
        return cls(generation, photos, encounters, verdicts, ranked)

    @cached_property
    def labelled(self) -> Mapping[str, Sequence[str]]:
        """Usable photos by the name that label files give them."""
        found: dict[str, list[str]] = defaultdict(list)
        for photo, row in self.photos.items():
            if row["labelled_individual_id"] and row["status"] == PhotoStatus.OK:
                found[row["labelled_individual_id"]].append(photo)
        return found


def by_name(tables: Tables, decided: Decided) -> dict[str, list[str]]:
    """Usable photos of each animal, as decisions up to now say."""
    found: dict[str, list[str]] = defaultdict(list)
    for label, photos in tables.labelled.items():
        found[decided.called(label)] += [p for p in photos if p not in decided.by_photo]
    for photo in decided.by_photo:
        row = tables.photos.get(photo)
        if row is not None and row["status"] == PhotoStatus.OK:
            name = decided.named(photo, row["labelled_individual_id"])[0]
            found[name or ""].append(photo)
    found.pop("", None)
    return {name: photos for name, photos in found.items() if photos}


def _rows(generation: Generation, name: str) -> list[Row]:
    return generation.table(name).to_pylist() if generation.has(name) else []
