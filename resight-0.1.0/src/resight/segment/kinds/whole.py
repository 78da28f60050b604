"""The whole photo as one region."""

from __future__ import annotations

from typing import ClassVar, Literal

from resight.segment.base import Photo, Region, Segmenter
from resight.segment.params import SegmenterBase
from resight.status import CropStatus
from resight.weights.store import WeightStore


class WholeParams(SegmenterBase):
    """The whole photo as one crop."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["whole"] = "whole"

    def build(self, weights: WeightStore) -> Segmenter:
        return WholeSegmenter()


class WholeSegmenter:
    """Finds every photo to be one region."""

    nothing_found = CropStatus.NO_HEAD

    def find(self, photo: Photo) -> list[Region]:
        height, width = photo.rgb.shape[:2]
        return [Region("whole", (0.0, 0.0, float(width), float(height)), segmenter="whole")]
