"""An extractor, a segmenter and a matcher."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from resight.extract.base import Extractor
from resight.extract.params import ExtractorBase
from resight.match.base import Matcher
from resight.match.params import MatcherBase, VerifyParams
from resight.segment.base import Photo, Region, Segmenter
from resight.segment.params import SegmenterBase
from resight.status import CropStatus
from resight.weights.store import WeightStore


class BitsParams(ExtractorBase):
    """Binary descriptors of a family that nobody else knows."""

    family: ClassVar[str] = "example-bits"
    binary: ClassVar[bool] = True
    kind: Literal["example-bits"] = "example-bits"

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        from resight.extract.kinds.orb import OrbExtractor

        return OrbExtractor(self)


class MiddleParams(SegmenterBase):
    """The middle of the photo."""

    reads: ClassVar[tuple[str, ...]] = ()
    kind: Literal["example-middle"] = "example-middle"
    middle_share: float = Field(0.9, gt=0, le=1, description="of either side")

    def build(self, weights: WeightStore) -> Segmenter:
        return Middle(self.middle_share)


class Middle:
    """The middle of the photo as one head."""

    nothing_found = CropStatus.NO_HEAD

    def __init__(self, share: float) -> None:
        self.share = share

    def find(self, photo: Photo) -> list[Region]:
        height, width = photo.rgb.shape[:2]
        w, h = self.share * width, self.share * height
        return [Region("head", ((width - w) / 2, (height - h) / 2, w, h), segmenter="example-middle")]


class StrictParams(MatcherBase):
    """Nearest neighbours with a stricter ratio."""

    kind: Literal["example-strict"] = "example-strict"
    strict_ratio: float = Field(0.85, gt=0, le=1, description="largest distance ratio")

    def accepts(self, family: str) -> bool:
        return True

    def build(self, weights: WeightStore, family: str, device: str) -> Matcher:
        from resight.match.kinds.nearest import NearestParams

        return NearestParams(ratio=self.strict_ratio, verify=VerifyParams()).build(weights, family, device)
