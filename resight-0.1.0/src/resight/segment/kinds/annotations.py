"""Outlines that came with the photos."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from resight.segment.base import Photo, Region, Segmenter
from resight.segment.geometry import clip_region
from resight.segment.params import SegmenterBase
from resight.status import CropStatus
from resight.weights.store import WeightStore


class AnnotationsParams(SegmenterBase):
    """Polygons or boxes that came with the photos (COCO); a photo without any has the status ``no_annotation``."""

    reads: ClassVar[tuple[str, ...]] = ("annotations",)

    kind: Literal["annotations"] = "annotations"
    part: Literal["head", "body"] = Field("head", description="which outline to cut out; the other one is ignored")

    def build(self, weights: WeightStore) -> Segmenter:
        return AnnotationSegmenter(self)


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
            Region(
                outline.part,
                outline.bbox_xywh_px,
                outline.polygons_xy_px,
                viewpoint=outline.viewpoint,
                segmenter="annotations",
            )
            for outline in photo.annotations
            if outline.part == self.part
        ]
        return [clipped for region in regions if (clipped := clip_region(region, (width, height))) is not None]
