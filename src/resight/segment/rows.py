"""Rows of the table ``crops``, and the part files that keep them between runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from resight.catalog import table as catalog_table
from resight.runner.progress import counted
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


@dataclass(frozen=True)
class Done:
    """What is known of photos that are done.

    Attributes:
        rows: `SCHEMA`, those of one photo together.
        spans: By photo and input digest, its first row and the one after its last.
    """

    rows: pa.Table
    spans: Mapping[Key, tuple[int, int]]

    def of(self, keys: Iterable[Key]) -> pa.Table:
        """The rows of those of the photos that are done, photo by photo."""
        spans = [self.spans[key] for key in keys if key in self.spans]
        chosen = [np.arange(start, stop) for start, stop in spans]
        return self.rows.take(pa.array(np.concatenate(chosen) if chosen else [], pa.int64()))


def read_done(workspace: Workspace, parts: Path, looked_at: Collection[Key] = ()) -> Done:
    """Rows of the photos that are done.

    A photo counts as done if every crop of it is on disk. Two parts that hold the same photo under the same digest hold
    the same rows, of which the first whole ones are taken. Crops of photos that were ``looked_at`` are there.
    """
    tables: list[pa.Table] = [SCHEMA.empty_table()]
    spans: dict[Key, tuple[int, int]] = {}
    n = 0
    for _, table in whole_parts(part_files(parts), PART_SCHEMA):
        keys = zip(table["photo_id"].to_pylist(), table["input_digest"].to_pylist(), strict=True)
        paths = table["path"].to_pylist()
        groups = [[*rows] for _, rows in groupby(enumerate(keys), itemgetter(1))]
        for group in counted(groups, "crops on disk", "photos"):
            (first, key), after = group[0], group[-1][0] + 1
            if key not in spans and (key in looked_at or _are_there(workspace, paths[first:after])):
                spans[key] = n + first, n + after
        tables.append(table.select(SCHEMA.names))
        n += table.num_rows
    return Done(pa.concat_tables(tables), spans)


def _are_there(workspace: Workspace, paths: Iterable[str | None]) -> bool:
    return all(path is None or has_crop(workspace, path) for path in paths)
