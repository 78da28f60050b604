"""The stage as a whole: which photos are segmented already, the others in blocks, and one row or more for every photo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from resight.environment import Environment
from resight.ingest.annotation import Annotation
from resight.ingest.decode import DECODE_REVISION
from resight.runner.runner import Failure
from resight.segment.block import PARTS, PhotoJob, SegmentBlock, SegmentSetup, segment_block
from resight.segment.params import CropParams, SegmenterBase
from resight.segment.rows import PART_SCHEMA, ROW_KEY, SCHEMA, Done, Row, empty_row, input_digest, read_done
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
    digests = _input_digests(setup.segmenter, photos, annotations)
    parts = env.workspace.stage_dir("segment", name) / PARTS
    done = read_done(env.workspace, parts)
    todo = _jobs(photos, annotations, setup.segmenter, {p: d for p, d in digests.items() if (p, d) not in done.spans})
    blocks = [
        SegmentBlock(env.workspace, env.weights, setup, name, tuple(todo[i : i + PHOTOS_PER_BLOCK]))
        for i in range(0, len(todo), PHOTOS_PER_BLOCK)
    ]
    results, failures = env.runner.run(
        "segment", segment_block, blocks, size=lambda block: len(block.jobs), unit="photos"
    )
    if blocks:
        compact(parts, PART_SCHEMA, ROW_KEY)
        done = read_done(env.workspace, parts, done.spans.keys())
    failed = [row for _, result in results for row in result.failed] + _lost_rows(failures, done, name)
    without = pa.Table.from_pylist(_rejected_rows(photos, name) + failed, schema=SCHEMA)
    rows = pa.concat_tables([done.of(digests.items()), without])
    reconcile("segment", photos["photo_id"].to_pylist(), pc.unique(rows["photo_id"]).to_pylist())
    crops = _with_viewpoints(rows.sort_by([("photo_id", "ascending"), ("crop_id", "ascending")]), photos)
    n_cut, n_photos = (sum(getattr(result, of) for _, result in results) for of in ("n_cut", "n_photos"))
    return SegmentResult(crops, n_cut, n_photos)


def segment_fingerprint(segmenter: SegmenterBase, crop: CropParams, digests: Sequence[str]) -> str:
    """Name of what this stage computes with this segmenter, whose weights have these digests."""
    return segmenter.output_name(list(digests), crop.output_name(), DECODE_REVISION)


def _input_digests(
    segmenter: SegmenterBase, photos: pa.Table, annotations: Mapping[str, tuple[Annotation, ...]]
) -> dict[str, str]:
    """Of what the segmenter reads besides the pixels, by photo that can be used, sorted."""
    reads = segmenter.reads

    @cache
    def without_outline(viewpoint: Viewpoint, size_px: tuple[int, int]) -> str:
        return input_digest(reads, [], viewpoint, segmenter.ways(*size_px))

    usable = photos.filter(pc.equal(photos["status"], PhotoStatus.OK.value)).sort_by("photo_id")
    columns = (usable[name].to_pylist() for name in ("photo_id", "viewpoint", "width_px", "height_px"))
    digests: dict[str, str] = {}
    for photo_id, of_photo, *size_px in zip(*columns, strict=True):
        drawn, viewpoint = _said_of(reads, annotations.get(photo_id, ()), of_photo)
        digests[photo_id] = (
            input_digest(reads, [asdict(one) for one in drawn], viewpoint, segmenter.ways(*size_px))
            if drawn
            else without_outline(viewpoint, (size_px[0], size_px[1]))
        )
    return digests


def _said_of(reads: Sequence[str], drawn: tuple[Annotation, ...], viewpoint: str) -> tuple[tuple[Annotation, ...], Viewpoint]:  # fmt: skip
    """Of what people say about a photo, that which the segmenter reads."""
    return (
        tuple(drawn) if "annotations" in reads else (),
        Viewpoint(viewpoint) if "viewpoint" in reads else Viewpoint.UNKNOWN,
    )


def _jobs(
    photos: pa.Table,
    annotations: Mapping[str, tuple[Annotation, ...]],
    segmenter: SegmenterBase,
    digests: Mapping[str, str],
) -> list[PhotoJob]:
    """Of the photos that have a digest, in that order."""
    rows = photos.filter(pc.is_in(photos["photo_id"], pa.array(list(digests), pa.string())))
    by_photo = {row["photo_id"]: row for row in rows.select(["photo_id", "uri", "uris", "viewpoint"]).to_pylist()}
    jobs = []
    for photo_id, digest in digests.items():
        row = by_photo[photo_id]
        drawn, viewpoint = _said_of(segmenter.reads, annotations.get(photo_id, ()), row["viewpoint"])
        jobs.append(PhotoJob(photo_id, tuple(row["uris"] or [row["uri"]]), viewpoint, drawn, digest))
    return jobs


def _rejected_rows(photos: pa.Table, fingerprint: str) -> list[Row]:
    rejected = photos.filter(pc.not_equal(photos["status"], PhotoStatus.OK.value))
    return [
        empty_row(row["photo_id"], fingerprint, CropStatus.PHOTO_REJECTED, row["reason"] or "")
        for row in rejected.select(["photo_id", "reason"]).to_pylist()
    ]


def _lost_rows(failures: Iterable[Failure], done: Done, fingerprint: str) -> list[Row]:
    """Rows for the photos of blocks that did not come back, unless their part file was written before that."""
    return [
        empty_row(job.photo_id, fingerprint, CropStatus.FAILED, failure.reason)
        for failure in failures
        for job in failure.block.jobs
        if (job.photo_id, job.input_digest) not in done.spans
    ]


def _with_viewpoints(crops: pa.Table, photos: pa.Table) -> pa.Table:
    """Crops, sorted by photo, with the photo's viewpoint in the place of the region's where people know better.

    What people say about a photo counts more than what a model says about its only crop. With several animals in the photo
    it is not clear which of them people mean.
    """
    unknown = Viewpoint.UNKNOWN.value
    of_region = crops["viewpoint"].combine_chunks()
    of_photo = photos["viewpoint"].combine_chunks().take(pc.index_in(crops["photo_id"], photos["photo_id"]))
    times = pc.value_counts(crops["photo_id"])
    alone = pc.is_in(crops["photo_id"], times.field("values").filter(pc.equal(times.field("counts"), 1)))
    by_model = pc.and_(
        pc.is_valid(crops["segmenter"]), pc.not_equal(pc.fill_null(crops["segmenter"], ""), DRAWN_BY_PEOPLE)
    )
    better = pc.and_(pc.and_(by_model, alone), pc.not_equal(of_photo, unknown))
    viewpoint = pc.if_else(pc.or_(pc.equal(of_region, unknown), better), of_photo, of_region)
    return crops.set_column(crops.schema.get_field_index("viewpoint"), SCHEMA.field("viewpoint"), viewpoint)
