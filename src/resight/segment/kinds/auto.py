"""Outlines where a photo has them, otherwise something else."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from resight.segment.base import Photo, Region, Segmenter
from resight.segment.kinds.annotations import AnnotationSegmenter, AnnotationsParams
from resight.segment.kinds.grabcut import GrabCutSegmenter
from resight.segment.kinds.head_finder import HeadFinderParams
from resight.segment.kinds.whole import WholeSegmenter
from resight.segment.params import SegmenterBase
from resight.status import CropStatus
from resight.weights.store import WeightStore


class AutoParams(SegmenterBase):
    """Outlines where photos have them, and for the others what ``otherwise`` says; table `crops` says which."""

    reads: ClassVar[tuple[str, ...]] = ("annotations",)

    kind: Literal["auto"] = "auto"
    part: Literal["head", "body"] = Field("head", description="which outline to cut out where a photo has outlines")
    otherwise: Literal["head-finder", "whole", "grabcut", "skip"] = Field(
        "head-finder", description="how photos without an outline are cut; skip: they get the status no_annotation"
    )
    min_confidence: float = Field(
        0.15, ge=0, le=1, description="what the head finder finds less likely a head than this is not used"
    )
    quick: bool = Field(False, description="whether the head finder looks at smaller copies of the photo, in less time")
    if_no_head: Literal["nothing", "body", "whole"] = Field(
        "nothing",
        description="what to use of a photo in which the head finder sees no head; nothing: it gets the status no_head",
    )

    def weight_names(self) -> list[str]:
        return self.head_finder().weight_names() if self.otherwise == "head-finder" else []

    def ways(self, width_px: int, height_px: int) -> tuple[str, ...]:
        return self.head_finder().ways(width_px, height_px) if self.otherwise == "head-finder" else ()

    def head_finder(self) -> HeadFinderParams:
        """Settings of the network for photos without an outline."""
        return HeadFinderParams.model_validate(
            {
                "part": self.part,
                "min_confidence": self.min_confidence,
                "if_no_head": self.if_no_head,
                "quick": self.quick,
            }
        )

    def build(self, weights: WeightStore) -> Segmenter:
        return AutoSegmenter(self, weights)


def is_left_open(segmenter: SegmenterBase) -> bool:
    """Whether nobody has chosen how heads are found, the quick way or not."""
    return segmenter in (AutoParams(), AutoParams(quick=True))


class AutoSegmenter:
    """Looks for outlines first; ``segmenter`` of each region names what found it."""

    def __init__(self, params: AutoParams, weights: WeightStore) -> None:
        self.outlines = AnnotationSegmenter(AnnotationsParams(part=params.part))
        self.otherwise: Segmenter | None = None
        if params.otherwise == "whole":
            self.otherwise = WholeSegmenter()
        elif params.otherwise == "grabcut":
            self.otherwise = GrabCutSegmenter()
        elif params.otherwise == "head-finder":
            self.otherwise = params.head_finder().build(weights)
        self.nothing_found = CropStatus.NO_HEAD if self.otherwise else CropStatus.NO_ANNOTATION

    def find(self, photo: Photo) -> list[Region]:
        outlines = self.outlines.find(photo)
        return outlines if outlines or self.otherwise is None else self.otherwise.find(photo)
