"""What a segmenter takes and gives back.

Pixel convention: x right, y down, photo shown upright. Boxes and outlines are measured from the outer corner of the
frame, as in COCO: the whole photo is (0, 0, width, height). Points (keypoints, clicks) have integers at pixel centres; the
centre of pixel 0 lies at 0.5 of an outline. Only `resight.segment.geometry` and `masks` convert.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from resight.ingest.annotation import Annotation
from resight.status import Viewpoint


@dataclass(frozen=True)
class Photo:
    """A decoded photo on its way through ``segment``.

    Attributes:
        photo_id: Identity from the content.
        rgb: (H, W, 3) uint8, upright. The next photo is decoded into the same memory: a segmenter that keeps pixels must copy them.
        viewpoint: From ``metadata.csv`` or the outlines, else unknown.
        annotations: Outlines that came with it.
    """

    photo_id: str
    rgb: np.ndarray
    viewpoint: Viewpoint = Viewpoint.UNKNOWN
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class Region:
    """A part of an animal found in a photo.

    Attributes:
        part: ``head``, ``body`` or ``whole``.
        bbox_xywh_px: Left, top, width, height (float) in the upright photo.
        polygons_xy_px: Outline as closed polygons; empty means that the box is the outline.
        mask: (H, W) bool in photo pixels where the outline is not a polygon; wins over the polygons.
        viewpoint: Side of the animal that the photo shows.
        confidence: 0 to 1; 1 for outlines drawn by people and for whole photos.
        upright_rotation_rad: Turn (counter-clockwise, as the picture is seen) that brings the animal upright.
        segmenter: The kind that found it (``annotations``, ``grabcut``, ``whole`` or a learned model's name).
    """

    part: str
    bbox_xywh_px: tuple[float, float, float, float]
    polygons_xy_px: tuple[tuple[tuple[float, float], ...], ...] = ()
    mask: np.ndarray | None = field(default=None, compare=False)
    viewpoint: Viewpoint = Viewpoint.UNKNOWN
    confidence: float = 1.0
    upright_rotation_rad: float = 0.0
    segmenter: str = ""


@runtime_checkable
class Segmenter(Protocol):
    """Finds animals in a photo. A learned model is one more class with this one method.

    An attribute ``nothing_found`` (a `CropStatus`) tells what an empty list means; without it, it means ``no_head``.
    """

    def find(self, photo: Photo) -> list[Region]:
        """Return the regions, best first; empty if there is none. Several animals give several regions."""
        ...
