"""The bundled head finder: its settings; the two looks and the network are in ``resight.segment.learned``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from resight.plugins.params import expert_field
from resight.segment.base import Segmenter
from resight.segment.params import SegmenterBase
from resight.weights.store import WeightStore

BUNDLED = Path(__file__).parents[1] / "learned" / "headfinder.safetensors"


class HeadFinderParams(SegmenterBase):
    """The bundled network: heads with outline, view and the turn that brings them upright, by two looks."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["head-finder"] = "head-finder"
    part: Literal["head", "body"] = Field("head", description="what to cut out; of a body, the box around it")
    weights: str = Field("", description="path of other weights for the same network; empty: those of the package")
    min_confidence: float = Field(0.15, ge=0, le=1, description="what is less likely a head than this is not used")
    if_no_head: Literal["nothing", "body", "whole"] = Field(
        "nothing",
        description="what to use of a photo without a head; nothing: the photo gets the status no_head",
    )
    quick: bool = Field(
        False,
        description="whether the network is run with its norms multiplied in and looks at smaller copies of the photo: nearly the "
        "same heads in less time, but other crops, with which fewer photos were right at once",
    )
    min_confidence_further: float = expert_field(
        0.7, ge=0, le=1, description="like min_confidence for second and further heads, which are more often flippers"
    )
    min_view_confidence: float = expert_field(0.6, ge=0, le=1, description="a less certain viewpoint counts as unknown")
    max_heads: int = expert_field(4, ge=1, le=32, description="most heads in one photo")

    def weight_names(self) -> list[str]:
        return [self.weights or str(BUNDLED)]

    def ways(self, width_px: int, height_px: int) -> tuple[str, ...]:
        from resight.segment.learned.copies import WAY, is_large

        return (WAY,) if is_large(width_px, height_px) and not self.quick else ()

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.learned.finder import HeadFinder
        from resight.segment.learned.quick import quickened
        from resight.segment.learned.weights import from_tensors

        name = self.weight_names()[0]
        net = from_tensors(weights.state_dict(name), name)
        return HeadFinder(self, quickened(net) if self.quick else net)
