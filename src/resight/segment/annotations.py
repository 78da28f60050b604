"""Outlines that came with the photos."""

from __future__ import annotations

from resight.segment.base import Photo, Region
from resight.segment.geometry import clip_region
from resight.segment.params import AnnotationsParams
from resight.status import CropStatus


class AnnotationSegmenter:
    """Gives back the outlines of the wanted part, cut to the frame, in the order of the file.

    The pictures are not turned: outlines do not say which way is up.
    """

    nothing_found = CropStatus.NO_ANNOTATION

    def __init__(self, params: AnnotationsParams) -> None:
        self.part = params.part

    def find(self, photo: Photo) -> list[Region]:
        height, width = photo.rgb.shape[:2]
        regions = [
            Region(one.part, one.bbox_xywh_px, one.polygons_xy_px, viewpoint=one.viewpoint, segmenter="annotations")
            for one in photo.annotations
            if one.part == self.part
        ]
        return [clipped for one in regions if (clipped := clip_region(one, (width, height))) is not None]
