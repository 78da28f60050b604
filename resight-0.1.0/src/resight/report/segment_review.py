"""A contact sheet of crops to review: outlines, side and confidence, the least certain first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from resight.errors import WorkspaceError
from resight.ingest.decode import load_rgb
from resight.report.pictures import jpeg_uri, shrunk
from resight.report.templates import template
from resight.report.words import photo_path
from resight.segment.geometry import photo_to_crop
from resight.segment.store import read_crop
from resight.status import CropStatus
from resight.store.workspace import Workspace

WORDS = {
    CropStatus.NO_HEAD: "no head found",
    CropStatus.NO_ANNOTATION: "no outline given",
    CropStatus.TOO_SMALL: "too small",
    CropStatus.FAILED: "failed",
    CropStatus.TAKEN_OUT: "taken out by a person",
    CropStatus.PHOTO_REJECTED: "photo not usable",
}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Sheet:
    """One picture of the contact sheet.

    Attributes:
        file: The photo, by its path.
        uri: ``data:`` address of a small JPEG; empty where there is no picture.
        size_wh_px: Size that the outline's coordinates refer to.
        outlines: SVG ``points`` of the polygons.
        caption: Side, part, confidence, or why there is no crop.
        detail: Its segmenter, and by how much it was rotated.
        level: ``bad``, ``weak`` or ``good``: the colour of the frame.
    """

    file: str
    uri: str
    size_wh_px: tuple[int, int]
    outlines: tuple[str, ...]
    caption: str
    detail: str
    level: str


def render_review(
    workspace: Workspace,
    photos: pa.Table,
    crops: pa.Table,
    most: int = 400,
    side_px: int = 240,
    max_megapixels: float = 200,
) -> str:
    """The sheet as HTML: pictures inside, no scripts, nothing fetched. The same tables give the same page.

    Args:
        workspace: Where the crops lie.
        photos: Table ``photos``.
        crops: Table ``crops``.
        most: Pictures shown; the most certain ones are left out, and the page says how many.
        side_px: Long side of the pictures.
        max_megapixels: Photos without a crop are shown unless they are larger.
    """
    by_id = {row["photo_id"]: row for row in photos.select(["photo_id", "uri"]).to_pylist()}
    rows = sorted(crops.to_pylist(), key=_badness)
    sheets = [_sheet(row, by_id[row["photo_id"]]["uri"], workspace, side_px, max_megapixels) for row in rows[:most]]
    counts = sorted(Counter(_kind(row) for row in rows).items())
    return template("review.html").render(
        title="Resight: crops to review",
        sheets=sheets,
        n_photos=len(by_id),
        n_left_out=len(rows) - len(sheets),
        counts=counts,
    )


def _badness(row: Row) -> tuple[int, float, str]:
    """Photos without a crop first (unusable ones last of them), then by confidence."""
    status = CropStatus(row["status"])
    order = {CropStatus.FAILED: 0, CropStatus.NO_HEAD: 1, CropStatus.TOO_SMALL: 2}
    return order.get(status, 4 if status is CropStatus.OK else 3), row["confidence"] or 0.0, row["crop_id"]


def _kind(row: Row) -> str:
    status = CropStatus(row["status"])
    return f"{row['part']} by {row['segmenter']}" if status is CropStatus.OK else WORDS[status]


def _sheet(row: Row, uri: str, workspace: Workspace, side_px: int, max_megapixels: float) -> Sheet:
    file, status = photo_path(uri), CropStatus(row["status"])
    if status is not CropStatus.OK:
        photo = None if status is CropStatus.PHOTO_REJECTED else _photo(uri, workspace, max_megapixels)
        size = (4, 3) if photo is None else (photo.shape[1], photo.shape[0])
        uri = "" if photo is None else jpeg_uri(shrunk(photo, side_px))
        return Sheet(file, uri, size, (), WORDS[status], row["reason"] or "", "bad")
    try:
        rgb, _ = read_crop(workspace, row["path"])
    except WorkspaceError as error:
        return Sheet(file, "", (4, 3), (), "crop missing", str(error), "bad")
    outlines = tuple(_points(polygon, row) for polygon in json.loads(row["polygons"] or "[]"))
    confidence = row["confidence"] or 0.0
    turned = f", turned by {np.degrees(row['upright_rotation_rad']):.0f}°" if row["upright_rotation_rad"] else ""
    size = (int(row["crop_width_px"]), int(row["crop_height_px"]))
    level = "good" if confidence >= 0.75 else "weak" if confidence >= 0.5 else "bad"
    caption = f"{row['part']}, {row['viewpoint']}, {confidence:.0%}"
    uri = jpeg_uri(shrunk(rgb, side_px))
    return Sheet(file, uri, size, outlines, caption, f"{row['segmenter']}{turned}", level)


def _photo(uri: str, workspace: Workspace, max_megapixels: float) -> np.ndarray | None:
    try:
        return load_rgb(uri, max_megapixels, workspace.root)
    except OSError:
        return None  # the card says "picture missing" in its place


def _points(polygon: list[list[float]], row: Row) -> str:
    """SVG and outlines measure from the corner of the first pixel, `photo_to_crop` from its centre."""
    points = photo_to_crop(np.array(polygon, np.float64) - 0.5, row) + 0.5
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
