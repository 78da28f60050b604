"""The whole photo as one region."""

from __future__ import annotations

from resight.segment.base import Photo, Region
from resight.segment.params import WholeParams
from resight.status import CropStatus


class WholeSegmenter:
    """Finds every photo to be one region."""

    nothing_found = CropStatus.NO_HEAD

    def __init__(self, params: WholeParams) -> None:
        pass

    def find(self, photo: Photo) -> list[Region]:
        height, width = photo.rgb.shape[:2]
        return [Region("whole", (0.0, 0.0, float(width), float(height)), segmenter="whole")]
