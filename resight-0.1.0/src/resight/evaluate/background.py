"""The control: photos with the animals painted over, so that only the habitat can be recognised.

The whole photo is the crop; the outlines of head and body, grown, are filled with the mean colour of what is left, and no
keypoint lies in them or on their edge.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from resight.environment import Environment
from resight.ingest.annotation import Annotation
from resight.ingest.decode import DECODE_REVISION, load_rgb
from resight.segment.base import Region
from resight.segment.block import SegmentSetup
from resight.segment.cropper import CROP_ID_CHARS, cut
from resight.segment.geometry import Polygon, box_polygon, frame_for
from resight.segment.masks import fill_polygons, grow
from resight.segment.params import CropParams
from resight.segment.rows import SCHEMA, Row, frame_columns, region_row
from resight.segment.store import crop_path, write_crop
from resight.status import CropStatus, Viewpoint
from resight.store.fingerprint import canonical_json, fingerprint
from resight.store.workspace import Workspace

REVISION = 1
PHOTOS_PER_BLOCK = 16
GROW_FRACTION = 0.04  # of the outline's longer side: what is painted over
EDGE_FRACTION = 0.03  # beyond that no keypoint may lie, as it would see the edge of the paint
MIN_LEFT = 0.02  # share of the photo that must be left


@dataclass(frozen=True)
class Blank:
    """A photo to be painted over."""

    photo_id: str
    uris: tuple[str, ...]
    size_wh_px: tuple[int, int]
    polygons: tuple[Polygon, ...]
    viewpoint: str
    crop_id: str


@dataclass(frozen=True)
class BlankBlock:
    """Photos for a worker, and how to crop them."""

    workspace: Workspace
    folder: Path
    crop: CropParams
    max_megapixels: float
    jobs: tuple[Blank, ...]


@dataclass(frozen=True)
class Blanked:
    """What `blank_crops` gives back.

    Attributes:
        crops: The catalog's ``crops`` without ``run_id``: one crop per photo that has an outline.
        crop: How they were cropped; what is extracted from them is named after it.
        n_head_only: Photos of which the head alone was outlined, so that the body may still show.
        n_without: Usable photos without an outline.
        n_failed: Photos that could not be painted over, or of which too little was left.
    """

    crops: pa.Table
    crop: CropParams
    n_head_only: int
    n_without: int
    n_failed: int


@dataclass(frozen=True)
class Outlines:
    """Where the animals are.

    Attributes:
        polygons: Part and polygon of everything outlined, by photo_id.
        views: Viewpoint of a photo's first usable crop, by photo_id.
    """

    polygons: Mapping[str, Sequence[tuple[str, Polygon]]]
    views: Mapping[str, str]

    @staticmethod
    def of(crops: pa.Table, annotations: Mapping[str, Sequence[Annotation]]) -> Outlines:
        """Of a run's crops, whoever drew their outlines, and of the ``annotations`` that came with the photos."""
        polygons: dict[str, list[tuple[str, Polygon]]] = {}
        for r in crops.to_pylist():
            if r["status"] == CropStatus.OK and r["part"] != "whole":
                box = (r["bbox_x_px"], r["bbox_y_px"], r["bbox_width_px"], r["bbox_height_px"])
                shapes = json.loads(r["polygons"] or "[]") or [box_polygon(box)]
                polygons.setdefault(r["photo_id"], []).extend((r["part"], _closed(p)) for p in shapes)
        for photo_id, of_photo in annotations.items():
            for annotation in of_photo:
                shapes = annotation.polygons_xy_px or (box_polygon(annotation.bbox_xywh_px),)
                polygons.setdefault(photo_id, []).extend((annotation.part, _closed(p)) for p in shapes)
        rows = crops.select(["photo_id", "viewpoint", "status"]).to_pylist()
        views = {r["photo_id"]: r["viewpoint"] for r in reversed(rows) if r["status"] == CropStatus.OK}
        return Outlines(polygons, views)


def background_fingerprint(crop: CropParams) -> str:
    """Name of what is painted over and cropped like this."""
    return fingerprint("background", REVISION, GROW_FRACTION, EDGE_FRACTION, _ungrown(crop).in_names(), DECODE_REVISION)


def _ungrown(crop: CropParams) -> CropParams:
    """The mask says where keypoints may lie, so it must not grow over the edge of the paint."""
    return crop.model_copy(update={"mask_grow_fraction": 0.0})


