"""A contact sheet of crops for the eye: outlines, side and confidence, the least certain ones first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from resight.errors import WorkspaceError
from resight.ingest.decode import load_rgb
from resight.report.pictures import jpeg_uri
from resight.segment.geometry import photo_to_crop
from resight.segment.store import read_crop
from resight.status import CropStatus
from resight.store.workspace import Workspace

FOLDER = Path(__file__).resolve().parent
WORDS = {
    CropStatus.NO_HEAD: "no head found",
    CropStatus.NO_ANNOTATION: "no outline given",
    CropStatus.TOO_SMALL: "too small",
    CropStatus.FAILED: "failed",
    CropStatus.PHOTO_REJECTED: "photo not usable",
}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Sheet:
    """One picture of the contact sheet.

    Attributes:
        file: Name of the photo.
        uri: ``data:`` address of a small JPEG; empty where there is no picture.
        size_wh_px: Size that the outline's coordinates refer to.
        outlines: SVG ``points`` of the polygons.
        caption: Side, part, confidence, or why there is no crop.
        detail: What found it, how it was turned.
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
        most: Pictures shown; the best of the others are left out, and the page says how many.
        side_px: Long side of the pictures.
        max_megapixels: Photos without a crop are shown unless they are larger.
    """
    by_id = {row["photo_id"]: row for row in photos.select(["photo_id", "uri"]).to_pylist()}
    rows = sorted(crops.to_pylist(), key=_badness)
    sheets = [_sheet(row, by_id[row["photo_id"]]["uri"], workspace, side_px, max_megapixels) for row in rows[:most]]
    counts = Counter(_kind(row) for row in rows)
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("review.html").render(
        sheets=sheets, n_photos=len(by_id), n_left_out=len(rows) - len(sheets), counts=sorted(counts.items())
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
    file, status = PurePosixPath(uri).name, CropStatus(row["status"])
    if status is not CropStatus.OK:
        picture = None if status is CropStatus.PHOTO_REJECTED else _photo(uri, workspace, max_megapixels)
        return _bare(file, picture, WORDS[status], row["reason"] or "", side_px)
    try:
        rgb, _ = read_crop(workspace, row["path"])
    except WorkspaceError as error:
        return _bare(file, None, "crop missing", str(error), side_px)
    outlines = tuple(_points(polygon, row) for polygon in json.loads(row["polygons"] or "[]"))
    confidence = row["confidence"] or 0.0
    turned = f", turned by {np.degrees(row['upright_rotation_rad']):.0f}°" if row["upright_rotation_rad"] else ""
    size = (int(row["crop_width_px"]), int(row["crop_height_px"]))
    level = "good" if confidence >= 0.75 else "weak" if confidence >= 0.5 else "bad"
    caption = f"{row['part']}, {row['viewpoint']}, {confidence:.0%}"
    return Sheet(file, jpeg_uri(_small(rgb, side_px)), size, outlines, caption, f"{row['segmenter']}{turned}", level)


def _bare(file: str, rgb: np.ndarray | None, caption: str, detail: str, side_px: int) -> Sheet:
    if rgb is None:
        return Sheet(file, "", (4, 3), (), caption, detail, "bad")
    return Sheet(file, jpeg_uri(_small(rgb, side_px)), (rgb.shape[1], rgb.shape[0]), (), caption, detail, "bad")


def _photo(uri: str, workspace: Workspace, max_megapixels: float) -> np.ndarray | None:
    try:
        return load_rgb(uri, max_megapixels, workspace.root)
    except OSError:
        return None  # the card says "picture missing" in its place


def _small(rgb: np.ndarray, side_px: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    scale = min(1.0, side_px / max(height, width))
    return cv2.resize(rgb, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)


def _points(polygon: list[list[float]], row: Row) -> str:
    """SVG measures from the outer corner, as outlines do; `photo_to_crop` from pixel centres."""
    places = photo_to_crop(np.array(polygon, np.float64) - 0.5, row) + 0.5
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
