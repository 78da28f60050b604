"""Features as LightGlue reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resight.errors import SettingsError
from resight.extract.base import Features
from resight.extract.kinds import hardnet, sift
from resight.match.presets import ScaleOri

OUTSIDE_PX = 1.0


@dataclass(frozen=True)
class LightGlueInputs:
    """What LightGlue reads of a crop, float32.

    Attributes:
        keypoints: (N, 2) px, inside the crop.
        descriptors: (N, D).
        size_wh: (2,) px, width and height of the crop.
        scales, oris: (N,) px and rad, as the official checkpoint was trained with; None where the network reads neither.
    """

    keypoints: np.ndarray
    descriptors: np.ndarray
    size_wh: np.ndarray
    scales: np.ndarray | None
    oris: np.ndarray | None


def lightglue_inputs(features: Features, input_dim: int, kind: ScaleOri) -> LightGlueInputs:
    """Features for a network of that width.

    Raises:
        SettingsError: The descriptors are not as wide as the network expects.
        ValueError: A keypoint lies outside the crop, so coordinates and size do not belong together.
    """
    width = features.descriptors.shape[1]
    if width != input_dim:
        raise SettingsError(
            f"The LightGlue checkpoint reads descriptors of width {input_dim}, the extractor gives {width}; "
            "set match.weights to one that was trained for this extractor."
        )
    size_wh = np.asarray(features.size_wh_px, np.float32)
    scales, oris = None, None
    if kind != "none":
        module = hardnet if kind == "doghardnet" else sift
        # Copies: the arrays may be read-only, which torch warns about.
        scales, oris = (np.array(values, np.float32) for values in module.lightglue_scale_ori(features))
    descriptors = np.asarray(features.descriptors, np.float32)
    return LightGlueInputs(_inside(features.xy_px, size_wh), descriptors, size_wh, scales, oris)


def _inside(xy_px: np.ndarray, size_wh: np.ndarray) -> np.ndarray:
    """(N, 2) float32 keypoints moved into the crop: sub-pixel refinement may leave one just outside, which LightGlue refuses."""
    xy = np.asarray(xy_px, np.float32)
    clipped = xy.clip(0, size_wh)
    if np.abs(xy - clipped).max(initial=0.0) > OUTSIDE_PX:
        raise ValueError(f"keypoints lie outside their crop of {size_wh[0]:.0f} x {size_wh[1]:.0f} px")
    return clipped
