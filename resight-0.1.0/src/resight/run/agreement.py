"""Whether photos that form an encounter by rule alone agree with each other. Reads and writes no table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.match.stage import match
from resight.novelty.agreement import Compared, Matches, Pair, against
from resight.pairs.cohort import IDENTIFY
from resight.pairs.plan import PLAN, PLANNED
from resight.run.conditions import Conditions
from resight.run.setups import match_setup
from resight.run.state import Matched
from resight.status import BY_RULE, EncounterSource, FeatureStatus, PairStatus, Viewpoint

Row = dict[str, Any]

AGREE = "agree"
NEAREST = 12  # photos before and after, in the order of time, that a photo is compared with
KEYPOINTS = 200  # with fewer in either photo, that they do not match says nothing
SIDES = {Viewpoint.LEFT.value, Viewpoint.RIGHT.value}


@dataclass(frozen=True)
class Checked:
    """What `check_encounters` gives back.

    Attributes:
        matched: With an encounter of their own for photos that spoke against theirs.
        voted_out: Encounter that they were in by rule, by photo.
        n_photos: Photos that were compared with others of their encounter.
        n_matched: Pairs that were really matched.
    """

    matched: Matched
    voted_out: Mapping[str, str]
    n_photos: int
    n_matched: int


def check_encounters(conditions: Conditions, matched: Matched) -> Checked:
    """Match the photos of each encounter that nobody has named, and give those that speak against it one of their own.

    Args:
        conditions: Settings, and where pairs are matched.
        matched: Queries have been compared with the gallery.
    """
    settings = conditions.settings
    crops = _crops_by_encounter(matched)
    if not crops or not settings.encounter.vote_out:
        return Checked(matched, {}, 0, 0)
    plan = _plan(crops.values())
    result = match(conditions.env, match_setup(settings), conditions.names.match, plan, matched.features)
    of_crop = {crop["crop_id"]: crop for own in crops.values() for crop in own}
    known = Matches(_within(result.pairs, of_crop), _in_gallery(matched, {c["photo_id"] for c in of_crop.values()}))
    own_encounter: dict[str, str] = {}
    voted_out: dict[str, str] = {}
    for encounter, own in crops.items():
        for group in against([crop["photo_id"] for crop in own], known):
            own_encounter |= dict.fromkeys(group, f"photo-{group[0]}")
            voted_out |= dict.fromkeys(group, encounter)
    checked = _with_encounters(matched, own_encounter, voted_out) if voted_out else matched
    return Checked(checked, voted_out, len(of_crop), result.n_matched)


def sentence(photos: pa.Table, voted_out: Mapping[str, str]) -> str:
    """What people should know about photos that were voted out; '' where none was."""
    rows = photos.select(["photo_id", "uri"]).to_pylist()
    items = [f"{row['uri']} (not {voted_out[row['photo_id']]})" for row in rows if row["photo_id"] in voted_out]
    if not items:
        return ""
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    who = "1 photo seems to show another animal than the other photos" if len(items) == 1 else f"{len(items)} photos seem to show other animals than the rest"  # fmt: skip
    return (
        f"{who} of the same folder or moment and {'has an encounter of its' if len(items) == 1 else 'have encounters of their'} own: "
        f"{', '.join(items[:3])}{more}; where that is wrong, give these photos one encounter_id in metadata.csv."
    )


def _crops_by_encounter(matched: Matched) -> dict[str, list[Row]]:
    """The usable crops of queries whose encounter is by rule, in the order of time; photos with several animals left out."""
    columns = ["photo_id", "encounter_id", "encounter_source", "taken_at", "uri"]
    rows = matched.photos.select(columns).to_pylist()
    photos = {r["photo_id"]: r for r in rows if r["encounter_source"] in BY_RULE and r["photo_id"] in matched.cohort.queries}  # fmt: skip
    info = matched.info.filter(pc.equal(matched.info["feature_status"], FeatureStatus.OK.value))
    crops = [c for c in info.select(["crop_id", "photo_id", "viewpoint"]).to_pylist() if c["photo_id"] in photos]
    n_crops = Counter(crop["photo_id"] for crop in crops)
    by_encounter: dict[str, list[Row]] = defaultdict(list)
    for crop in crops:
        if n_crops[crop["photo_id"]] == 1:
            by_encounter[photos[crop["photo_id"]]["encounter_id"]].append(crop)

    def order(crop: Row) -> tuple[datetime, str]:
        photo = photos[crop["photo_id"]]
        return photo["taken_at"] or datetime.max, photo["uri"]

    return {encounter: sorted(own, key=order) for encounter, own in sorted(by_encounter.items()) if len(own) > 1}


def _plan(crops: Iterable[list[Row]]) -> pa.Table:
    """Each pair of neighbours of an encounter once, whatever sides they show: a side may be taken for the other."""
    pairs = [(a, b) for own in crops for k, a in enumerate(own) for b in own[k + 1 : k + 1 + NEAREST]]
    rows = [
        {f"{role}_{what}": crop[what] for role, crop in (("query", a), ("gallery", b)) for what in ("crop_id", "photo_id")}
        | {"purpose": AGREE, "status": PLANNED, "reason": ""}
        for a, b in pairs
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=PLAN)


def _within(pairs: pa.Table, of_crop: Mapping[str, Row]) -> dict[Pair, Compared]:
    """Pairs to which a geometry was fitted."""
    found: dict[Pair, Compared] = {}
    for row in pairs.to_pylist():
        if row["status"] != PairStatus.SCORED or row["n_inliers"] is None:
            continue
        a, b = of_crop[row["query_crop_id"]], of_crop[row["gallery_crop_id"]]
        same_side = a["viewpoint"] == b["viewpoint"] and a["viewpoint"] in SIDES
        clear = same_side and min(row["n_keypoints_query"], row["n_keypoints_gallery"]) >= KEYPOINTS
        first, second = sorted((a["photo_id"], b["photo_id"]))
        found[first, second] = Compared(row["n_inliers"], clear)
    return found


def _in_gallery(matched: Matched, photos: set[str]) -> dict[str, dict[str, int]]:
    """Most inliers with a photo of each animal of the gallery, by query photo."""
    columns = ["query_photo_id", "gallery_photo_id", "n_inliers"]
    scored = pc.and_(pc.equal(matched.pairs["purpose"], IDENTIFY), pc.is_valid(matched.pairs["n_inliers"]))
    wanted = pc.is_in(matched.pairs["query_photo_id"], pa.array(sorted(photos), pa.string()))
    rows = matched.pairs.filter(pc.and_(scored, wanted)).select(columns).to_pylist()
    most: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        of_animal, animal = most[row["query_photo_id"]], matched.cohort.labels[row["gallery_photo_id"]]
        of_animal[animal] = max(row["n_inliers"], of_animal.get(animal, 0))
    return most


def _with_encounters(matched: Matched, own: Mapping[str, str], voted_out: Mapping[str, str]) -> Matched:
    """The same with other encounters for some photos, in all that says who belongs together."""
    ids = matched.photos["photo_id"].to_pylist()
    sources = dict.fromkeys(own, EncounterSource.VOTED_OUT.value)
    photos = matched.photos
    for column, values in (("encounter_id", own), ("encounter_source", sources), ("voted_out_of", voted_out)):
        photos = _changed(photos, column, ids, values)
    info = _changed(matched.info, "encounter_id", matched.info["photo_id"].to_pylist(), own)
    return replace(matched, photos=photos, info=info)


def _changed(table: pa.Table, column: str, photo_ids: list[str], values: Mapping[str, str]) -> pa.Table:
    place, before = table.schema.get_field_index(column), table[column].to_pylist()
    changed = [values.get(photo, value) for photo, value in zip(photo_ids, before, strict=True)]
    return table.set_column(place, table.schema.field(place), pa.array(changed, pa.string()))
