"""What the settings of every segmenter share (one kind is one file in ``kinds``), and those of the cropper."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from resight.plugins.params import Params

if TYPE_CHECKING:
    from resight.segment.base import Segmenter
    from resight.weights.store import WeightStore


class SegmenterBase(Params):
    """Settings of a segmenter. A kind adds a field ``kind`` with its name, e.g. ``kind: Literal["whole"] = "whole"``.

    Attributes:
        reads: What it looks at besides the pixels, of ``annotations`` and ``viewpoint``: when that changes, the photo is
            segmented again. A class that does not say is taken to look at both.
    """

    reads: ClassVar[tuple[str, ...]] = ("annotations", "viewpoint")

    @abstractmethod
    def build(self, weights: WeightStore) -> Segmenter:
        """Load the network, if there is one.

        Raises:
            WeightsError: Weights are missing or wrong.
        """


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