def blank_crops(env: Environment, setup: SegmentSetup, name: str, photos: pa.Table, outlines: Outlines) -> Blanked:
    """Paint the animals over, in the workspace's store; photos that were painted before are not painted again.

    Args:
        env: Where the crops go, and what runs the blocks.
        setup: How the run segments; its cropping is used.
        name: From `background_fingerprint`.
        photos: Usable photos that take part.
        outlines: What is painted over.
    """
    crop, folder = _ungrown(setup.crop), env.workspace.stage_dir("background", name)
    jobs, without = _jobs(photos, outlines, name)
    todo = [job for job in jobs if not crop_path(folder, job.crop_id).exists()]
    blocks = [
        BlankBlock(env.workspace, folder, crop, setup.max_megapixels, tuple(todo[i : i + PHOTOS_PER_BLOCK]))
        for i in range(0, len(todo), PHOTOS_PER_BLOCK)
    ]
    env.runner.run("background", paint_block, blocks, size=lambda block: len(block.jobs), unit="photos")
    paths = {job.crop_id: crop_path(folder, job.crop_id) for job in jobs}
    painted = [job for job in jobs if paths[job.crop_id].exists()]
    rows = [_crop_row(job, crop, name) | {"path": env.workspace.relative(paths[job.crop_id])} for job in painted]
    head_only = sum({part for part, _ in outlines.polygons[r["photo_id"]]} == {"head"} for r in rows)
    table = pa.Table.from_pylist(sorted(rows, key=lambda r: r["crop_id"]), schema=SCHEMA)
    return Blanked(table, crop, head_only, without, len(jobs) - len(rows))


def paint_block(block: BlankBlock) -> int:
    """Paint over and write the photos of a block; one that cannot be read, or that is all animal, is left out."""
    done = 0
    for job in block.jobs:
        try:
            rgb = load_rgb(job.uris[0], block.max_megapixels, block.workspace.root)
        except OSError:
            continue  # it was readable when it was segmented; `blank_crops` counts it as failed
        painted, left = paint_over(rgb, job.polygons)
        if left.mean() >= MIN_LEFT:
            crop = cut(painted, _region(job, left), block.crop)
            write_crop(crop_path(block.folder, job.crop_id), crop.rgb, crop.mask)
            done += 1
    return done


def paint_over(rgb: np.ndarray, polygons: Sequence[Polygon]) -> tuple[np.ndarray, np.ndarray]:
    """Fill outlines with the mean colour of the rest.

    Args:
        rgb: (H, W, 3) uint8.
        polygons: In outline coordinates (pixel centres at .5); each is grown by `GROW_FRACTION` of its longer side.

    Returns:
        The painted picture (H, W, 3) uint8, and (H, W) bool: where keypoints may lie.
    """
    inside, near = np.zeros(rgb.shape[:2], bool), np.zeros(rgb.shape[:2], bool)
    for polygon in polygons:
        points = np.array(polygon, np.float64)
        side = float(np.ptp(points, axis=0).max())
        shape = fill_polygons([points - 0.5], (rgb.shape[1], rgb.shape[0]))
        inside |= grow(shape, GROW_FRACTION * side)
        near |= grow(shape, (GROW_FRACTION + EDGE_FRACTION) * side)
    painted = rgb.copy()
    if inside.any() and not inside.all():
        painted[inside] = rgb[~inside].mean(axis=0).round().astype(np.uint8)
    return painted, ~near


def _closed(polygon: Sequence[Sequence[float]]) -> Polygon:
    return tuple((float(x), float(y)) for x, y in polygon)


def _jobs(photos: pa.Table, outlines: Outlines, name: str) -> tuple[list[Blank], int]:
    jobs, without = [], 0
    for p in photos.select(["photo_id", "uri", "uris", "width_px", "height_px", "viewpoint"]).to_pylist():
        polygons = tuple(sorted({polygon for _, polygon in outlines.polygons.get(p["photo_id"], [])}))
        if not polygons:
            without += 1
            continue
        digest = hashlib.sha256(canonical_json([p["photo_id"], name, polygons]).encode()).hexdigest()[:CROP_ID_CHARS]
        view = outlines.views.get(p["photo_id"], p["viewpoint"])
        jobs.append(Blank(p["photo_id"], tuple(p["uris"] or [p["uri"]]), (p["width_px"], p["height_px"]), polygons, view, digest))  # fmt: skip
    return jobs, without


def _region(job: Blank, left: np.ndarray | None = None) -> Region:
    width, height = job.size_wh_px
    return Region("whole", (0.0, 0.0, float(width), float(height)), mask=left, viewpoint=Viewpoint(job.viewpoint), segmenter="background")  # fmt: skip


def _crop_row(job: Blank, crop: CropParams, name: str) -> Row:
    region = _region(job)
    frame = frame_for(region, job.size_wh_px, crop.pad_fraction, crop.whole_side_px, 1.0)
    row: dict[str, Any] = region_row(job.crop_id, job.photo_id, name, region) | frame_columns(frame)
    return row
