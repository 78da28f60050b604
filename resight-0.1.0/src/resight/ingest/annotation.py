"""An outline that comes with a photo, as `segment` gets it."""

from __future__ import annotations

from dataclasses import dataclass

from resight.status import Viewpoint


@dataclass(frozen=True)
class Annotation:
    """An outline that came with a photo, measured from the outer corner of the frame as in COCO (see `resight.segment.base`).

    Attributes:
        part: ``head`` or ``body``.
        bbox_xywh_px: Left, top, width, height in pixels of the upright photo.
        polygons_xy_px: Closed polygons, each (N, 2); empty where only a box was given.
        viewpoint: Side of the head that is seen, as the annotator says.
    """

    part: str
    bbox_xywh_px: tuple[float, float, float, float]
    polygons_xy_px: tuple[tuple[tuple[float, float], ...], ...] = ()
    viewpoint: Viewpoint = Viewpoint.UNKNOWN
