"""The stage as a whole: which photos are segmented already, the others in blocks, and one row or more for every photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from resight.environment import Environment
from resight.ingest.annotation import Annotation
from resight.ingest.decode import DECODE_REVISION
from resight.runner.runner import Failure
from resight.segment.block import PARTS, BlockResult, PhotoJob, SegmentBlock, SegmentSetup, segment_block
from resight.segment.params import CropParams, SegmenterBase
from resight.segment.rows import PART_SCHEMA, ROW_KEY, SCHEMA, Key, Row, empty_row, input_digest, read_done
from resight.status import CropStatus, PhotoStatus, Viewpoint
from resight.store.counts import reconcile
from resight.store.parts import compact

PHOTOS_PER_BLOCK = 16
DRAWN_BY_PEOPLE = "annotations"


@dataclass(frozen=True)
class SegmentResult:
    """The crops of all photos.

    Attributes:
        crops: Columns of the table ``crops`` without ``run_id``, sorted by photo and crop.
        n_cut: Crops really cut in this call; 0 where nothing is new.
        n_photos_done: Photos really segmented in this call.
    """

    crops: pa.Table
    n_cut: int
    n_photos_done: int


def segment(
    env: Environment,
    setup: SegmentSetup,
    name: str,
    photos: pa.Table,
    annotations: Mapping[str, tuple[Annotation, ...]],
) -> SegmentResult:
    """Give every photo its crops, or a row that says why it has none; only what is missing is computed.

    Args:
        env: Where crops and part files go.
        setup: Segmenter and cropping.
        name: From `segment_fingerprint`.
        photos: Table ``photos``.
        annotations: Outlines by ``photo_id``.

    Raises:
        BrokenCountError: A photo has no row at the end.
        WeightsError: A learned segmenter's weights are missing or wrong.
    """
    usable, rejected = _jobs(setup.segmenter, photos, annotations), _rejected_rows(photos, name)
    parts = env.workspace.stage_dir("segment", name) / PARTS
    done = read_done(env.workspace, parts)
    todo = [job for job in usable if _key(job) not in done]
    blocks = [
        SegmentBlock(env.workspace, env.weights, setup, name, tuple(todo[i : i + PHOTOS_PER_BLOCK]))
        for i in range(0, len(todo), PHOTOS_PER_BLOCK)
    ]
    results, failures = env.runner.run(
        "segment", segment_block, blocks, size=lambda block: len(block.jobs), unit="photos"
    )
    if blocks:
        compact(parts, PART_SCHEMA, ROW_KEY)
        done = read_done(env.workspace, parts, done.keys())
    failed = [row for _, result in results for row in result.failed] + _lost_rows(failures, done, name)
    rows = rejected + failed + [row for job in usable for row in done.get(_key(job), [])]
    reconcile("segment", photos.column("photo_id").to_pylist(), {row["photo_id"] for row in rows})
    return _result(rows, [result for _, result in results], photos)


def segment_fingerprint(segmenter: SegmenterBase, crop: CropParams, digests: Sequence[str]) -> str:
    """Name of what this stage computes with this segmenter, whose weights have these digests."""
    return segmenter.output_name(list(digests), crop.output_name(), DECODE_REVISION)


def _jobs(
    segmenter: SegmenterBase, photos: pa.Table, annotations: Mapping[str, tuple[Annotation, ...]]
) -> list[PhotoJob]:
    reads = segmenter.reads
    jobs = []
    for row in photos.select(["photo_id", "uri", "uris", "viewpoint", "status", "width_px", "height_px"]).to_pylist():
        if row["status"] != PhotoStatus.OK:
            continue
        mine = tuple(annotations.get(row["photo_id"], ())) if "annotations" in reads else ()
        viewpoint = Viewpoint(row["viewpoint"]) if "viewpoint" in reads else Viewpoint.UNKNOWN
        ways = segmenter.ways(row["width_px"], row["height_px"])
        digest = input_digest(reads, [asdict(annotation) for annotation in mine], viewpoint, ways)
        jobs.append(PhotoJob(row["photo_id"], tuple(row["uris"] or [row["uri"]]), viewpoint, mine, digest))
    return sorted(jobs, key=lambda job: job.photo_id)


def _key(job: PhotoJob) -> Key:
    return job.photo_id, job.input_digest


def _rejected_rows(photos: pa.Table, fingerprint: str) -> list[Row]:
    rows = photos.select(["photo_id", "status", "reason"]).to_pylist()
    return [
        empty_row(row["photo_id"], fingerprint, CropStatus.PHOTO_REJECTED, row["reason"] or "")
        for row in rows
        if row["status"] != PhotoStatus.OK
    ]


def _lost_rows(failures: Iterable[Failure], done: Mapping[Key, list[Row]], fingerprint: str) -> list[Row]:
    """Rows for the photos of blocks that did not come back, unless their part file was written before that."""
    return [
        empty_row(job.photo_id, fingerprint, CropStatus.FAILED, failure.reason)
        for failure in failures
        for job in failure.block.jobs
        if _key(job) not in done
    ]


def _result(rows: list[Row], results: list[BlockResult], photos: pa.Table) -> SegmentResult:
    """Sort the rows and replace the region's viewpoint by the photo's where people know better."""
    of_photo = dict(zip(photos.column("photo_id").to_pylist(), photos.column("viewpoint").to_pylist(), strict=True))
    n_crops = Counter(row["photo_id"] for row in rows)
    filled = [
        row | {"viewpoint": _viewpoint(row, of_photo[row["photo_id"]], n_crops[row["photo_id"]])}
        for row in sorted(rows, key=lambda row: (row["photo_id"], row["crop_id"]))
    ]
    crops = pa.Table.from_pylist(filled, schema=SCHEMA)
    return SegmentResult(crops, sum(r.n_cut for r in results), sum(r.n_photos for r in results))


def _viewpoint(row: Row, of_photo: str, n_crops: int) -> str:
    """What people say about a photo counts more than what a model says about its only crop. With several animals in the photo
    it is not clear which of them people mean."""
    of_region = row["viewpoint"]
    by_model = row["segmenter"] not in (None, DRAWN_BY_PEOPLE) and of_region != Viewpoint.UNKNOWN
    if of_region == Viewpoint.UNKNOWN or (by_model and n_crops == 1 and of_photo != Viewpoint.UNKNOWN):
        return of_photo
    return str(of_region)
