"""Reads COCO files: outlines of heads and bodies, and what SeaTurtleID's flavour says about the photo itself."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resight.ingest.annotation import Annotation
from resight.ingest.decode import SWAPPING
from resight.ingest.labels import Entry, label_from
from resight.ingest.notes import Notes
from resight.ingest.rle import Polygon, rle_polygons
from resight.ingest.values import parse_viewpoint
from resight.status import Viewpoint

HEAD_WORDS, BODY_WORDS = {"head", "face"}, {"body", "turtle", "animal"}
UNUSED_WORDS = {"flipper", "flippers", "carapace", "shell", "tail", "eye", "leg", "plastron"}
VIEW_KEYS = ("viewpoint", "orientation", "position", "side")
KEPT_KEYS = ("head_visibility", "visibility")  # by which accuracy is told apart
ASPECT_TOLERANCE = 0.01
BROKEN = (KeyError, TypeError, ValueError, OverflowError, AttributeError)


@dataclass(frozen=True)
class Outline:
    """An annotation as the file has it; ``part`` is ``head`` or ``body``."""

    part: str
    viewpoint: Viewpoint
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class CocoImage:
    """A photo in a COCO file; ``size_wh_px`` is missing where the file does not say it."""

    entry: Entry
    size_wh_px: tuple[int, int] | None
    outlines: tuple[Outline, ...]


@dataclass(frozen=True)
class Frame:
    """The photo that outlines are drawn on: size as shown upright, and EXIF orientation."""

    width_px: int
    height_px: int
    orientation: int


def read_coco(data: bytes, where: str, notes: Notes) -> list[CocoImage]:
    """Photos and outlines of a COCO file; none, with a note, where it is no such file."""
    try:
        content = json.loads(data.decode("utf-8-sig"))
        images, annotations = list(content["images"]), list(content.get("annotations") or [])
        parts = {
            c["id"]: part for c in content.get("categories") or [] if (part := _part(str(c["name"]), where, notes))
        }
        by_image: dict[Any, list[Outline]] = {image["id"]: [] for image in images}
    except (RecursionError, *BROKEN) as error:
        notes.add(
            f"{where} is no COCO file and was ignored ({{items}}); export it again as COCO.",
            f"{type(error).__name__}: {error}",
        )
        return []
    for raw in annotations:
        outline = _outline(raw, parts, where, notes)
        if outline and raw.get("image_id") in by_image:
            by_image[raw["image_id"]].append(outline)
    return [one for image in images if (one := _image(image, by_image[image["id"]], where, notes))]


def outlines_on(image: CocoImage, frame: Frame, where: str, notes: Notes) -> tuple[Annotation, ...]:
    """Outlines in pixels of the upright photo.

    A file whose width and height are swapped against the upright photo, which EXIF turns, was drawn on the stored
    pixels: its coordinates are turned. One that was drawn on a smaller or larger copy is scaled.
    """
    turn = _turn_needed(image.size_wh_px, frame)
    name, viewpoint = image.entry.names[0], image.entry.label.viewpoint or Viewpoint.UNKNOWN
    if turn is None:
        notes.add(
            f"{where}: {{n}} photos have another shape than the file says, so their outlines are ignored ({{items}}); draw them again.",
            name,
        )
        return ()
    done = []
    for outline in image.outlines:
        try:
            bbox, polygons = _geometry(outline.raw, image.size_wh_px or (frame.width_px, frame.height_px), turn, frame)
        except BROKEN:
            notes.add(
                f"{where}: {{n}} outlines are no polygons, boxes or masks and are ignored ({{items}}); draw them again.",
                name,
            )
            continue
        side = outline.viewpoint if outline.viewpoint != Viewpoint.UNKNOWN or outline.part != "head" else viewpoint
        done.append(Annotation(outline.part, bbox, polygons, side))
    return tuple(done)


def _part(name: str, where: str, notes: Notes) -> str | None:
    words = set(re.findall(r"[a-z]+", name.casefold()))
    if words & HEAD_WORDS:
        return "head"
    if words & UNUSED_WORDS:
        return None
    if words & BODY_WORDS:
        return "body"
    notes.add(
        f"{where}: the categories {{items}} are neither head nor body and are not used; rename them if they are.",
        f"'{name}'",
    )
    return None


def _outline(raw: Any, parts: Mapping[Any, str], where: str, notes: Notes) -> Outline | None:
    if not isinstance(raw, dict):
        notes.add(f"{where}: {{n}} annotations are not readable and are ignored; export the file again.")
        return None
    part = parts.get(raw.get("category_id"))
    attributes = raw.get("attributes")
    fields = {**(attributes if isinstance(attributes, dict) else {}), **raw}
    return Outline(part, _view(fields), raw) if part else None


def _view(fields: Mapping[str, Any]) -> Viewpoint:
    """First viewpoint that makes sense among the keys that programs use."""
    for key in VIEW_KEYS:
        try:
            viewpoint = parse_viewpoint(str(fields.get(key) or ""))
        except ValueError:
            continue
        if viewpoint != Viewpoint.UNKNOWN:
            return viewpoint
    return Viewpoint.UNKNOWN


def _image(image: Mapping[str, Any], outlines: Sequence[Outline], where: str, notes: Notes) -> CocoImage | None:
    names = tuple(str(image[key]) for key in ("path", "file_name") if image.get(key))
    if not names:
        notes.add(f"{where}: {{n}} images have no file_name and are ignored; export the file again.")
        return None
    heads = {o.viewpoint for o in outlines if o.part == "head"} - {Viewpoint.UNKNOWN}
    own = _view(image)
    side = own if own != Viewpoint.UNKNOWN else heads.pop() if len(heads) == 1 else Viewpoint.UNKNOWN
    cells = {
        "individual_id": str(image.get("identity") or image.get("individual_id") or ""),
        "taken_at": str(image.get("date") or image.get("taken_at") or ""),
        "viewpoint": str(side),
    }
    extra = {key: str(image[key]) for key in KEPT_KEYS if image.get(key)}
    return CocoImage(Entry(names, label_from(cells, extra, names, where, notes)), _size(image), tuple(outlines))


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if isinstance(width, int | float) and isinstance(height, int | float) and width >= 1 and height >= 1:
        return int(width), int(height)
    return None


def _turn_needed(size_wh_px: tuple[int, int] | None, frame: Frame) -> int | None:
    """EXIF orientation by which coordinates have to be turned, 1 for none; `None` where the shapes do not fit."""
    if size_wh_px is None or _same_shape(size_wh_px, (frame.width_px, frame.height_px)):
        return 1
    if frame.orientation in SWAPPING and _same_shape(size_wh_px, (frame.height_px, frame.width_px)):
        return frame.orientation
    return None


def _same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    x, y = a[0] / b[0], a[1] / b[1]
    return abs(x - y) <= ASPECT_TOLERANCE * max(x, y)


Box = tuple[float, float, float, float]


def _geometry(
    raw: Mapping[str, Any], size_wh_px: tuple[int, int], turn: int, frame: Frame
) -> tuple[Box, tuple[Polygon, ...]]:
    """Box and polygons in the upright photo. A missing or empty box is drawn around the polygons."""
    polygons = _polygons(raw.get("segmentation"), size_wh_px)
    box = raw.get("bbox")
    corners = _corners(box) if box and box[2] > 0 and box[3] > 0 else tuple(p for polygon in polygons for p in polygon)
    moved = [_moved(p, size_wh_px, turn, frame) for p in corners]
    xs, ys = [p[0] for p in moved], [p[1] for p in moved]
    bbox = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    if not all(map(math.isfinite, bbox)) or bbox[2] <= 0 or bbox[3] <= 0:
        raise ValueError("the outline has no area")
    return bbox, tuple(tuple(_moved(p, size_wh_px, turn, frame) for p in polygon) for polygon in polygons)


def _polygons(segmentation: Any, size_wh_px: tuple[int, int]) -> tuple[Polygon, ...]:
    if isinstance(segmentation, dict):
        return rle_polygons(segmentation, 4.0 * size_wh_px[0] * size_wh_px[1])
    polygons = []
    for flat in segmentation or []:
        numbers = [float(v) for v in flat]
        if len(numbers) < 6 or len(numbers) % 2 or not all(map(math.isfinite, numbers)):
            raise ValueError("a polygon needs at least three points")
        polygons.append(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
    return tuple(polygons)


def _corners(box: Sequence[float]) -> Polygon:
    x, y, width, height = (float(v) for v in box)
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def _moved(point: tuple[float, float], size_wh_px: tuple[int, int], turn: int, frame: Frame) -> tuple[float, float]:
    """Turn a point as EXIF turns the picture (5 transpose, 6 clockwise, 7 transverse, 8 counter-clockwise), then scale it."""
    (x, y), (width, height) = point, size_wh_px
    x, y = {1: (x, y), 5: (y, x), 6: (height - y, x), 7: (height - y, width - x), 8: (y, width - x)}[turn]
    if turn in SWAPPING:
        width, height = height, width
    return x * frame.width_px / width, y * frame.height_px / height
