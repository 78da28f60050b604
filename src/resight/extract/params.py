"""Settings of the extractors. One class per kind; torch and OpenCV are imported in ``build``.

``build(weights, device)`` loads the network onto ``cpu``, ``cuda`` or ``mps``; SIFT (OpenCV) and ORB always run on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from resight.plugins.params import Params, expert_field

if TYPE_CHECKING:
    from resight.extract.base import Extractor
    from resight.weights.store import WeightStore


class ExtractorBase(Params):
    """What all extractors share. ``family`` names the descriptors, so that a matcher can refuse what it cannot read."""

    family: ClassVar[str] = ""
    max_keypoints: int = Field(
        1024, ge=1, le=8192, description="most keypoints per crop, strongest first; more take longer to match"
    )


class SiftParams(ExtractorBase):
    """SIFT (Lowe 2004), OpenCV; works best on turtles and needs no weights."""

    family: ClassVar[str] = "sift"
    kind: Literal["sift"] = "sift"
    root: bool = expert_field(
        True, description="RootSIFT (Arandjelovic and Zisserman 2012), which LightGlue's SIFT checkpoint expects"
    )
    contrast_threshold: float = expert_field(
        0.01, ge=0, description="least contrast of a keypoint; lower finds more keypoints on hazy photos"
    )
    size_exponent: float = expert_field(
        2.0, ge=0, le=4, description="strength is contrast times sigma to this power; 0: contrast alone, as in OpenCV"
    )
    backend: Literal["opencv", "kornia"] = expert_field(
        "opencv", description="kornia: the same detector in torch, slower on a CPU"
    )

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        from resight.extract.sift import build_sift

        return build_sift(self, device)


class OrbParams(ExtractorBase):
    """ORB (Rublee et al. 2011): the classical binary baseline."""

    family: ClassVar[str] = "orb"
    kind: Literal["orb"] = "orb"

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        from resight.extract.orb import OrbExtractor

        return OrbExtractor(self)


class XFeatParams(ExtractorBase):
    """XFeat (Potje et al., CVPR 2024), 64-d; fast on CPU. Apache-2.0 weights."""

    family: ClassVar[str] = "xfeat"
    kind: Literal["xfeat"] = "xfeat"
    max_keypoints: int = Field(
        512, ge=1, le=8192, description="most keypoints per crop, strongest first; more take longer to match"
    )
    weights: str = Field("xfeat", description="registry name, or path of a .safetensors, .pt or .pth file")
    detection_threshold: float = expert_field(0.05, ge=0, description="least strength of a keypoint")

    def weight_names(self) -> list[str]:
        return [self.weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        from resight.extract.xfeat import XFeatExtractor

        return XFeatExtractor(self, weights, device)


class AlikedParams(ExtractorBase):
    """ALIKED (Zhao et al., TIM 2023), 128-d (t16: 64-d). BSD-3-Clause weights."""

    family: ClassVar[str] = "aliked"
    kind: Literal["aliked"] = "aliked"
    variant: Literal["aliked-t16", "aliked-n16", "aliked-n16rot", "aliked-n32"] = expert_field(
        "aliked-n16", description="which of the published networks"
    )
    weights: str = Field("", description="registry name or path; empty takes the variant's")
    detection_threshold: float = expert_field(
        0.0, ge=0, description="least strength of a keypoint; 0: the strongest are kept however weak they are"
    )

    def weight_names(self) -> list[str]:
        return [self.weights or self.variant]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        from resight.extract.aliked import AlikedExtractor

        return AlikedExtractor(self, weights, device)


class DiskParams(ExtractorBase):
    """DISK (Tyszkiewicz et al., NeurIPS 2020), 128-d. Apache-2.0 weights."""

    family: ClassVar[str] = "disk"
    kind: Literal["disk"] = "disk"
    weights: str = Field("disk-depth", description="registry name or path")

    def weight_names(self) -> list[str]:
        return [self.weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        from resight.extract.disk import DiskExtractor

        return DiskExtractor(self, weights, device)


class DedodeParams(ExtractorBase):
    """DeDoDe (Edstedt et al., 3DV 2024) detector L with descriptor B, 256-d. MIT weights."""

    family: ClassVar[str] = "dedodeb"
    kind: Literal["dedode"] = "dedode"
    detector_weights: str = expert_field("dedode-detector-l", description="registry name or path")
    descriptor_weights: str = expert_field("dedode-descriptor-b", description="registry name or path")

    def weight_names(self) -> list[str]:
        return [self.detector_weights, self.descriptor_weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        from resight.extract.dedode import DedodeExtractor

        return DedodeExtractor(self, weights, device)


class DogHardnetParams(ExtractorBase):
    """Difference of Gaussians with HardNet descriptors (Mishchuk et al. 2017), 128-d. MIT weights."""

    family: ClassVar[str] = "doghardnet"
    kind: Literal["dog-hardnet"] = "dog-hardnet"
    weights: str = Field("hardnet-liberty", description="registry name or path")

    def weight_names(self) -> list[str]:
        return [self.weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        from resight.extract.hardnet import DogHardnetExtractor

        return DogHardnetExtractor(self, weights, device)


class KeynetHardnetParams(ExtractorBase):
    """KeyNet detector, AffNet shape, HardNet descriptor, 128-d. MIT weights."""

    family: ClassVar[str] = "keynet_affnet_hardnet"
    kind: Literal["keynet-affnet-hardnet"] = "keynet-affnet-hardnet"
    keynet_weights: str = expert_field("keynet", description="registry name or path")
    affnet_weights: str = expert_field("affnet", description="registry name or path")
    orinet_weights: str = expert_field("orinet", description="registry name or path")
    hardnet_weights: str = expert_field("hardnet-liberty", description="registry name or path")

    def weight_names(self) -> list[str]:
        return [self.keynet_weights, self.affnet_weights, self.orinet_weights, self.hardnet_weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        from resight.extract.hardnet import KeynetHardnetExtractor

        return KeynetHardnetExtractor(self, weights, device)


class SuperpointParams(ExtractorBase):
    """SuperPoint (DeTone et al. 2018), 256-d. Its weights are for non-commercial use only, so they are never fetched."""

    family: ClassVar[str] = "superpoint"
    kind: Literal["superpoint"] = "superpoint"
    weights: str = Field(description="path of superpoint_v1.pth (Magic Leap licence, non-commercial)")
    detection_threshold: float = expert_field(0.0005, ge=0, description="least strength of a keypoint")

    def weight_names(self) -> list[str]:
        return [self.weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
        from resight.extract.superpoint import SuperpointExtractor

        return SuperpointExtractor(self, weights, device)
