"""Settings of the segmenters and of the cropper. One class per kind; torch and OpenCV are imported in ``build``.

``reads`` names what a segmenter looks at besides the pixels: when that changes, the photo is segmented again. A class
that does not say is taken to look at both ``annotations`` and ``viewpoint``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from resight.params import Params

if TYPE_CHECKING:
    from resight.segment.base import Segmenter
    from resight.weights.store import WeightStore


class AnnotationsParams(Params):
    """Polygons or boxes that came with the photos (COCO); a photo without any has the status ``no_annotation``."""

    reads: ClassVar[tuple[str, ...]] = ("annotations",)

    kind: Literal["annotations"] = "annotations"
    part: Literal["head", "body"] = Field("head", description="which outline to use; the other one is ignored")

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.annotations import AnnotationSegmenter

        return AnnotationSegmenter(self)


class GrabCutParams(Params):
    """OpenCV GrabCut for the whole animal: needs no weights, finds what differs from the frame's border."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["grabcut"] = "grabcut"
    work_side_px: int = Field(320, ge=64, le=2048, description="long side of the copy that is segmented")
    iterations: int = Field(3, ge=1, le=20, description="GrabCut rounds")
    border_fraction: float = Field(0.06, gt=0, lt=0.4, description="frame border taken for background")
    min_area_fraction: float = Field(0.01, gt=0, lt=1, description="smaller finds count as nothing found")

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.grabcut import GrabCutSegmenter

        return GrabCutSegmenter(self)


class WholeParams(Params):
    """The whole photo as one crop."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["whole"] = "whole"

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.whole import WholeSegmenter

        return WholeSegmenter(self)


class AutoParams(Params):
    """Outlines where a photo has them, otherwise what ``otherwise`` says; each crop row names what found it."""

    reads: ClassVar[tuple[str, ...]] = ("annotations",)

    kind: Literal["auto"] = "auto"
    part: Literal["head", "body"] = Field("head", description="which outline to use where there are outlines")
    otherwise: Literal["whole", "grabcut", "skip"] = Field(
        "whole", description="for photos without an outline; skip gives them the status no_annotation"
    )

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.auto import AutoSegmenter

        return AutoSegmenter(self)


class CropParams(Params):
    """How a region becomes a crop: turned upright, padded, resized, masked."""

    pad_fraction: float = Field(0.10, ge=0, le=1, description="padding around the region, of its longer side")
    head_side_px: int = Field(640, ge=64, le=4096, description="long side of a head or body crop")
    whole_side_px: int = Field(1024, ge=64, le=4096, description="long side of a whole-photo crop")
    max_enlarge: float = Field(2.0, ge=1, le=8, description="small regions are enlarged by no more than this")
    mask_grow_fraction: float = Field(
        0.03,
        ge=0,
        le=0.5,
        description="the mask is grown by this part of the crop's long side",
    )
    min_region_px: int = Field(16, ge=4, description="regions with a shorter long side are too small to tell anything")
