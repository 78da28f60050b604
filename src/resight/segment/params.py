"""What the settings of every segmenter share (one kind is one file in ``kinds``), and those of the cropper."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from resight.plugins.params import Params, expert_field
from resight.segment.base import Segmenter
from resight.weights.store import WeightStore


class SegmenterBase(Params):
    """Settings of a segmenter. A kind adds a field ``kind`` with its name, e.g. ``kind: Literal["whole"] = "whole"``.

    Attributes:
        reads: What it looks at besides the pixels, of ``annotations`` and ``viewpoint``: when that changes, the photo is
            segmented again. By default it looks at both.
    """

    reads: ClassVar[tuple[str, ...]] = ("annotations", "viewpoint")

    def ways(self, width_px: int, height_px: int) -> tuple[str, ...]:
        """What else decides what is found in photos of that size, such as a way of looking that others are not looked at in.

        Where that changes, these photos are segmented again, and what is known about all others stays.
        """
        return ()

    @abstractmethod
    def build(self, weights: WeightStore) -> Segmenter:
        """Load the network, if there is one.

        Raises:
            WeightsError: Weights are missing or wrong.
        """


class CropParams(Params):
    """How a region becomes a crop: turned upright, padded, resized, masked."""

    label: ClassVar[str] = "crop"

    pad_fraction: float = expert_field(
        0.10, ge=0, le=1, description="margin around the head or body, as a share of its longer side"
    )
    head_side_px: int = expert_field(640, ge=64, le=4096, description="long side of the crop of a head or body")
    whole_side_px: int = expert_field(1024, ge=64, le=4096, description="long side of the crop of a whole photo")
    max_enlarge: float = expert_field(2.0, ge=1, le=8, description="small heads are enlarged at most by this factor")
    mask_grow_fraction: float = expert_field(
        0.03,
        ge=0,
        le=0.5,
        description="how far the outline is moved outwards, as a share of the crop's long side",
    )
    min_region_px: int = expert_field(
        16, ge=4, description="heads and bodies with a shorter long side are too small to tell an animal"
    )
