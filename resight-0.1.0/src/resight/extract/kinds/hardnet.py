"""HardNet descriptors (Mishchuk et al., NeurIPS 2017) on Difference-of-Gaussians or KeyNet-AffNet frames, with kornia's parts.

The parts are put together here because kornia's ready-made ones always download their weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from resight.extract.base import Extractor, Features
from resight.extract.params import ExtractorBase
from resight.extract.torch_base import Described, Detections, TorchExtractor, to_grey, to_tensor
from resight.plugins.params import expert_field
from resight.weights.store import WeightStore

if TYPE_CHECKING:
    import torch
    from kornia.feature import LAFDescriptor

SIGMAS_PER_FRAME = 6.0
FRAME_GROWTH = 2.0


class DogHardnetParams(ExtractorBase):
    """Difference of Gaussians with HardNet descriptors (Mishchuk et al. 2017), 128-d. MIT weights."""

    family: ClassVar[str] = "doghardnet"
    kind: Literal["dog-hardnet"] = "dog-hardnet"
    weights: str = Field("hardnet-liberty", description="registry name or path")

    def weight_names(self) -> list[str]:
        return [self.weights]

    def build(self, weights: WeightStore, device: str = "cpu") -> Extractor:
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
        return KeynetHardnetExtractor(self, weights, device)


def lightglue_scale_ori(keypoints: Features) -> tuple[np.ndarray, np.ndarray]:
    """What LightGlue's DoG-HardNet checkpoint reads besides the position.

    OpenCV's ``KeyPoint.size``, which is 2 sigma (kornia gives it frames of 12 sigma and divides by 6), and kornia's
    orientation: counter-clockwise on the screen, in [0, 2 pi).

    Returns:
        (N,) float32 size in pixels and (N,) float32 angle in rad.
    """
    angle = np.mod(-keypoints.angle_rad.astype(np.float64), 2 * math.pi).astype(np.float32)
    return 2 * keypoints.scale_px, np.where(angle >= np.float32(2 * math.pi), np.float32(0), angle)


class HardnetExtractor(TorchExtractor):
    """HardNet on patches of 32 x 32 grey pixels."""

    descriptor_dim = 128

    def _hardnet(self, weights: WeightStore, name: str) -> LAFDescriptor:
        from kornia.feature import HardNet, LAFDescriptor

        network = self._filled(HardNet(pretrained=False), weights.state_dict(name), name)
        return LAFDescriptor(network, patch_size=32, grayscale_descriptor=True).to(self.device)


class DogHardnetExtractor(HardnetExtractor):
    """As kornia's ``DoGHardNet``: frames of 6 sigma are found and turned, and described at 12 sigma."""

    def __init__(self, params: DogHardnetParams, weights: WeightStore, device: str) -> None:
        from kornia.feature import BlobDoG, LAFOrienter, ScaleSpaceDetector
        from kornia.geometry.subpix import ConvQuadInterp3d
        from kornia.geometry.transform import ScalePyramid

        super().__init__(params, device)
        self._detector = ScaleSpaceDetector(
            num_features=2 * params.max_keypoints,
            resp_module=BlobDoG(),
            subpix_module=ConvQuadInterp3d(),
            scale_pyr_module=ScalePyramid(3, 1.6, 32, double_image=True),
            ori_module=LAFOrienter(19),
            scale_space_response=True,
            minima_are_also_good=True,
            mr_size=SIGMAS_PER_FRAME,
        ).to(self.device)
        self._descriptor = self._hardnet(weights, params.weights)

    def _detect(self, rgb: np.ndarray, mask: np.ndarray | None) -> Detections:
        from kornia.feature import scale_laf

        from resight.extract.lafs import detector_mask, filled, read_lafs

        grey = to_grey(to_tensor(rgb, self.device))
        lafs, response = self._detector(grey, detector_mask(mask, grey))
        good = filled(lafs)
        lafs = lafs[:, good]
        xy, scale, angle = read_lafs(lafs)

        def describe(index: torch.Tensor) -> Described:
            descriptors = self._descriptor(grey, scale_laf(lafs[:, index], FRAME_GROWTH))[0]
            return Described(descriptors, scale[index] / SIGMAS_PER_FRAME, angle[index])

        return Detections(xy, response[0, good], describe, angle)


class KeynetHardnetExtractor(HardnetExtractor):
    """KeyNet (ICCV 2019) finds, AffNet and OriNet (ECCV 2018) shape and turn, HardNet describes.

    ``scale_px`` is the pixel size of the pyramid level: KeyNet has no sigma. The affine shape is used for the descriptor and
    not kept.
    """

    def __init__(self, params: KeynetHardnetParams, weights: WeightStore, device: str) -> None:
        from kornia.feature import KeyNetDetector, LAFAffNetShapeEstimator, LAFOrienter, OriNet

        super().__init__(params, device)
        detector = KeyNetDetector(pretrained=False, num_features=2 * params.max_keypoints)
        shape = LAFAffNetShapeEstimator(pretrained=False, preserve_orientation=False)
        orientation = OriNet(pretrained=False)
        network: torch.nn.Module = detector.get_submodule("model")
        names = (params.keynet_weights, params.affnet_weights, params.orinet_weights)
        for module, name in zip((network, shape, orientation), names, strict=True):
            self._filled(module, weights.state_dict(name), name)
        self._detector = detector.eval().to(self.device)
        self._shape = shape
        self._orient = LAFOrienter(angle_detector=orientation).eval().to(self.device)
        self._descriptor = self._hardnet(weights, params.hardnet_weights)

    def _detect(self, rgb: np.ndarray, mask: np.ndarray | None) -> Detections:
        from resight.extract.lafs import detector_mask, filled, read_lafs

        grey = to_grey(to_tensor(rgb, self.device))
        response, lafs = self._detector.detect(grey, detector_mask(mask, grey))
        good = filled(lafs)
        lafs = self._centred(lafs[:, good])
        xy, scale, _ = read_lafs(lafs)

        def describe(index: torch.Tensor) -> Described:
            frames = self._orient(self._shape(lafs[:, index], grey), grey)
            _, _, angle = read_lafs(frames)
            return Described(self._descriptor(grey, frames)[0], scale[index] / self._detector.mr_size, angle)

        return Detections(xy, response[0, good], describe)

    def _centred(self, lafs: torch.Tensor) -> torch.Tensor:
        """Move the centres to where the level's pixel centres really lie.

        kornia reports pixel i of a level with pixel size f at f i; its centre is at f (i + 1/2) - 1/2. The frame's scale is f
        times a constant.
        """
        from resight.extract.lafs import read_lafs

        _, scale, _ = read_lafs(lafs)
        moved = lafs.clone()
        moved[..., 2] += ((scale / self._detector.mr_size - 1) / 2)[None, :, None]
        return moved
