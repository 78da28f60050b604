"""What the settings of every extractor share; one kind is one file in ``kinds``."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field

from resight.extract.base import Extractor
from resight.plugins.params import Params
from resight.weights.store import WeightStore


class ExtractorBase(Params):
    """Settings of an extractor. A kind adds a field ``kind`` with its name, e.g. ``kind: Literal["sift"] = "sift"``.

    Attributes:
        family: Names the descriptors, so that a matcher can refuse what it cannot read.
        binary: Whether the descriptors are bits (uint8), to be compared by Hamming distance.
    """

    family: ClassVar[str] = ""
    binary: ClassVar[bool] = False
    max_keypoints: int = Field(
        1024, ge=1, le=8192, description="most keypoints per crop, strongest first; more take longer to match"
    )

    @abstractmethod
    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        """Load the network onto ``cpu``, ``cuda`` or ``mps``; SIFT (OpenCV) and ORB always run on the CPU.

        Raises:
            WeightsError: Weights are missing or wrong.
            DeviceError: This machine has no such device.
        """
