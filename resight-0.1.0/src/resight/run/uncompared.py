"""Why encounters of a run were compared with nobody, told from what each stage left behind. Reads and writes no table."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.novelty.uncompared import Uncompared, all_rejected, kept_apart, without_head
from resight.pairs.cohort import IDENTIFY
from resight.run.state import Matched
from resight.status import CropStatus, Decision, FeatureStatus, PairStatus

Row = dict[str, Any]


def explained(novelty: pa.Table, matched: Matched) -> pa.Table:
    """The table ``novelty`` with the true reason, in ``reason`` and ``evidence``, where nothing was compared."""
    rows = novelty.to_pylist()
    mute = {r["encounter_id"] for r in rows if r["decision"] == Decision.NOT_COMPARED}
    if not mute:
        return novelty
    whys = _whys(matched, mute)
    for row in rows:
        why = whys.get(row["encounter_id"])
        if why is not None:
            row |= {"reason": why.reason.value, "evidence": why.sentence}
    return pa.Table.from_pylist(rows, schema=novelty.schema)


def _whys(matched: Matched, encounters: set[str]) -> dict[str, Uncompared]:
    photos = matched.photos.select(["photo_id", "encounter_id"]).to_pylist()
    encounter_of = {
        r["photo_id"]: r["encounter_id"]
        for r in photos
        if r["encounter_id"] in encounters and r["photo_id"] in matched.cohort.queries
    }
    heads = _by_encounter(_chosen(matched.info, "photo_id", encounter_of), "photo_id", encounter_of)
    crops = _by_encounter(_chosen(matched.crops, "photo_id", encounter_of), "photo_id", encounter_of)
    pairs = _by_encounter(_with_gallery(matched.pairs, encounter_of), "query_photo_id", encounter_of)
    left_out = _by_encounter(_with_gallery(matched.left_out, encounter_of), "query_photo_id", encounter_of)
    return {
        e: _why(heads[e], crops[e], pairs[e], left_out[e], matched.cohort.refused.get(e, frozenset()), matched)
        for e in sorted(encounters & set(encounter_of.values()))
    }


def _why(
    heads: list[Row],
    crops: list[Row],
    pairs: list[Row],
    left_out: list[Row],
    refused: frozenset[str],
    matched: Matched,
) -> Uncompared:
    usable = [r for r in heads if r["feature_status"] == FeatureStatus.OK]
    if not usable:
        return without_head(_ends(heads, crops).values())
    scored = [r["gallery_photo_id"] for r in pairs if r["status"] == PairStatus.SCORED]
    compared = {name for photo in scored if (name := matched.cohort.labels.get(photo))}
    every = [*pairs, *left_out]
    if compared and compared <= refused:
        return all_rejected(compared, any(r["status"] == PairStatus.NOT_SHORTLISTED for r in every))
    return kept_apart(
        {r["viewpoint"] for r in usable}, {r["reason"] for r in every if r["reason"]}, {r["status"] for r in every}
    )


def _ends(heads: list[Row], crops: list[Row]) -> dict[str, str]:
    """By photo the status that stopped it."""
    feature = {r["crop_id"]: r["feature_status"] for r in heads}
    return {
        r["photo_id"]: feature.get(r["crop_id"]) or "" if r["status"] == CropStatus.OK else r["status"] for r in crops
    }


def _chosen(table: pa.Table, column: str, photos: dict[str, str]) -> list[Row]:
    columns = [c for c in ("crop_id", "photo_id", "status", "viewpoint", "feature_status") if c in table.column_names]
    wanted = pc.is_in(table[column], pa.array(sorted(photos), pa.string()))
    rows: list[Row] = table.filter(wanted).select(columns).to_pylist()
    return rows


def _with_gallery(pairs: pa.Table, photos: dict[str, str]) -> list[Row]:
    """Pairs that were to say who it is; those left out are counts without a photo of the gallery."""
    wanted = pc.is_in(pairs["query_photo_id"], pa.array(sorted(photos), pa.string()))
    names = ("query_photo_id", "gallery_photo_id", "status", "reason")
    columns = [c for c in names if c in pairs.column_names]
    rows: list[Row] = pairs.filter(pc.and_(pc.equal(pairs["purpose"], IDENTIFY), wanted)).select(columns).to_pylist()
    return rows


def _by_encounter(rows: list[Row], column: str, encounter_of: dict[str, str]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[encounter_of[row[column]]].append(row)
    return groups
