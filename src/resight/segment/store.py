"""Crops on disk: one RGBA PNG each, alpha 255 inside the mask and 0 outside, where the colours are kept too."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from resight.errors import WorkspaceError
from resight.store.parts import write_bytes
from resight.store.workspace import Workspace

PNG_LEVEL = 1


def crop_path(stage_dir: Path, crop_id: str) -> Path:
    """Where a crop lies; folders of at most some thousand files."""
    return stage_dir / "crops" / crop_id[:2] / f"{crop_id}.png"


def write_crop(path: Path, rgb: np.ndarray, mask: np.ndarray) -> None:
    """Write ``rgb`` (H, W, 3) uint8 and ``mask`` (H, W) bool without loss; same input, same bytes."""
    bgra = np.dstack([rgb[..., ::-1], np.where(mask, 255, 0).astype(np.uint8)])
    _, data = cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    write_bytes(path, data.tobytes())


def read_crop(workspace: Workspace, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a crop by the column ``path`` of the table ``crops``.

    Returns:
        (H, W, 3) uint8 RGB and the (H, W) bool mask.

    Raises:
        WorkspaceError: The file is missing or is no crop.
    """
    cure = "run the same command again, it cuts the crop anew"
    try:
        data = np.frombuffer((workspace.root / path).read_bytes(), np.uint8)
    except FileNotFoundError:
        raise WorkspaceError(f"The crop {path} is missing in {workspace.root}; {cure}.") from None
    bgra = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if bgra is None or bgra.ndim != 3 or bgra.shape[2] != 4:
        raise WorkspaceError(f"The crop {path} in {workspace.root} is damaged; delete it and {cure}.")
    return np.ascontiguousarray(bgra[..., 2::-1]), bgra[..., 3] > 0
