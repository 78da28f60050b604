"""Keypoints as LightGlue reads them."""

from __future__ import annotations

import numpy as np

from resight.extract.base import Features
from resight.extract.kinds import hardnet, sift
from resight.match.presets import ScaleOri

OUTSIDE_PX = 1.0


def scale_and_orientation(features: Features, kind: ScaleOri) -> tuple[np.ndarray, np.ndarray]:
    """(N,) float32 scale in pixels and (N,) float32 orientation in rad, as the official checkpoint was trained with."""
    module = hardnet if kind == "doghardnet" else sift
    scale, orientation = module.lightglue_scale_ori(features)
    return np.array(scale, np.float32), np.array(orientation, np.float32)  # copies: torch wants to be able to write


def inside(xy_px: np.ndarray, size_wh: np.ndarray) -> np.ndarray:
    """(N, 2) float32 keypoints within the picture.

    Sub-pixel refinement may leave a keypoint a fraction of a pixel outside, which LightGlue refuses.

    Raises:
        ValueError: A keypoint is further out, so coordinates and size do not belong together.
    """
    xy = np.asarray(xy_px, np.float32)
    clipped = xy.clip(0, size_wh)
    if np.abs(xy - clipped).max(initial=0.0) > OUTSIDE_PX:
        raise ValueError(f"keypoints lie outside their crop of {size_wh[0]:.0f} x {size_wh[1]:.0f} px")
    return clipped
