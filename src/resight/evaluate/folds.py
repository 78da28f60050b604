"""Who asks whom when something is left out of the gallery: one encounter, one animal, or a share of the animals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.evaluate.protocol import LEAVE_ONE_OUT, ROLE, Split
from resight.pairs.cohort import Cohort

CALIBRATE, IDENTIFY = "calibrate", "identify"


def cohort_of(photos: pa.Table, parts: Split) -> Cohort:
    """Gallery and queries of a split as photo ids with their labels; where roles decide, a photo without one takes no part.

    Args:
        photos: Columns ``photo_id, encounter_id, individual_id, role``; usable photos only.
        parts: From `protocol.split`.
    """
    columns = ["photo_id", "encounter_id", "individual_id", "role"]
    rows = [r for r in photos.select(columns).to_pylist() if r["individual_id"]]
    by_role = parts.protocol == ROLE
    gallery = {r["photo_id"]: r["individual_id"] for r in rows
               if r["encounter_id"] in parts.gallery_encounters and (not by_role or r["role"] == "gallery")}  # fmt: skip
    truth = {r["photo_id"]: r["individual_id"] for r in rows
             if r["encounter_id"] in parts.query_encounters and (not by_role or r["role"] == "query")}  # fmt: skip
    return Cohort(
        frozenset(truth), frozenset(gallery), gallery, truth,
        evaluating=True, protocol=parts.protocol, leave_one_out=parts.protocol == LEAVE_ONE_OUT,
    )  # fmt: skip


def leave_encounters_out(cohort: Cohort, photos: pa.Table) -> list[Cohort]:
    """A fold for every encounter, which asks all others but those of the same animal and day. Sorted by encounter."""
    rows = {r["photo_id"]: r for r in photos.select(["photo_id", "encounter_id", "taken_on"]).to_pylist()}
    asking: dict[str, list[str]] = {}
    for p in sorted(cohort.queries):
        asking.setdefault(rows[p]["encounter_id"], []).append(p)
    return [_fold(cohort, photos_asking, rows) for _, photos_asking in sorted(asking.items())]


def open_rounds(cohort: Cohort, share: float, seed: int) -> list[tuple[Cohort, frozenset[str]]]:
    """Galleries without a share of the animals, and which those are; every animal is left out once.

    The animals are dealt in an order drawn by ``seed`` into ``ceil(1 / share)`` groups, so that no group's animals are
    in the gallery that is asked about them, nor in the pairs that its calibration learns from. Everybody asks every
    gallery; where one encounter is left out at a time, the left-out animals alone do, as the others' own encounter must be
    missing too.
    """
    animals = sorted({*cohort.labels.values(), *cohort.truth.values()})
    order = np.random.default_rng(seed).permutation(len(animals))
    n_groups = min(math.ceil(1 / share - 1e-9), len(animals))
    groups = [frozenset(animals[k] for k in order[g::n_groups]) for g in range(n_groups)] if n_groups else []
    rounds = [(_asked_by(without(cohort, group), group), group) for group in groups]
    return [(smaller, group) for smaller, group in rounds if smaller.gallery and smaller.queries]


def leave_animals_out(cohort: Cohort) -> list[Cohort]:
    """A fold for every animal that asks, against a gallery without it. The cohort leaves one encounter out at a time."""
    groups = [frozenset([animal]) for animal in sorted(set(cohort.truth.values()))]
    folds = [_asked_by(without(cohort, group), group) for group in groups]
    return [fold for fold in folds if fold.gallery]


def _asked_by(cohort: Cohort, animals: frozenset[str]) -> Cohort:
    if not cohort.leave_one_out:
        return cohort
    truth = {p: name for p, name in cohort.truth.items() if name in animals}
    return replace(cohort, queries=frozenset(truth), truth=truth, leave_one_out=False)


def without(cohort: Cohort, animals: frozenset[str]) -> Cohort:
    """The cohort with these animals taken out of the gallery; they still ask."""
    labels = {p: name for p, name in cohort.labels.items() if name not in animals}
    return replace(cohort, gallery=frozenset(labels), labels=labels)


def pairs_of(pairs: pa.Table, cohort: Cohort, calibrating: frozenset[str] | None = None) -> pa.Table:
    """The rows of a ``pairs`` table that this cohort would have planned to identify and to calibrate; rows of another purpose
    are left to whoever plans them.

    Args:
        pairs: Columns ``query_photo_id, gallery_photo_id, purpose`` and others.
        cohort: Who asks whom.
        calibrating: Gallery photos that play the unknown animal, where ``pairs`` has no calibration rows of its own: their
            rows against the rest of the gallery become ``calibrate``.
    """
    purpose = pairs["purpose"]
    asks, known = _among(pairs, "query_photo_id", cohort.queries), _among(pairs, "gallery_photo_id", cohort.gallery)
    both_known = pc.and_(_among(pairs, "query_photo_id", cohort.gallery), known)
    identify = pairs.filter(pc.and_(pc.equal(purpose, IDENTIFY), pc.and_(asks, known)))
    if calibrating is not None:
        play = pairs.filter(pc.and_(both_known, _among(pairs, "query_photo_id", calibrating)))
        place = play.schema.get_field_index("purpose")
        named = play.set_column(place, pairs.schema.field("purpose"), pa.repeat(pa.scalar(CALIBRATE), play.num_rows))
        return pa.concat_tables([identify, named])
    calibrate = pairs.filter(pc.and_(pc.equal(purpose, CALIBRATE), both_known))
    return pa.concat_tables([identify, calibrate])


def _among(pairs: pa.Table, column: str, photos: frozenset[str]) -> pa.ChunkedArray:
    return pc.is_in(pairs[column], value_set=pa.array(sorted(photos), pa.string()))


def _fold(cohort: Cohort, asking: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> Cohort:
    animal, encounter = cohort.truth[asking[0]], rows[asking[0]]["encounter_id"]
    days = {rows[p]["taken_on"] for p in asking}
    labels = {
        p: name
        for p, name in cohort.labels.items()
        if rows[p]["encounter_id"] != encounter and not (name == animal and rows[p]["taken_on"] in days)
    }
    truth = dict.fromkeys(asking, animal)
    return replace(
        cohort, queries=frozenset(truth), gallery=frozenset(labels), labels=labels, truth=truth, leave_one_out=False
    )
