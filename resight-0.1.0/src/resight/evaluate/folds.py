"""Queries and galleries when something is left out: an encounter, an animal, or a share of the animals."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.evaluate.protocol import LEAVE_ONE_OUT, ROLE, Split
from resight.pairs.cohort import Cohort
from resight.status import Viewpoint

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


def of_a_gallery_side(cohort: Cohort, crops: pa.Table) -> Cohort:
    """The cohort with those queries alone that show a side of their animal that the gallery shows too (``first-year``).

    Args:
        cohort: Queries with their truth, and gallery.
        crops: Columns ``photo_id, viewpoint``; a viewpoint that nobody knows is no side.
    """
    views: dict[str, set[str]] = {}
    for photo, view in zip(crops["photo_id"].to_pylist(), crops["viewpoint"].to_pylist(), strict=True):
        if view and view != Viewpoint.UNKNOWN:
            views.setdefault(photo, set()).add(view)
    shown: dict[str, set[str]] = {}
    for photo, name in cohort.labels.items():
        shown.setdefault(name, set()).update(views.get(photo, ()))
    truth = {p: name for p, name in cohort.truth.items() if views.get(p, set()) & shown.get(name, set())}
    return replace(cohort, queries=frozenset(truth), truth=truth)


def asked_by(cohort: Cohort, animals: Collection[str]) -> Cohort:
    """The cohort with the queries of these animals alone; the gallery stays."""
    truth = {p: name for p, name in cohort.truth.items() if name in animals}
    return replace(cohort, queries=frozenset(truth), truth=truth)


def leave_encounters_out(cohort: Cohort, photos: pa.Table) -> list[Cohort]:
    """A fold for every encounter, against all others but those of the same animal and day. Sorted by encounter."""
    rows = {r["photo_id"]: r for r in photos.select(["photo_id", "encounter_id", "taken_on"]).to_pylist()}
    encounters: dict[str, list[str]] = {}
    for p in sorted(cohort.queries):
        encounters.setdefault(rows[p]["encounter_id"], []).append(p)
    return [_fold(cohort, queries, rows) for _, queries in sorted(encounters.items())]


def open_rounds(cohort: Cohort, share: float, seed: int) -> list[tuple[Cohort, frozenset[str]]]:
    """Galleries without a share of the animals, and which those are; every animal is left out once.

    The animals are dealt in an order drawn by ``seed`` into ``ceil(1 / share)`` groups, so that no group's animals are
    in its gallery, nor in the pairs that its calibration learns from. All queries are compared with every gallery; where
    one encounter is left out at a time, only those of the left-out animals are, as the others' own encounter would have
    to be missing too.
    """
    animals = sorted({*cohort.labels.values(), *cohort.truth.values()})
    order = np.random.default_rng(seed).permutation(len(animals))
    n_groups = min(math.ceil(1 / share - 1e-9), len(animals))
    groups = [frozenset(animals[k] for k in order[g::n_groups]) for g in range(n_groups)] if n_groups else []
    rounds = [(_queries_of(without(cohort, group), group), group) for group in groups]
    return [(smaller, group) for smaller, group in rounds if smaller.gallery and smaller.queries]


def leave_animals_out(cohort: Cohort) -> list[Cohort]:
    """A fold for every animal with queries, against a gallery without it; for cohorts that leave one encounter out."""
    groups = [frozenset([animal]) for animal in sorted(set(cohort.truth.values()))]
    folds = [_queries_of(without(cohort, group), group) for group in groups]
    return [fold for fold in folds if fold.gallery]


def _queries_of(cohort: Cohort, animals: frozenset[str]) -> Cohort:
    if not cohort.leave_one_out:
        return cohort
    truth = {p: name for p, name in cohort.truth.items() if name in animals}
    return replace(cohort, queries=frozenset(truth), truth=truth, leave_one_out=False)


def without(cohort: Cohort, animals: frozenset[str]) -> Cohort:
    """The cohort with these animals taken out of the gallery; their queries stay."""
    labels = {p: name for p, name in cohort.labels.items() if name not in animals}
    return replace(cohort, gallery=frozenset(labels), labels=labels)


def pairs_of(pairs: pa.Table, cohort: Cohort, calibrating: frozenset[str] | None = None) -> pa.Table:
    """The rows of a ``pairs`` table that this cohort would have planned to identify and to calibrate; rows of another purpose
    are left out.

    Args:
        pairs: Columns ``query_photo_id, gallery_photo_id, purpose`` and others.
        cohort: Queries and gallery.
        calibrating: Gallery photos that stand for new animals, where ``pairs`` has no calibration rows of its own: their
            rows against the rest of the gallery become ``calibrate``.
    """
    purpose = pairs["purpose"]
    is_query, in_gallery = (
        _among(pairs, "query_photo_id", cohort.queries),
        _among(pairs, "gallery_photo_id", cohort.gallery),
    )
    within_gallery = pc.and_(_among(pairs, "query_photo_id", cohort.gallery), in_gallery)
    identify = pairs.filter(pc.and_(pc.equal(purpose, IDENTIFY), pc.and_(is_query, in_gallery)))
    if calibrating is not None:
        rows = pairs.filter(pc.and_(within_gallery, _among(pairs, "query_photo_id", calibrating)))
        place = rows.schema.get_field_index("purpose")
        calibrate = rows.set_column(
            place, pairs.schema.field("purpose"), pa.repeat(pa.scalar(CALIBRATE), rows.num_rows)
        )
    else:
        calibrate = pairs.filter(pc.and_(pc.equal(purpose, CALIBRATE), within_gallery))
    return pa.concat_tables([identify, calibrate])


def _among(pairs: pa.Table, column: str, photos: frozenset[str]) -> pa.ChunkedArray:
    return pc.is_in(pairs[column], value_set=pa.array(sorted(photos), pa.string()))


def _fold(cohort: Cohort, queries: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> Cohort:
    animal, encounter = cohort.truth[queries[0]], rows[queries[0]]["encounter_id"]
    days = {rows[p]["taken_on"] for p in queries}
    labels = {
        p: name
        for p, name in cohort.labels.items()
        if rows[p]["encounter_id"] != encounter and not (name == animal and rows[p]["taken_on"] in days)
    }
    truth = dict.fromkeys(queries, animal)
    return replace(
        cohort, queries=frozenset(truth), gallery=frozenset(labels), labels=labels, truth=truth, leave_one_out=False
    )
