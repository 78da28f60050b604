"""Outlines by Segment Anything (Kirillov et al., ICCV 2023) or MobileSAM through kornia, prompted by a box."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from resight.segment.base import Photo, Region, Segmenter
from resight.segment.geometry import Box, bounds
from resight.segment.kinds.annotations import AnnotationsParams
from resight.segment.kinds.head_finder import BUNDLED, HeadFinderParams
from resight.segment.params import SegmenterBase
from resight.status import CropStatus
from resight.weights.store import WeightStore

if TYPE_CHECKING:
    from torch import nn

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SURROUNDINGS = 3.0  # side of what is looked at, in long sides of the box: small heads at full resolution
DERIVED = ("*attention_bias_idxs",)


class SamParams(SegmenterBase):
    """Segment Anything or MobileSAM through kornia: finer outlines for boxes that something else found."""

    reads: ClassVar[tuple[str, ...]] = ("annotations",)

    kind: Literal["sam"] = "sam"
    variant: Literal["mobile_sam", "vit_b", "vit_l", "vit_h"] = Field(
        "mobile_sam", description="which of the published networks"
    )
    weights: str = Field("", description="path of its .pt, .pth or .safetensors file")
    boxes: Literal["head-finder", "annotations"] = Field("head-finder", description="where the boxes come from")

    def weight_names(self) -> list[str]:
        return [self.weights, *([str(BUNDLED)] if self.boxes == "head-finder" else [])]

    def ways(self, width_px: int, height_px: int) -> tuple[str, ...]:
        return self.finds_boxes().ways(width_px, height_px)

    def finds_boxes(self) -> SegmenterBase:
        """Settings of what the boxes come from."""
        if self.boxes == "annotations":
            return AnnotationsParams.model_validate({})
        return HeadFinderParams.model_validate({})

    def build(self, weights: WeightStore) -> Segmenter:
        return SamSegmenter(load_sam(self, weights), self.finds_boxes().build(weights))


class SamSegmenter:
    """Takes boxes from another segmenter and gives back outlines; where the network sees nothing, the box stays."""

    def __init__(self, net: nn.Module, boxes: Segmenter) -> None:
        self.net = net.eval().requires_grad_(False)
        self.boxes = boxes
        self.nothing_found = getattr(boxes, "nothing_found", CropStatus.NO_HEAD)

    def find(self, photo: Photo) -> list[Region]:
        return [self._outlined(photo.rgb, region) for region in self.boxes.find(photo)]

    def _outlined(self, rgb: np.ndarray, region: Region) -> Region:
        if region.part == "whole":
            return region
        from resight.segment.masks import polygons_of

        mask, offset, quality = mask_in_box(self.net, rgb, region.bbox_xywh_px)
        polygons = tuple(tuple((x + offset[0], y + offset[1]) for x, y in p) for p in polygons_of(mask)[:1])
        if not polygons:
            return region
        return replace(
            region,
            bbox_xywh_px=bounds(np.array(polygons[0])),
            polygons_xy_px=polygons,
            confidence=region.confidence * quality,
            segmenter=f"sam on {region.segmenter}",
        )


def mask_in_box(net: Any, rgb: np.ndarray, bbox_xywh_px: Box) -> tuple[np.ndarray, tuple[int, int], float]:
    """The outline of what fills a box, by the network.

    Args:
        net: A `kornia.models.sam.Sam`.
        rgb: (H, W, 3) uint8.
        bbox_xywh_px: In outline coordinates of the photo.

    Returns:
        (h, w) bool mask of a part of the photo, the left upper corner of that part in pixels, and the overlap that the network
        expects of itself, 0 to 1.
    """
    import cv2
    import torch
    from torch.nn import functional as F

    from resight.segment.masks import resized

    x, y, width, height = bbox_xywh_px
    reach = SURROUNDINGS * max(width, height) / 2
    left, top = max(0, math.floor(x + width / 2 - reach)), max(0, math.floor(y + height / 2 - reach))
    part = rgb[top : math.ceil(y + height / 2 + reach), left : math.ceil(x + width / 2 + reach)]
    side = int(net.image_encoder.img_size)
    scale = side / max(part.shape[:2])
    image = torch.from_numpy(resized(part, scale)).permute(2, 0, 1)[None].float() / 255
    image = (image - image.new_tensor(MEAN)[:, None, None]) / image.new_tensor(SPREAD)[:, None, None]
    height_px, width_px = image.shape[2:]
    padded = F.pad(image, (0, side - width_px, 0, side - height_px))
    box = torch.tensor([[x - left, y - top, x - left + width, y - top + height]], dtype=torch.float32) * scale
    with torch.inference_mode():
        (segmented,) = net(padded, [{"boxes": box}], multimask_output=False)
    logits = F.interpolate(segmented.logits.float(), (side, side), mode="bilinear", align_corners=False)[0, 0]
    inside = logits[:height_px, :width_px].numpy()
    mask = cv2.resize(inside, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_LINEAR) > 0
    return mask, (left, top), float(segmented.scores[0, 0].clamp(0, 1))


def load_sam(params: SamParams, weights: WeightStore) -> nn.Module:
    """The network with the weights that ``params`` name.

    Raises:
        WeightsError: They are missing or belong to another variant.
    """
    from kornia.models.sam.model import Sam

    from resight.weights.loading import strict_load

    net = Sam.from_name(params.variant)
    strict_load(net, weights.state_dict(params.weights), allowed_missing=DERIVED, name=params.weights)
    return net
