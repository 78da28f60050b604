"""The bundled head finder: its settings; the two looks and the network are in ``resight.segment.learned``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from resight.segment.base import Segmenter
from resight.segment.params import SegmenterBase

if TYPE_CHECKING:
    from resight.weights.store import WeightStore

BUNDLED = Path(__file__).parents[1] / "learned" / "headfinder.safetensors"


class HeadFinderParams(SegmenterBase):
    """The bundled network: heads with outline, view and the turn that brings them upright, by two looks."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["head-finder"] = "head-finder"
    part: Literal["head", "body"] = Field("head", description="what to cut out; a body is a box")
    weights: str = Field("", description="path of other weights of the same network; empty takes the bundled ones")
    min_confidence: float = Field(0.15, ge=0, le=1, description="heads below this are not taken for heads")
    min_confidence_further: float = Field(
        0.7, ge=0, le=1, description="the same for further heads in a photo, which more often are flippers"
    )
    min_view_confidence: float = Field(0.6, ge=0, le=1, description="views below this count as unknown")
    max_heads: int = Field(4, ge=1, le=32, description="most heads in one photo")
    wide_sides_px: tuple[int, ...] = Field((96, 192, 384), description="long sides of the copies for the first look")
    look_again_deg: float = Field(60, ge=0, le=180, description="heads turned by more are looked at again upright")
    turn_from_deg: float = Field(60, ge=0, le=180, description="heads turned by less stay as they lie in the photo")
    if_no_head: Literal["nothing", "body", "whole"] = Field(
        "nothing",
        description="what goes on where no head is found; nothing gives the photo the status no_head",
    )

    def weight_names(self) -> list[str]:
        return [self.weights or str(BUNDLED)]

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.learned.finder import HeadFinder
        from resight.segment.learned.weights import network

        return HeadFinder(self, network(weights, self.weight_names()[0]))
