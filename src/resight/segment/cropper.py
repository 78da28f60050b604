"""From a region to a crop: turned upright, padded, resized, masked."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from resight.segment.base import Region
from resight.segment.geometry import CropFrame, clip_region, frame_for
from resight.segment.masks import grow, inside_photo, outline_in_crop, polygons_of
from resight.segment.params import CropParams
from resight.store.fingerprint import canonical_json

CROP_ID_CHARS = 20
GEOMETRY_DECIMALS = 2
HALF = 127


@dataclass(frozen=True)
class Crop:
    """A part of a photo, cut out.

    Attributes:
        rgb: (H, W, 3) uint8; beyond the photo's edge its last pixels are repeated.
        mask: (H, W) bool: the grown outline inside the photo.
        frame: Where it lies in the photo.
    """

    rgb: np.ndarray
    mask: np.ndarray
    frame: CropFrame


def tidy(region: Region, photo_wh_px: tuple[int, int]) -> Region | None:
    """The region as it is stored: inside the frame, rounded to 0.01 px; None where nothing of it lies in the photo.

    A mask brings its own polygons and box.

    Raises:
        ValueError: The mask does not have the photo's size.
    """
    if region.mask is not None:
        if region.mask.shape != photo_wh_px[::-1]:
            raise ValueError(
                f"the mask of {region.segmenter or 'the segmenter'} is {region.mask.shape}, the photo {photo_wh_px[::-1]}"
            )
        if not region.mask.any():
            return None
        region = replace(region, polygons_xy_px=polygons_of(region.mask), bbox_xywh_px=_bounds(region.mask))
    clipped = clip_region(region, photo_wh_px)
    if clipped is None:
        return None
    polygons = tuple(tuple((_rounded(x), _rounded(y)) for x, y in p) for p in clipped.polygons_xy_px)
    box = region.bbox_xywh_px if region.mask is not None else clipped.bbox_xywh_px
    x, y, width, height = map(_rounded, box)
    return replace(clipped, polygons_xy_px=polygons, bbox_xywh_px=(x, y, width, height))


def cut(rgb: np.ndarray, region: Region, params: CropParams) -> Crop:
    """Cut a tidy region out of a photo (H, W, 3) uint8."""
    size_wh = (rgb.shape[1], rgb.shape[0])
    whole = region.part == "whole"
    side, enlarge = (params.whole_side_px, 1.0) if whole else (params.head_side_px, params.max_enlarge)
    frame = frame_for(region, size_wh, params.pad_fraction, side, enlarge)
    shape = (
        outline_in_crop(region, frame)
        if region.mask is None
        else resample(region.mask.astype(np.uint8) * 255, frame) > HALF
    )
    grown = grow(shape, params.mask_grow_fraction * max(frame.size_wh_px))
    return Crop(resample(rgb, frame), grown & inside_photo(frame, size_wh), frame)


def resample(image: np.ndarray, frame: CropFrame, where_averaged: int = cv2.INTER_CUBIC) -> np.ndarray:
    """The window ``frame`` of ``image``, exactly as `CropFrame.matrix` says.

    To shrink, the window is sampled cubically (or as ``where_averaged`` says), a whole number of times per crop pixel and side and at
    least as densely as the photo, and the samples of each pixel are averaged: area interpolation that also works for windows that
    are turned or shifted by parts of a pixel.
    """
    factor = max(1, math.ceil(1 / frame.scale - 1e-9))
    fine = frame.finer(factor)
    how = cv2.INTER_CUBIC if factor == 1 else where_averaged
    sampled = cv2.warpAffine(image, fine.matrix(), fine.size_wh_px, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return sampled if factor == 1 else cv2.resize(sampled, frame.size_wh_px, interpolation=cv2.INTER_AREA)


def crop_id(photo_id: str, fingerprint: str, region: Region) -> str:
    """First 20 hex digits of the SHA-256 over photo, settings and the geometry of a tidy region."""
    mask = "" if region.mask is None else hashlib.sha256(np.packbits(region.mask).tobytes()).hexdigest()
    geometry = [region.part, region.bbox_xywh_px, region.polygons_xy_px, round(region.upright_rotation_rad, 6), mask]
    return hashlib.sha256(canonical_json([photo_id, fingerprint, geometry]).encode()).hexdigest()[:CROP_ID_CHARS]


def _bounds(mask: np.ndarray) -> tuple[float, float, float, float]:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    left, top = int(columns[0]), int(rows[0])
    return (float(left), float(top), float(columns[-1] + 1 - left), float(rows[-1] + 1 - top))


def _rounded(value: float) -> float:
    return round(float(value), GEOMETRY_DECIMALS)
