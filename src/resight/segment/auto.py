"""Outlines where a photo has them, otherwise something else."""

from __future__ import annotations

from resight.segment.annotations import AnnotationSegmenter
from resight.segment.base import Photo, Region, Segmenter
from resight.segment.grabcut import GrabCutSegmenter
from resight.segment.params import AnnotationsParams, AutoParams, GrabCutParams, WholeParams
from resight.segment.whole import WholeSegmenter
from resight.status import CropStatus
from resight.weights.store import WeightStore


class AutoSegmenter:
    """Asks the outlines first; ``segmenter`` of each region names what found it."""

    def __init__(self, params: AutoParams, weights: WeightStore | None = None) -> None:
        self.outlines = AnnotationSegmenter(AnnotationsParams(part=params.part))
        self.otherwise: Segmenter | None = None
        if params.otherwise == "whole":
            self.otherwise = WholeSegmenter(WholeParams())
        elif params.otherwise == "grabcut":
            self.otherwise = GrabCutSegmenter(GrabCutParams.model_validate({}))
        elif params.otherwise == "head-finder":
            self.otherwise = params.head_finder().build(weights or WeightStore())
        self.nothing_found = CropStatus.NO_HEAD if self.otherwise else CropStatus.NO_ANNOTATION

    def find(self, photo: Photo) -> list[Region]:
        found = self.outlines.find(photo)
        return found if found or self.otherwise is None else self.otherwise.find(photo)
