"""What a report is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class MatchedPoints:
    """The matches of a query crop and a gallery crop.

    Attributes:
        xy_query_px: (M, 2), pixels of the query crop.
        xy_gallery_px: (M, 2), pixels of the gallery crop.
        confidence: (M,), above 0 up to 1.
        inlier: (M,) bool, fits one pattern with others; all False where that was not tried.
        tried: Whether it was tried.
    """

    xy_query_px: np.ndarray
    xy_gallery_px: np.ndarray
    confidence: np.ndarray
    inlier: np.ndarray
    tried: bool = True


@dataclass(frozen=True)
class ReportData:
    """The tables of one run and the way to its pictures.

    Attributes:
        run: Row of ``runs``; JSON columns as text or parsed. ``notes`` (sentences for people) may be added.
        photos, crops, pairs, scores, identifications, novelty: The catalog's tables of the run.
        matches: By (query_crop_id, gallery_crop_id); a pair without an entry is shown without lines.
        null: Edges (B + 1,) and cumulative distribution (B + 1,) of the confidences of impostor pairs, or None.
        read_crop: RGB (H, W, 3) or RGBA (H, W, 4) uint8 of a crop; raises `WorkspaceError` where it is gone.
        accuracy: The table ``accuracy``, or None.
        read_photo: RGB (H, W, 3) uint8 of a photo by its id, shown where it has no crop; raises `WorkspaceError` where it is gone.
        root: Folder of the workspace, for links to the photos; None for no links.
        folder: Where the page will be.
    """

    run: Mapping[str, Any]
    photos: pa.Table
    crops: pa.Table
    pairs: pa.Table
    scores: pa.Table
    identifications: pa.Table
    novelty: pa.Table
    matches: Mapping[tuple[str, str], MatchedPoints]
    null: tuple[np.ndarray, np.ndarray] | None
    read_crop: Callable[[str], np.ndarray]
    accuracy: pa.Table | None = None
    read_photo: Callable[[str], np.ndarray] | None = None
    root: Path | None = None
    folder: Path | None = None
