"""What the settings of every matcher share (one kind is one file in ``kinds``), and those of geometric verification."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from resight.plugins.params import Params

if TYPE_CHECKING:
    from resight.match.base import Matcher
    from resight.weights.store import WeightStore


class MatcherBase(Params):
    """Settings of a matcher. A kind adds a field ``kind`` with its name, e.g. ``kind: Literal["nearest"] = "nearest"``."""

    @abstractmethod
    def accepts(self, family: str) -> bool:
        """Whether it reads descriptors of this family (see `ExtractorBase.family`).

        Raises:
            SettingsError: The settings do not say.
        """

    def weight_names_for(self, family: str) -> list[str]:
        """Weights that it loads for descriptors of this family."""
        return self.weight_names()

    @abstractmethod
    def build(self, weights: WeightStore, family: str, device: str) -> Matcher:
        """Load it onto ``cpu``, ``cuda`` or ``mps``.

        Raises:
            WeightsError: Weights are missing or wrong.
            DeviceError: This machine has no such device.
        """


class VerifyParams(Params):
    """Geometric verification of matches: MAGSAC++ (Barath et al. 2020; OpenCV), or for an affine map a fit that takes neither side."""

    model: Literal["none", "homography", "affine", "fundamental"] = Field(
        "homography", description="geometry that inliers agree with"
    )
    min_confidence: float = Field(
        0.0, ge=0, lt=1, description="only matches with at least this confidence are looked at"
    )
    threshold_px: float = Field(
        12.0, gt=0, description="largest distance of an inlier; heads are curved and bend, so generous"
    )
    iterations: int = Field(2000, ge=10, description="at most so many samples")
    confidence: float = Field(0.999, gt=0, lt=1, description="stop when the best model is this likely found")
