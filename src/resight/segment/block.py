"""A block of photos, segmented on a worker: photos in, crops and one part file out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from resight.errors import ResightError, one_line
from resight.ingest.annotation import Annotation
from resight.ingest.decode import PixelBuffer, load_rgb
from resight.runner.threads import one_thread
from resight.segment.base import Photo, Region, Segmenter
from resight.segment.cropper import crop_id, cut, tidy
from resight.segment.params import CropParams, SegmenterBase
from resight.segment.rows import PART_SCHEMA, Row, empty_row, frame_columns, region_row
from resight.segment.store import crop_path, write_crop
from resight.status import CropStatus, Viewpoint
from resight.store.fingerprint import digest_ids
from resight.store.parts import write_part
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

PARTS = "parts"
NOTHING_FOUND = {
    CropStatus.NO_ANNOTATION: "no outline of the wanted part lies in the photo",
    CropStatus.NO_HEAD: "the segmenter found nothing",
}


@dataclass(frozen=True)
class PhotoJob:
    """A photo that is to be segmented; ``input_digest`` covers what the segmenter reads besides the pixels."""

    photo_id: str
    uris: tuple[str, ...]
    viewpoint: Viewpoint
    annotations: tuple[Annotation, ...]
    input_digest: str


@dataclass(frozen=True)
class SegmentSetup:
    """How animals are found in photos and cut out of them.

    Attributes:
        segmenter: Settings of the segmenter.
        crop: How a region becomes a crop.
        max_megapixels: Larger photos are not decoded.
    """

    segmenter: SegmenterBase
    crop: CropParams
    max_megapixels: float


@dataclass(frozen=True)
class SegmentBlock:
    """Photos that are segmented together, and all that a worker needs to know for it; small and picklable."""

    workspace: Workspace
    weights: WeightStore
    setup: SegmentSetup
    fingerprint: str
    jobs: tuple[PhotoJob, ...]

    @property
    def stage_dir(self) -> Path:
        return self.workspace.stage_dir("segment", self.fingerprint)


@dataclass(frozen=True)
class BlockResult:
    """Results of a block. Rows of photos that were segmented are in its part file; those of photos that failed are here."""

    n_photos: int
    n_cut: int
    failed: tuple[Row, ...]


def segment_block(block: SegmentBlock) -> BlockResult:
    """Segment and cut all photos of a block, then write its part file.

    A photo that cannot be read or that breaks the segmenter becomes a row with the status ``failed``, which is not kept,
    so that the next run tries again.
    """
    segmenter = _segmenter(block.setup.segmenter, block.weights)
    kept: list[Row] = []
    failed: list[Row] = []
    buffer = PixelBuffer()
    with one_thread():
        for job in block.jobs:
            rows = _photo_rows(job, block, segmenter, buffer)
            if any(row["status"] == CropStatus.FAILED for row in rows):
                failed += rows
            else:
                kept += [row | {"input_digest": job.input_digest} for row in rows]
    if kept:
        name = digest_ids(sorted({f"{row['photo_id']} {row['input_digest']}" for row in kept}))
        write_part(block.stage_dir / PARTS, name, pa.Table.from_pylist(kept, schema=PART_SCHEMA))
    n_cut = sum(row["status"] == CropStatus.OK for row in kept)
    return BlockResult(len(block.jobs) - len(failed), n_cut, tuple(failed))


@lru_cache(maxsize=2)
def _segmenter(params: SegmenterBase, weights: WeightStore) -> Segmenter:
    """Built once per worker, not once per block."""
    return params.build(weights)


def _photo_rows(job: PhotoJob, block: SegmentBlock, segmenter: Segmenter, buffer: PixelBuffer) -> list[Row]:
    try:
        rgb = _load(job, block, buffer)
        regions = segmenter.find(Photo(job.photo_id, rgb, job.viewpoint, job.annotations))
        rows = {row["crop_id"]: row for region in regions for row in _region_rows(job, block, rgb, region)}
    except ResightError:
        raise
    except Exception as error:  # one bad photo must not take the others of its block with it
        return [empty_row(job.photo_id, block.fingerprint, CropStatus.FAILED, one_line(error))]
    if rows:
        return list(rows.values())
    status = getattr(segmenter, "nothing_found", CropStatus.NO_HEAD)
    return [empty_row(job.photo_id, block.fingerprint, status, NOTHING_FOUND[status])]


def _region_rows(job: PhotoJob, block: SegmentBlock, rgb: np.ndarray, region: Region) -> list[Row]:
    """One row, or none where nothing of the region lies inside the photo."""
    tidied = tidy(region, (rgb.shape[1], rgb.shape[0]))
    if tidied is None:
        return []
    identity = crop_id(job.photo_id, block.fingerprint, tidied)
    row = region_row(identity, job.photo_id, block.fingerprint, tidied)
    side = max(tidied.bbox_xywh_px[2:])
    if side < block.setup.crop.min_region_px:
        reason = f"long side {side:.0f} px, smaller than crop.min_region_px = {block.setup.crop.min_region_px}"
        return [row | {"status": str(CropStatus.TOO_SMALL), "reason": reason}]
    crop = cut(rgb, tidied, block.setup.crop)
    path = crop_path(block.stage_dir, identity)
    write_crop(path, crop.rgb, crop.mask)
    return [row | frame_columns(crop.frame) | {"path": block.workspace.relative(path)}]


def _load(job: PhotoJob, block: SegmentBlock, buffer: PixelBuffer) -> np.ndarray:
    """The first of the photo's files that can still be read.

    Raises:
        OSError: None can; with the reason for each.
    """
    problems = []
    for uri in job.uris:
        try:
            return load_rgb(uri, block.setup.max_megapixels, block.workspace.root, buffer)
        except OSError as error:
            problems.append(str(error))
    raise OSError("; ".join(problems))
