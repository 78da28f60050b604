"""Crops on disk: one RGBA PNG each, alpha 255 inside the mask and 0 outside, where the colours are kept too."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np

from resight.errors import DamagedError, WorkspaceError
from resight.store.damage import set_aside
from resight.store.parts import write_bytes
from resight.store.workspace import Workspace

CROPS_STAGE = "segment"  # what cuts a crop anew, whoever finds it damaged
# Neighbouring pixels of a photo are alike, but hardly any stretch of it comes twice: what is left after each byte is predicted from
# its neighbours is coded by how frequent it is, without a search for repetitions. About as small as zlib's level 1, in under half the time.
PNG = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def crop_path(stage_dir: Path, crop_id: str) -> Path:
    """Where a crop lies; folders of at most some thousand files."""
    return stage_dir / "crops" / crop_id[:2] / f"{crop_id}.png"


def write_crop(path: Path, rgb: np.ndarray, mask: np.ndarray) -> None:
    """Write ``rgb`` (H, W, 3) uint8 and ``mask`` (H, W) bool without loss; same input, same bytes."""
    bgra = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA)
    cv2.insertChannel(np.where(mask, np.uint8(255), np.uint8(0)), bgra, 3)
    _, data = cv2.imencode(".png", bgra, PNG)
    write_bytes(path, data.tobytes())


def has_crop(workspace: Workspace, path: str) -> bool:
    """Whether a crop is there and can be cut no shorter than its first bytes; `read_crop` looks at all of it."""
    try:
        with open(f"{workspace.root}/{path}", "rb", buffering=0) as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except FileNotFoundError:
        return False


def read_crop(workspace: Workspace, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a crop by the column ``path`` of the table ``crops``. One that is damaged is set aside, so that it is cut anew.

    Returns:
        (H, W, 3) uint8 RGB and the (H, W) bool mask.

    Raises:
        WorkspaceError: The file is missing or is no crop.
    """
    cure = "run the same command again, it cuts the crop anew"
    try:
        data = (workspace.root / path).read_bytes()
    except FileNotFoundError:
        raise WorkspaceError(f"The crop {path} is missing in {workspace.root}; {cure}.") from None
    why = what_is_wrong(data)
    bgra = None if why else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgra is None or bgra.ndim != 3 or bgra.shape[2] != 4:
        damage = DamagedError(workspace.root / path, why or "it is no picture with a mask", cure)
        set_aside(damage, "it is cut again", CROPS_STAGE)
        raise damage
    return cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB), bgra[..., 3] > 0


def what_is_wrong(png: bytes) -> str:
    """'' for a whole PNG. OpenCV decodes some damaged ones to something else, so the CRC of each chunk is compared here."""
    if png[: len(SIGNATURE)] != SIGNATURE:
        return "it is empty" if not png else "it does not begin like a PNG"
    view, at, kind = memoryview(png), len(SIGNATURE), b""
    while kind != b"IEND":
        length = int.from_bytes(view[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(png):
            return "it is cut short"
        kind = bytes(view[at + 4 : at + 8])
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            return "a checksum does not agree"
        at = end + 4
    return "" if at == len(png) else "something stands behind its end"
