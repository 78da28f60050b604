"""A survey as a field team would submit it: a folder of photos with metadata and outlines, and the truth beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from resight.demo.plan import NAMES, PhotoTruth, plan_survey
from resight.demo.render import HeadRender, render_head
from resight.store.parts import write_bytes

# By EXIF orientation, the counter-clockwise quarter turns from the upright photo to the stored one.
_EXIF_TURNS = {1: 0, 6: 1, 3: 2, 8: 3}


@dataclass(frozen=True)
class SurveyTruth:
    """A rendered survey: its folder, and its photos in order of time."""

    folder: Path
    photos: tuple[PhotoTruth, ...]

    @property
    def queries(self) -> tuple[PhotoTruth, ...]:
        """The photos without a label."""
        return tuple(photo for photo in self.photos if photo.is_query)


def render_survey(
    folder: Path,
    *,
    seed: int = 0,
    n_individuals: int = 8,
    n_new: int = 2,
    gallery_encounters: int = 2,
    query_encounters: int = 1,
    photos_per_encounter: int = 2,
    size_px: tuple[int, int] = (1200, 900),
    progress: Callable[[int, int], None] | None = None,
) -> SurveyTruth:
    """Write a survey to ``folder``: photos, ``metadata.csv``, ``annotations.coco.json`` and ``truth.csv``.

    Args:
        folder: Created if it is not there; files of the same name are replaced.
        seed: The same seed and sizes give the same animals, poses and water.
        n_individuals: Animals in the gallery, labelled.
        n_new: Animals that only the queries show.
        gallery_encounters: Encounters of each gallery animal, on days of 2025.
        query_encounters: Encounters of every animal in June 2026, without a label.
        photos_per_encounter: Left and right in turn; from the fourth on every fourth is from above or in front.
        size_px: Width and height of the upright photos.
        progress: Called with (photos done, photos in all).

    Returns:
        What the photos show, including new animals; ``truth.csv`` has the same for the queries.

    Raises:
        ValueError: A number is negative, or there are more animals than names.
    """
    if min(n_individuals, n_new, gallery_encounters, query_encounters, photos_per_encounter, min(size_px) - 64) < 0:
        raise ValueError(
            "a survey cannot have negative numbers of animals, encounters or photos, or photos below 64 px"
        )
    if n_individuals + n_new > len(NAMES):
        raise ValueError(f"there are names for {len(NAMES)} animals, not for {n_individuals + n_new}")
    photos = plan_survey(
        seed, n_individuals, n_new, gallery_encounters, query_encounters, photos_per_encounter, size_px
    )
    _write_survey(folder, photos, progress)
    return SurveyTruth(folder, photos)


def _write_survey(folder: Path, photos: Sequence[PhotoTruth], progress: Callable[[int, int], None] | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    coco = _Coco()
    for number, photo in enumerate(photos, 1):
        render = render_head(photo.individual_seed, photo.view, photo.look)
        write_bytes(folder / photo.file, _jpeg(photo, render.rgb))
        coco.add(photo, render)
        if progress:
            progress(number, len(photos))
    write_bytes(folder / "annotations.coco.json", json.dumps(coco.content, indent=1).encode())
    _write_csv(folder / "metadata.csv", [_metadata(photo) for photo in photos])
    _write_csv(folder / "truth.csv", [_truth(photo) for photo in photos if photo.is_query])


def _jpeg(photo: PhotoTruth, rgb: np.ndarray) -> bytes:
    """The file's content: the picture as the camera held it, with its orientation in EXIF."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Resight", "Renderer"
    exif[0x0112] = photo.exif_orientation
    stamp = photo.taken_at.strftime("%Y:%m:%d %H:%M:%S")
    exif[0x0132] = stamp
    exif.get_ifd(0x8769)[0x9003] = stamp
    _, latitude, longitude = photo.place
    exif.get_ifd(0x8825).update({1: "N", 2: _degrees(latitude), 3: "E", 4: _degrees(longitude)})
    stored = np.rot90(rgb, _EXIF_TURNS[photo.exif_orientation])
    quality = 76 + photo.look.photo_seed % 16
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def _degrees(angle: float) -> tuple[float, float, float]:
    """Degrees, minutes, seconds as EXIF wants them."""
    minutes = (angle - int(angle)) * 60
    return float(int(angle)), float(int(minutes)), round((minutes - int(minutes)) * 60, 2)


class _Coco:
    """Outlines of heads and boxes of bodies in the COCO layout, in pixels of the upright photos."""

    def __init__(self) -> None:
        categories = [{"id": 1, "name": "head"}, {"id": 2, "name": "body"}]
        self.content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": categories}

    def add(self, photo: PhotoTruth, render: HeadRender) -> None:
        height, width = render.mask.shape
        image_id = len(self.content["images"]) + 1
        image = {"id": image_id, "file_name": photo.file, "width": width, "height": height}
        self.content["images"].append(image | {"viewpoint": photo.viewpoint.value})
        for category, mask in ((1, render.mask), (2, render.body_mask)):
            outline = _outline(mask)
            if outline is not None:
                self._annotate(image_id, category, mask, [outline] if category == 1 else [])

    def _annotate(self, image_id: int, category: int, mask: np.ndarray, outlines: list[np.ndarray]) -> None:
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        self.content["annotations"].append(
            {
                "id": len(self.content["annotations"]) + 1,
                "image_id": image_id,
                "category_id": category,
                "bbox": [float(x), float(y), float(width), float(height)],
                "area": float(mask.sum()),
                "iscrowd": 0,
                "segmentation": [outline.ravel().astype(float).tolist() for outline in outlines],
            }
        )


def _outline(mask: np.ndarray) -> np.ndarray | None:
    """The largest piece of a mask as a polygon (N, 2), about as true as a person draws it; None where there is none."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) < 16:
        return None
    polygon = cv2.approxPolyDP(largest, 0.004 * max(mask.shape), True)[:, 0, :]
    return polygon if len(polygon) >= 3 else None


def _metadata(photo: PhotoTruth) -> dict[str, str]:
    return {
        "file": photo.file,
        "individual_id": "" if photo.is_query else photo.individual_id,
        "taken_at": photo.taken_at.isoformat(sep=" "),
        "encounter_id": photo.encounter_id,
        "viewpoint": photo.viewpoint.value,
    }


def _truth(photo: PhotoTruth) -> dict[str, str]:
    return _metadata(photo) | {"individual_id": photo.individual_id, "is_new": str(photo.is_new).lower()}


def _write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["file"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())
