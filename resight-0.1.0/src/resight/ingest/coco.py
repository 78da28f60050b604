"""Reads COCO files: outlines of heads and bodies, and what SeaTurtleID's flavour says about the photo itself."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
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
FARTHEST_PX = 1e7  # no photo is that wide; larger numbers are damage, and their products overflow
BROKEN = (LookupError, TypeError, ValueError, OverflowError, AttributeError)


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
        parts = _parts(list(content.get("categories") or []), where, notes)
        numbered = _numbered(images, where, notes)
    except (RecursionError, *BROKEN) as error:
        notes.add(
            f"{where} is no COCO file and was ignored ({{items}}); export it again as COCO.",
            f"{type(error).__name__}: {error}",
        )
        return []
    outlines: dict[int | str, list[Outline]] = {identity: [] for identity, _ in numbered}
    for raw in annotations:
        outline = _outline(raw, parts, where, notes)
        if outline and (identity := _id(raw.get("image_id"))) in outlines:
            outlines[identity].append(outline)
    for identity, n in Counter(identity for identity, _ in numbered).items():
        if n > 1:  # nobody can tell whose they are
            outlines[identity] = []
            notes.add(
                f"{where}: the image ids {{items}} stand for several photos, so their outlines are ignored; "
                "export the file again.",
                str(identity),
            )
    rows = (_image(image, outlines[identity], where, notes) for identity, image in numbered)
    return [row for row in rows if row]


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
    annotations = []
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
        annotations.append(Annotation(outline.part, bbox, polygons, side))
    return tuple(annotations)


def _parts(categories: list[Any], where: str, notes: Notes) -> dict[int | str, str | None]:
    """The part that each category shows; none where two categories of one number contradict each other."""
    parts: dict[int | str, str | None] = {}
    for category in categories:
        identity = _id(category["id"])
        if identity is None:
            raise TypeError(f"{category['id']!r} is no number of a category")
        part = _part(_text(category["name"]), where, notes)
        if parts.setdefault(identity, part) != part:
            parts[identity] = None
            notes.add(
                f"{where}: the categories {{items}} stand for head and for something else, so their outlines are "
                "ignored; export the file again.",
                str(identity),
            )
    return parts


def _numbered(images: list[Any], where: str, notes: Notes) -> list[tuple[int | str, dict[str, Any]]]:
    """Images with their numbers, each image once.

    Raises:
        TypeError: Not one image has a number.
    """
    numbered = [(identity, i) for i in images if isinstance(i, dict) and (identity := _id(i.get("id"))) is not None]
    if images and not numbered:
        raise TypeError("no image has a readable id")
    for _ in range(len(images) - len(numbered)):
        notes.add(f"{where}: {{n}} images have no readable id and are ignored; export the file again.")
    kept: dict[int | str, list[dict[str, Any]]] = {}
    for identity, image in numbered:
        if image not in kept.setdefault(identity, []):
            kept[identity].append(image)
    return [(identity, image) for identity, same in kept.items() for image in same]


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


def _outline(raw: Any, parts: Mapping[int | str, str | None], where: str, notes: Notes) -> Outline | None:
    category = _id(raw.get("category_id")) if isinstance(raw, dict) else None
    if category is None or _id(raw.get("image_id")) is None:
        notes.add(f"{where}: {{n}} annotations are not readable and are ignored; export the file again.")
        return None
    part = parts.get(category)
    attributes = raw.get("attributes")
    fields = {**(attributes if isinstance(attributes, dict) else {}), **raw}
    return Outline(part, _view(fields), raw) if part else None


def _id(value: Any) -> int | str | None:
    """A number or text by which entries refer to each other; `None` for anything else, such as true or a list."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _text(value: Any) -> str:
    """Text that a table can hold, also of a number; '' for anything else. Half surrogates become question marks."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not value or _infinite(value):
        return ""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _infinite(value: str | float) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _number(value: Any) -> float:
    """A coordinate in pixels.

    Raises:
        ValueError: It is no number, or larger than any photo.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FARTHEST_PX:
        raise ValueError(f"{value!r} is no coordinate")
    return float(value)


