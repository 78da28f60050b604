"""Outlined photos to train on: small pictures in memory, with their truth."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from resight.ingest.decode import load_rgb
from resight.segment.learned.network import VIEWS

FRAME_SIDE_PX = 640
CLOSE_HEAD_PX = 150
CLOSE_WINDOW = 4.5
SNOUT_RAD = {"left": math.pi, "right": 0.0, "top": math.pi / 2}  # where the snout of an upright head points
MIN_ELONGATION = 1.12
MIN_BODY = (
    2.2  # long side of the body's box over that of the head's; below it, the photo does not show where the body lies
)


@dataclass(frozen=True)
class OutlinedPhoto:
    """A picture and its truth, in outline coordinates of the picture (x right, y down, from the outer corner).

    Attributes:
        name: File, relative to its data set.
        individual_id: Animal; decides the fold.
        source: ``zakynthos``, ``bonaire``, ``rendered`` or what the folder is called.
        rgb: (H, W, 3) uint8.
        head_xy_px: Outline of the head, (N, 2); empty where none is seen.
        body_xywh_px: Box of the animal, or None if none is drawn.
        view: Index in `VIEWS`.
        upright_rad: Counter-clockwise turn that brings the head upright; NaN if unknown.
        visibility: The annotator's rating.
        size_wh_px: Size of the photo, of which ``rgb`` is a smaller copy or a part.
        animal: (H, W) uint8, 255 where the animal is, or None if unknown; lets it be put before another background.
    """

    name: str
    individual_id: str
    source: str
    rgb: np.ndarray
    head_xy_px: np.ndarray
    body_xywh_px: tuple[float, float, float, float] | None
    view: int
    upright_rad: float
    visibility: str
    size_wh_px: tuple[int, int]
    animal: np.ndarray | None = None


def read_samples(folder: Path) -> list[OutlinedPhoto]:
    """All photos of a data set that have outlines, at their full size.

    Args:
        folder: Holds ``metadata.csv`` and ``annotations.coco.json``.
    """
    content = json.loads((folder / "annotations.coco.json").read_text(encoding="utf-8"))
    parts = {c["id"]: c["name"] for c in content["categories"]}
    with open(folder / "metadata.csv", encoding="utf-8", newline="") as file:
        individuals = {row["file"]: row["individual_id"] for row in csv.DictReader(file)}
    of_image: dict[Any, dict[str, dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        of_image.setdefault(annotation["image_id"], {})[parts[annotation["category_id"]]] = annotation
    return [
        _sample(folder, image, of_image.get(image["id"], {}), individuals.get(image["file_name"], image["file_name"]))
        for image in sorted(content["images"], key=lambda image: image["file_name"])
    ]


def _sample(
    folder: Path, image: dict[str, Any], outlines: dict[str, dict[str, Any]], individual_id: str
) -> OutlinedPhoto:
    rgb = load_rgb(str(folder / image["file_name"]), 200)
    head = np.array(outlines["head"]["segmentation"][0]).reshape(-1, 2) if "head" in outlines else np.zeros((0, 2))
    body = _box(outlines["body"]["bbox"]) if "body" in outlines else None
    view = image.get("viewpoint") or "none"
    upright_rad = upright_from_outlines(head, body, view)
    truth = head, body, VIEWS.index(view), upright_rad, image.get("head_visibility", "")
    return OutlinedPhoto(image["file_name"], individual_id, folder.name, rgb, *truth, (rgb.shape[1], rgb.shape[0]))


def upright_from_outlines(
    head_xy_px: np.ndarray, body_xywh_px: tuple[float, float, float, float] | None, view: str
) -> float:
    """The turn that brings a head upright, read off the outlines, as it is not labelled.

    The long axis of the head's outline, directed away from the middle of the body, is taken for the direction of the snout.
    Upright means: snout to the left in a left view, to the right in a right view, up from above. NaN for other views, round
    outlines, photos with little of the body, and heads whose direction and axis differ by more than 50 degrees. Accurate to about 15 degrees.
    """
    if view not in SNOUT_RAD or body_xywh_px is None or len(head_xy_px) < 3:
        return math.nan
    if max(body_xywh_px[2:]) < MIN_BODY * float(np.ptp(head_xy_px, axis=0).max()):
        return math.nan
    mask_xy = _filled(head_xy_px)
    middle = mask_xy.mean(0)
    spread, axes = np.linalg.eigh(np.cov((mask_xy - middle).T))
    x, y, width, height = body_xywh_px
    away = middle - np.array([x + width / 2, y + height / 2])
    axis = axes[:, 1] * (1 if axes[:, 1] @ away >= 0 else -1)
    agreement = float(axis @ away) / (float(np.linalg.norm(away)) + 1e-9)
    if math.sqrt(spread[1] / max(spread[0], 1e-9)) < MIN_ELONGATION or agreement < math.cos(math.radians(50)):
        return math.nan
    return wrapped(SNOUT_RAD[view] - math.atan2(-axis[1], axis[0]))


def _box(values: Iterable[float]) -> tuple[float, float, float, float]:
    left, top, width, height = map(float, values)
    return left, top, width, height


def wrapped(angle_rad: float) -> float:
    """The same angle between -pi and pi."""
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi


def _filled(outline_xy: np.ndarray, side: int = 100) -> np.ndarray:
    """Points (N, 2) of the inside of an outline, on a grid of about ``side`` points across."""
    low = outline_xy.min(0)
    step = max(float(np.ptp(outline_xy, axis=0).max()), 1e-6) / side
    mask = np.zeros((side + 2, side + 2), np.uint8)
    cv2.fillPoly(mask, [np.round((outline_xy - low) / step).astype(np.int32)], 1)
    return np.asarray(np.argwhere(mask)[:, ::-1] * step + low)


def frame_of(sample: OutlinedPhoto, side_px: int = FRAME_SIDE_PX) -> OutlinedPhoto:
    """A copy with a long side of at most ``side_px``."""
    return _resized(sample, min(1.0, side_px / max(sample.rgb.shape[:2])))


def close_of(sample: OutlinedPhoto) -> OutlinedPhoto:
    """The surroundings of the head at the resolution of the second look; without a head, the photo."""
    if not len(sample.head_xy_px):
        return frame_of(sample)
    low, high = sample.head_xy_px.min(0), sample.head_xy_px.max(0)
    side = float((high - low).max())
    half, middle = side * CLOSE_WINDOW / 2, (low + high) / 2
    left, top = np.maximum(np.floor(middle - half), 0).astype(int)
    right, bottom = np.minimum(np.ceil(middle + half), sample.size_wh_px).astype(int)
    body = sample.body_xywh_px
    cut = replace(
        sample,
        rgb=sample.rgb[top:bottom, left:right],
        head_xy_px=sample.head_xy_px - (left, top),
        body_xywh_px=None if body is None else (body[0] - left, body[1] - top, body[2], body[3]),
        animal=None if sample.animal is None else sample.animal[top:bottom, left:right],
    )
    return _resized(cut, min(1.0, CLOSE_HEAD_PX / side))


def _resized(sample: OutlinedPhoto, scale: float) -> OutlinedPhoto:
    height, width = sample.rgb.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    factor = np.array([size[0] / width, size[1] / height])
    body, animal = sample.body_xywh_px, sample.animal
    return replace(
        sample,
        rgb=np.ascontiguousarray(cv2.resize(sample.rgb, size, interpolation=cv2.INTER_AREA)),
        head_xy_px=sample.head_xy_px * factor,
        body_xywh_px=None if body is None else _box(np.array(body) * np.tile(factor, 2)),
        animal=None if animal is None else cv2.resize(animal, size, interpolation=cv2.INTER_AREA),
    )


def digest_of_folders(folders: Iterable[Path]) -> str:
    """SHA-256 over the outlines and the bytes of the outlined photos, in the order of their names."""
    digest = hashlib.sha256()
    for folder in sorted(folders, key=lambda f: f.name):
        text = (folder / "annotations.coco.json").read_bytes()
        names = sorted(image["file_name"] for image in json.loads(text)["images"])
        for part in (text, *((folder / name).read_bytes() for name in names)):
            digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
