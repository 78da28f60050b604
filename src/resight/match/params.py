"""What the settings of every matcher share (one kind is one file in ``kinds``), and those of geometric verification."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from resight.plugins.params import Params, expert_field
from resight.weights.store import WeightStore

if TYPE_CHECKING:
    from resight.match.base import Matcher

GRADED = "affine-graded"  # `VerifyParams.model` where each match counts by how well it fits


class MatcherBase(Params):
    """Settings of a matcher. A kind adds a field ``kind`` with its name, e.g. ``kind: Literal["nearest"] = "nearest"``."""

    @abstractmethod
    def accepts(self, family: str) -> bool:
        """Whether it reads descriptors of this family (see `ExtractorBase.family`).

        Raises:
            SettingsError: The settings leave that open.
        """

    def weight_names_for(self, family: str) -> list[str]:
        """Weights that it loads for descriptors of this family."""
        return self.weight_names()

    def geometry(self) -> str:
        """What matches must agree with to be inliers, as `VerifyParams.model` calls it; none where nothing is fitted."""
        verify = getattr(self, "verify", None)
        return verify.model if isinstance(verify, VerifyParams) else "none"

    @abstractmethod
    def build(self, weights: WeightStore, family: str, device: str) -> Matcher:
        """Load it onto ``cpu``, ``cuda`` or ``mps``.

        Raises:
            WeightsError: Weights are missing or wrong.
            DeviceError: This machine has no such device.
        """


class VerifyParams(Params):
    """Geometric verification of matches: MAGSAC++ (Barath et al. 2020; OpenCV), or for an affine map a fit that treats both photos alike."""

    model: Literal["none", "homography", "affine", "affine-graded", "fundamental"] = expert_field(
        "homography",
        description="geometry that matches must agree with to be inliers; affine-graded: an affine map, and each match counts by how "
        "well its place, size and direction fit it; none: no verification",
    )
    min_confidence: float = expert_field(
        0.0, ge=0, lt=1, description="matches with less confidence are no inliers and fix no geometry"
    )
    threshold_px: float = expert_field(
        12.0, gt=0, description="largest distance of an inlier from that geometry; generous, because heads are curved"
    )
