"""Query and gallery photos of a run, and which labels the run may see."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.pairs.params import PairsParams
from resight.pairs.plan import Mask, PairGrid
from resight.status import PairReason, PairStatus
from resight.store.columns import mapped
from resight.store.fingerprint import digest_ids

IDENTIFY, CALIBRATE = "identify", "calibrate"
EXCLUDED = PairStatus.EXCLUDED_BY_POLICY.value


@dataclass(frozen=True)
class Cohort:
    """Photo ids by part.

    Attributes:
        queries: Photos whose animal is to be identified.
        gallery: Photos of animals with a label.
        labels: Visible individual of each gallery photo.
        truth: Hidden individual of query photos, which an evaluation has.
        evaluating: Keep photos of one encounter apart.
        protocol: How the two parts were chosen.
        leave_one_out: One encounter at a time is taken out of the gallery and compared with all others, so that a photo may
            be in both parts.
        refused: By query encounter, animals that a person says it is not: no candidates, whatever they score.
        is_kept: Later nights may use what is learned from it.
    """

    queries: frozenset[str]
    gallery: frozenset[str]
    labels: Mapping[str, str]
    truth: Mapping[str, str] = field(default_factory=dict)
    evaluating: bool = False
    protocol: str = "nightly"
    leave_one_out: bool = False
    refused: Mapping[str, frozenset[str]] = field(default_factory=dict)
    is_kept: bool = True


def nightly_cohort(photos: pa.Table) -> Cohort:
    """Labelled photos are the gallery; all others are queries, every night until somebody confirms who they are."""
    usable = [
        p for p in photos.select(["photo_id", "individual_id", "role", "status"]).to_pylist() if p["status"] == "ok"
    ]
    labels = {p["photo_id"]: p["individual_id"] for p in usable if p["individual_id"] and p["role"] != "query"}
    queries = {p["photo_id"] for p in usable} - set(labels)
    return Cohort(frozenset(queries), frozenset(labels), labels)


def crop_info(photos: pa.Table, crops: pa.Table, features: pa.Table, cohort: Cohort) -> pa.Table:
    """One row per crop, usable or not, with what planning, ranking and calibration need; labels as far as visible."""
    extra = dict(zip(photos["photo_id"].to_pylist(), photos["extra"].to_pylist(), strict=True))
    of_photo = dict(zip(photos["photo_id"].to_pylist(), range(photos.num_rows), strict=True))
    state = dict(zip(features["crop_id"].to_pylist(), features["status"].to_pylist(), strict=True))
    keypoints = dict(zip(features["crop_id"].to_pylist(), features["n_keypoints"].to_pylist(), strict=True))
    ids, photo_ids = crops["crop_id"].to_pylist(), crops["photo_id"].to_pylist()
    rows = photos.select(["encounter_id", "taken_at", "taken_on"]).take(
        pa.array([of_photo[p] for p in photo_ids], pa.int64())
    )
    return pa.table(
        {
            "crop_id": pa.array(ids, pa.string()),
            "photo_id": pa.array(photo_ids, pa.string()),
            "encounter_id": rows["encounter_id"].cast(pa.string()),
            "taken_at": rows["taken_at"],
            "taken_on": rows["taken_on"],
            "individual_id": pa.array([cohort.labels.get(p) for p in photo_ids], pa.string()),
            "viewpoint": crops["viewpoint"].cast(pa.string()),
            "extra": pa.array([extra[p] for p in photo_ids], pa.string()),
            "feature_status": pa.array([state[c] for c in ids], pa.string()),
            "n_keypoints": pa.array([keypoints[c] for c in ids], pa.int64()),
        }
    )


def pair_grids(
    info: pa.Table, cohort: Cohort, policy: PairsParams, calibration_encounters: int
) -> tuple[PairGrid, ...]:
    """All pairs of the run: queries with the gallery, and gallery photos among each other to learn the scores of non-matches.

    Args:
        info: From `crop_info`.
        cohort: Queries and gallery.
        policy: Which crops are compared.
        calibration_encounters: At most so many gallery encounters stand in for unknown animals.
    """
    queries, gallery = _of(info, cohort.queries), _of(info, cohort.gallery)
    apart = cohort.evaluating and policy.exclude_same_encounter
    identify = PairGrid.between(
        queries, gallery, policy=policy, purpose=IDENTIFY, forbid_same_encounter=apart or cohort.leave_one_out,
        beside=_refused_pairs(queries, gallery, cohort.refused),
    )  # fmt: skip
    if cohort.leave_one_out:
        return (identify,)  # each fold takes its calibration pairs from the same rows
    chosen = _of(info, calibration_photos(info, cohort, calibration_encounters))
    calibrate = PairGrid.between(
        chosen, gallery, policy=policy, purpose=CALIBRATE, forbid_same_encounter=True, met_again=True
    )
    return identify, calibrate


def _refused_pairs(queries: pa.Table, gallery: pa.Table, refused: Mapping[str, frozenset[str]]) -> Mask | None:
    """Which pairs are of an encounter and an animal that a person says it is not.

    They are compared all the same: where a photo is found not to belong to its encounter, what was said of that does not hold for it.
    """
    if not refused:
        return None
    encounters, animals = queries["encounter_id"].to_pylist(), gallery["individual_id"].to_pylist()
    number = {encounter: row for row, encounter in enumerate(sorted(refused), start=1)}
    shown = np.array([number.get(encounter, 0) for encounter in encounters], np.int64)
    is_of = np.zeros((len(number) + 1, len(animals)), bool)
    for encounter, row in number.items():
        is_of[row] = [animal in refused[encounter] for animal in animals]
    return lambda q, g: is_of[shown[q], g]


def without_refused(scores: pa.Table, info: pa.Table, refused: Mapping[str, frozenset[str]]) -> pa.Table:
    """The rows but those of query encounters with animals that a person says they are not.

    Args:
        scores: The ``scores`` table.
        info: From `crop_info`.
        refused: See `Cohort`.
    """
    if not refused:
        return scores
    crops = info["crop_id"].to_pylist()
    encounter_of = dict(zip(crops, info["encounter_id"].to_pylist(), strict=True))
    animal_of = dict(zip(crops, info["individual_id"].to_pylist(), strict=True))
    encounters = mapped(scores["query_crop_id"], encounter_of, pa.string())
    animals = mapped(scores["gallery_crop_id"], animal_of, pa.string())
    concerned = pc.and_(pc.equal(scores["purpose"], IDENTIFY), pc.is_in(encounters, pa.array(refused, pa.string())))
    kept = np.ones(scores.num_rows, bool)
    for row in np.flatnonzero(concerned):  # of the few encounters of which a person has said something
        kept[row] = animals[row].as_py() not in refused[encounters[row].as_py()]
    return scores.filter(pa.array(kept))


def met_on_another_day(pairs: pa.Table, info: pa.Table) -> pa.Table:
    """The same rows, but pairs of one animal only where both days are known and differ; the others become excluded.

    Photos of one day, or of days that nobody knows, share light, water and often the very moment: that they match does not show
    how an animal looks when it is met again.

    Args:
        pairs: The ``pairs`` table; rows of another purpose than ``calibrate`` stay as they are. `PairGrid.between` plans by the same rule.
        info: From `crop_info`.
    """
    photos, facts = info["photo_id"].combine_chunks(), info.select(["individual_id", "taken_on"])
    sides = [
        facts.take(pc.index_in(pairs[f"{side}_photo_id"].combine_chunks(), photos)) for side in ("query", "gallery")
    ]
    (animal, day), (again, other_day) = ((side["individual_id"], side["taken_on"]) for side in sides)
    apart = pc.fill_null(pc.not_equal(day, other_day), False)
    one = pc.and_(pc.fill_null(pc.equal(animal, again), False), pc.invert(apart))
    open_pairs = pc.and_(pc.equal(pairs["purpose"], CALIBRATE), pc.not_equal(pairs["status"], EXCLUDED))
    mask = pc.and_(open_pairs, one)
    for name, value in (("status", PairStatus.EXCLUDED_BY_POLICY), ("reason", PairReason.SAME_DAY)):
        place = pairs.schema.get_field_index(name)
        changed = pc.if_else(mask, pa.scalar(value.value, pa.string()), pairs[name])
        pairs = pairs.set_column(place, pairs.schema.field(place), changed)
    return pairs


def calibration_photos(info: pa.Table, cohort: Cohort, most: int) -> frozenset[str]:
    """Photos of the gallery encounters that stand in for unknown animals: one of each individual first, ordered by digest.

    The order does not depend on what else is in the gallery, so a growing gallery reuses the pairs of the night before.
    """
    gallery = _of(info, cohort.gallery).select(["photo_id", "encounter_id", "individual_id"]).to_pylist()
    by_individual: dict[str, list[str]] = {}
    for encounter, individual in sorted({(r["encounter_id"], r["individual_id"]) for r in gallery}):
        by_individual.setdefault(individual, []).append(encounter)
    order = [
        (place, digest_ids([encounter]), encounter)
        for encounters in by_individual.values()
        for place, encounter in enumerate(sorted(encounters, key=lambda e: digest_ids([e])))
    ]
    chosen = {encounter for _, _, encounter in sorted(order)[:most]}
    return frozenset(r["photo_id"] for r in gallery if r["encounter_id"] in chosen)


def _of(info: pa.Table, photo_ids: Collection[str]) -> pa.Table:
    keep = [p in photo_ids for p in info["photo_id"].to_pylist()]
    return info.filter(pa.array(keep, pa.bool_()))
