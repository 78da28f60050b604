"""The stage as a whole: what is done already, what is to do, and one row or more for every photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import pyarrow as pa

from resight.ingest.decode import DECODE_REVISION
from resight.runner.runner import Failure, Runner
from resight.segment.base import Annotation
from resight.segment.block import PARTS, Block, BlockResult, PhotoJob, run_block
from resight.segment.rows import SCHEMA, Key, Row, empty_row, input_digest, read_done
from resight.settings import Settings
from resight.status import CropStatus, PhotoStatus, Viewpoint
from resight.store.counts import reconcile
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

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
    workspace: Workspace,
    settings: Settings,
    photos: pa.Table,
    annotations: Mapping[str, tuple[Annotation, ...]],
    weights: WeightStore,
    runner: Runner,
) -> SegmentResult:
    """Give every photo its crops, or a row that says why it has none; only what is missing is computed.

    Args:
        workspace: Where crops and part files go.
        settings: Sections ``segment``, ``crop`` and ``ingest`` are used.
        photos: Table ``photos``.
        annotations: Outlines by ``photo_id``.
        weights: Where a learned segmenter finds its weights.
        runner: Runs the blocks.

    Raises:
        BrokenCountError: A photo has no row at the end.
        WeightsError: A learned segmenter's weights are missing or wrong.
    """
    fingerprint = segment_fingerprint(settings, weights)
    usable, rejected = _jobs(settings, photos, annotations), _rejected_rows(photos, fingerprint)
    parts = workspace.stage_dir("segment", fingerprint) / PARTS
    done = read_done(workspace, parts)
    blocks = _blocks([job for job in usable if _key(job) not in done], workspace, settings, weights, fingerprint)
    results, failures = runner.run("segment", run_block, blocks, size=lambda block: len(block.jobs), unit="photos")
    if blocks:
        done = read_done(workspace, parts)
    failed = [row for _, result in results for row in result.failed] + _lost_rows(failures, done, fingerprint)
    rows = rejected + failed + [row for job in usable for row in done.get(_key(job), [])]
    reconcile("segment", photos.column("photo_id").to_pylist(), {row["photo_id"] for row in rows})
    return _result(rows, [result for _, result in results], photos)


def segment_fingerprint(settings: Settings, weights: WeightStore) -> str:
    """Name of what this stage computes under these settings and weights."""
    digests = [weights.find(name).sha256 for name in settings.segment.weight_names()]
    return settings.segment.fingerprint(digests, settings.crop.fingerprint(), DECODE_REVISION)


def _jobs(settings: Settings, photos: pa.Table, annotations: Mapping[str, tuple[Annotation, ...]]) -> list[PhotoJob]:
    reads = settings.segment.reads
    jobs = []
    for row in photos.select(["photo_id", "uri", "uris", "viewpoint", "status"]).to_pylist():
        if row["status"] != PhotoStatus.OK:
            continue
        mine = tuple(annotations.get(row["photo_id"], ())) if "annotations" in reads else ()
        viewpoint = Viewpoint(row["viewpoint"]) if "viewpoint" in reads else Viewpoint.UNKNOWN
        digest = input_digest(reads, [asdict(one) for one in mine], viewpoint)
        jobs.append(PhotoJob(row["photo_id"], tuple(row["uris"] or [row["uri"]]), viewpoint, mine, digest))
    return sorted(jobs, key=lambda job: job.photo_id)


def _blocks(
    jobs: list[PhotoJob], workspace: Workspace, settings: Settings, weights: WeightStore, fingerprint: str
) -> list[Block]:
    return [
        Block(
            workspace,
            fingerprint,
            settings.segment,
            settings.crop,
            settings.ingest.max_megapixels,
            weights,
            tuple(jobs[i : i + PHOTOS_PER_BLOCK]),
        )
        for i in range(0, len(jobs), PHOTOS_PER_BLOCK)
    ]


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
    """Sort the rows and let the photo's viewpoint stand in where people know better than the region."""
    of_photo = dict(zip(photos.column("photo_id").to_pylist(), photos.column("viewpoint").to_pylist(), strict=True))
    n_crops = Counter(row["photo_id"] for row in rows)
    filled = [
        row | {"viewpoint": _viewpoint(row, of_photo[row["photo_id"]], n_crops[row["photo_id"]])}
        for row in sorted(rows, key=lambda row: (row["photo_id"], row["crop_id"]))
    ]
    crops = pa.Table.from_pylist(filled, schema=SCHEMA)
    return SegmentResult(crops, sum(r.n_cut for r in results), sum(r.n_photos for r in results))


def _viewpoint(row: Row, of_photo: str, n_crops: int) -> str:
    """What people say about a photo goes before what a model says about its only crop; with several animals in the photo,
    nobody knows which one is meant."""
    said = row["viewpoint"]
    by_model = row["segmenter"] not in (None, DRAWN_BY_PEOPLE) and said != Viewpoint.UNKNOWN
    if said == Viewpoint.UNKNOWN or (by_model and n_crops == 1 and of_photo != Viewpoint.UNKNOWN):
        return of_photo
    return str(said)