def _view(fields: Mapping[str, Any]) -> Viewpoint:
    """First viewpoint that makes sense among the keys that programs use."""
    for key in VIEW_KEYS:
        try:
            viewpoint = parse_viewpoint(_text(fields.get(key)))
        except ValueError:
            continue
        if viewpoint != Viewpoint.UNKNOWN:
            return viewpoint
    return Viewpoint.UNKNOWN


def _image(image: Mapping[str, Any], outlines: Sequence[Outline], where: str, notes: Notes) -> CocoImage | None:
    names = tuple(text for key in ("path", "file_name") if (text := _text(image.get(key))))
    if not names:
        notes.add(f"{where}: {{n}} images have no file_name and are ignored; export the file again.")
        return None
    heads = {o.viewpoint for o in outlines if o.part == "head"} - {Viewpoint.UNKNOWN}
    own = _view(image)
    side = own if own != Viewpoint.UNKNOWN else heads.pop() if len(heads) == 1 else Viewpoint.UNKNOWN
    for key in ("identity", "individual_id", "date", "taken_at"):
        if image.get(key) and not _text(image[key]):
            notes.add(f"{where}: {{n}} values are no text and are ignored ({{items}}); export the file again.", f"{key} of {names[0]}")  # fmt: skip
    cells = {
        "individual_id": _text(image.get("identity")) or _text(image.get("individual_id")),
        "taken_at": _text(image.get("date")) or _text(image.get("taken_at")),
        "viewpoint": str(side),
    }
    extra = {key: _text(image.get(key)) for key in KEPT_KEYS}
    label = label_from(cells, extra, names, where, notes)
    try:
        return CocoImage(Entry(names, label), _size(image), tuple(outlines))
    except ValueError:
        notes.add(
            f"{where}: {{n}} photos have a width or height that is no number, so their outlines are ignored ({{items}}); "
            "export the file again.",
            names[0],
        )
        return CocoImage(Entry(names, label), None, ())


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height; `None` where one of them is missing or 0.

    Raises:
        ValueError: One of them is no number of pixels.
    """
    width, height = (int(_number(image.get(side) or 0)) for side in ("width", "height"))
    if min(width, height) < 0:
        raise ValueError("a photo has no negative size")
    return (width, height) if width and height else None


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
    box = [_number(v) for v in raw.get("bbox") or []]
    corners = _corners(box) if box and box[2] > 0 and box[3] > 0 else tuple(p for polygon in polygons for p in polygon)
    moved = [_moved(p, size_wh_px, turn, frame) for p in corners]
    xs, ys = [p[0] for p in moved], [p[1] for p in moved]
    bbox = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    if bbox[2] <= 0 or bbox[3] <= 0:
        raise ValueError("the outline has no area")
    return bbox, tuple(tuple(_moved(p, size_wh_px, turn, frame) for p in polygon) for polygon in polygons)


def _polygons(segmentation: Any, size_wh_px: tuple[int, int]) -> tuple[Polygon, ...]:
    if isinstance(segmentation, dict):
        return rle_polygons(segmentation, 4.0 * size_wh_px[0] * size_wh_px[1])
    polygons = []
    for flat in segmentation or []:
        numbers = [_number(v) for v in flat]
        if len(numbers) < 6 or len(numbers) % 2:
            raise ValueError("a polygon needs at least three points")
        polygons.append(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
    return tuple(polygons)


def _corners(box: Sequence[float]) -> Polygon:
    x, y, width, height = box
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def _moved(point: tuple[float, float], size_wh_px: tuple[int, int], turn: int, frame: Frame) -> tuple[float, float]:
    """Turn a point as EXIF turns the picture (5 transpose, 6 clockwise, 7 transverse, 8 counter-clockwise), then scale it."""
    (x, y), (width, height) = point, size_wh_px
    x, y = {1: (x, y), 5: (y, x), 6: (height - y, x), 7: (height - y, width - x), 8: (y, width - x)}[turn]
    if turn in SWAPPING:
        width, height = height, width
    return x * frame.width_px / width, y * frame.height_px / height
