"""The stage as a whole: features of the crops that have none yet, and one row for every crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from resight.catalog import table as catalog_table
from resight.environment import Environment
from resight.errors import DamagedError
from resight.extract.batch import Batches
from resight.extract.params import ExtractorBase
from resight.extract.places import Place
from resight.extract.store import VERSION
from resight.status import CropStatus, FeatureStatus
from resight.store.counts import reconcile

ROUNDS = 3
SCHEMA = pa.schema([pa.field(f.name, f.type) for f in catalog_table("features").schema if f.name != "run_id"])


@dataclass(frozen=True)
class ExtractResult:
    """Features of all crops.

    Attributes:
        features: Columns of the table ``features`` without ``run_id``, sorted by crop.
        n_extracted: Crops really computed in this call; 0 where nothing is new.
    """

    features: pa.Table
    n_extracted: int


def extract_fingerprint(extractor: ExtractorBase, digests: Sequence[str], crops_name: str) -> str:
    """Name of what this extractor, whose weights have these digests, computes from the crops of that name."""
    return extractor.output_name(list(digests), crops_name, VERSION)


def extract(env: Environment, extractor: ExtractorBase, name: str, crops: pa.Table) -> ExtractResult:
    """Give every crop its features, or a row that says why it has none; only what is missing is computed.

    Args:
        env: Where stores and index lie.
        extractor: Settings of the extractor.
        name: From `extract_fingerprint`.
        crops: Table ``crops``.

    Raises:
        WeightsError: A weights file is missing or wrong.
        DeviceError: The device is not there.
        BrokenCountError: A crop has no row at the end.
        DamagedError: What was written is damaged again and again.
    """
    batches = Batches(env, extractor, name)
    crop_rows = crops.select(["crop_id", "photo_id", "path", "status"]).to_pylist()
    paths = {row["crop_id"]: row["path"] for row in crop_rows if row["status"] == CropStatus.OK}
    places, failed, n_extracted = _computed(batches, paths)
    rows = [_row(crop, places, failed, batches.fingerprint) for crop in crop_rows]
    reconcile("extract", [crop["crop_id"] for crop in crop_rows], [row["crop_id"] for row in rows])
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: row["crop_id"]), schema=SCHEMA)
    return ExtractResult(table, n_extracted)


def _computed(batches: Batches, paths: Mapping[str, str]) -> tuple[dict[str, Place], dict[str, str], int]:
    """Where the features of the crops of ``paths`` lie, why others failed, and how many were computed now.

    Putting small batches together reads old ones, and may find one damaged whose crops were done: they are computed in the
    next round. After the last nothing is put together.

    Raises:
        DamagedError: Crops have neither a place nor a reason after the last round.
    """
    index = batches.adopt()
    places: dict[str, Place] = index.places()
    failed: dict[str, str] = {}
    n_computed = 0
    for rounds_left in reversed(range(ROUNDS)):
        todo = {crop_id: path for crop_id, path in paths.items() if crop_id not in places and crop_id not in failed}
        if not todo:
            break
        outcome = batches.compute(todo, index.failed_in)
        failed |= outcome.failed
        n_computed += outcome.n_computed
        if rounds_left:
            batches.join()
        index = batches.adopt()
        places = index.places()
    missing = sorted(paths.keys() - places.keys() - failed.keys())
    if missing:
        raise DamagedError(batches.folder, f"features of {len(missing)} crops were written and are not there")
    return places, failed, n_computed


def _row(
    crop: Mapping[str, Any], places: Mapping[str, Place], failed: Mapping[str, str], fingerprint: str
) -> dict[str, Any]:
    place = places.get(crop["crop_id"])
    if crop["status"] != CropStatus.OK:
        place, status, reason = None, FeatureStatus.NO_CROP, crop["status"]
    elif place is None:
        status, reason = FeatureStatus.FAILED, failed[crop["crop_id"]]
    elif place.n_keypoints == 0:
        status, reason = FeatureStatus.NO_KEYPOINTS, "the extractor found nothing inside the mask"
    else:
        status, reason = FeatureStatus.OK, ""
    return {
        "crop_id": crop["crop_id"],
        "photo_id": crop["photo_id"],
        "n_keypoints": place.n_keypoints if place else 0,
        "store": place.store if place else None,
        "store_row": place.row if place else None,
        "extract_fingerprint": fingerprint,
        "status": str(status),
        "reason": reason,
    }
