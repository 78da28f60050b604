"""Rows of the table ``crops``, and the part files that keep them between runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from resight.catalog import table as catalog_table
from resight.segment.base import Region
from resight.segment.geometry import CropFrame
from resight.segment.store import has_crop
from resight.status import CropStatus, Viewpoint
from resight.store.fingerprint import canonical_json, fingerprint
from resight.store.parts import part_files, whole_parts
from resight.store.workspace import Workspace

Row = dict[str, Any]
Key = tuple[str, str]

SCHEMA = pa.schema([pa.field(f.name, f.type) for f in catalog_table("crops").schema if f.name != "run_id"])
PART_SCHEMA = SCHEMA.append(pa.field("input_digest", pa.string()))
ROW_KEY = ("photo_id", "input_digest", "crop_id")


def empty_row(photo_id: str, segment_fingerprint: str, status: CropStatus, reason: str = "") -> Row:
    """The row of a photo without a crop, with the reason."""
    row: Row = dict.fromkeys(SCHEMA.names)
    return row | {
        "crop_id": f"{photo_id}-none",
        "photo_id": photo_id,
        "viewpoint": str(Viewpoint.UNKNOWN),
        "segment_fingerprint": segment_fingerprint,
        "status": str(status),
        "reason": reason,
    }


def region_row(crop_id: str, photo_id: str, segment_fingerprint: str, region: Region) -> Row:
    """The row of a tidy region before it is cut; its status is ``ok``."""
    x, y, width, height = region.bbox_xywh_px
    return empty_row(photo_id, segment_fingerprint, CropStatus.OK) | {
        "crop_id": crop_id,
        "part": region.part,
        "segmenter": region.segmenter,
        "viewpoint": str(region.viewpoint),
        "confidence": region.confidence,
        "bbox_x_px": x,
        "bbox_y_px": y,
        "bbox_width_px": width,
        "bbox_height_px": height,
        "polygons": canonical_json(region.polygons_xy_px),
        "upright_rotation_rad": region.upright_rotation_rad,
    }


def frame_columns(frame: CropFrame) -> Row:
    """The columns that relate crop and photo pixels."""
    return {"crop_width_px": frame.size_wh_px[0], "crop_height_px": frame.size_wh_px[1], "crop_scale": frame.scale}


def input_digest(reads: Iterable[str], annotations: Any, viewpoint: str, ways: Sequence[str] = ()) -> str:
    """Digest of what a segmenter looks at besides the pixels, and of its ways of looking at photos of that size (`SegmenterBase.ways`)."""
    inputs = {"annotations": annotations, "viewpoint": viewpoint}
    return fingerprint({name: inputs[name] for name in sorted(reads)}, *ways)


def read_done(workspace: Workspace, parts: Path, looked_at: Collection[Key] = ()) -> dict[Key, list[Row]]:
    """Rows of the photos that are done, by photo and input digest.

    A photo counts as done if every crop of it is on disk. Two parts that hold the same photo under the same digest hold
    the same rows, of which the first whole ones are taken. Crops of photos that were ``looked_at`` are there.
    """
    done: dict[Key, list[Row]] = {}
    for _, table in whole_parts(part_files(parts), PART_SCHEMA):
        for key, rows in groupby(table.to_pylist(), _key):
            whole = [{name: row[name] for name in SCHEMA.names} for row in rows]
            if key not in done and (key in looked_at or all(_is_there(workspace, row) for row in whole)):
                done[key] = whole
    return done


def _is_there(workspace: Workspace, row: Row) -> bool:
    return row["path"] is None or has_crop(workspace, row["path"])


def _key(row: Row) -> Key:
    return row["photo_id"], row["input_digest"]
