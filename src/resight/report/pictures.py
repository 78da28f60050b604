"""Crops as pictures inside the page; each one is embedded once, however often it is shown."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from resight.errors import WorkspaceError

QUALITY = 78
LONG_SIDE_PX = 360  # sharp enough to compare scutes, small enough for a page of a thousand pictures
Read = Callable[[str], np.ndarray]
OUTSIDE_CONTRAST = 0.45  # of what the mask says is not the animal


@dataclass(frozen=True)
class EmbeddedCrop:
    """A crop inside the page.

    Attributes:
        symbol: Id of the SVG symbol that holds it.
        width_px: Size of the crop itself; the symbol's coordinates are the crop's pixels.
        height_px: As above.
        uri: ``data:`` address of the (smaller) JPEG.
    """

    symbol: str
    width_px: int
    height_px: int
    uri: str


class EmbeddedCrops:
    """Gives every crop that is shown a symbol, and keeps those that the page must hold."""

    def __init__(self, read_crop: Read, side_px: int = LONG_SIDE_PX, read_photo: Read | None = None) -> None:
        self._read_crop, self._read_photo = read_crop, read_photo
        self._side_px = side_px
        self._embedded: dict[tuple[str, str], EmbeddedCrop | None] = {}

    def of(self, crop_id: str | None) -> EmbeddedCrop | None:
        """The crop's picture; None where the crop is gone."""
        return self._known("crop", crop_id, self._read_crop) if crop_id else None

    def of_photo(self, photo_id: str) -> EmbeddedCrop | None:
        """The whole photo's picture; None where it cannot be read any more."""
        return self._known("photo", photo_id, self._read_photo) if self._read_photo else None

    def _known(self, kind: str, name: str, read: Read) -> EmbeddedCrop | None:
        key = kind, name
        if key not in self._embedded:
            try:
                self._embedded[key] = self._embed(read(name))
            except WorkspaceError:
                self._embedded[key] = None  # the page says "picture missing" in its place
        return self._embedded[key]

    @property
    def all(self) -> list[EmbeddedCrop]:
        """Those that the page must hold."""
        return [picture for picture in self._embedded.values() if picture]

    def _embed(self, crop: np.ndarray) -> EmbeddedCrop:
        height, width = crop.shape[:2]
        uri = jpeg_uri(faded(shrunk(crop, self._side_px)))
        return EmbeddedCrop(f"crop{len(self._embedded)}", width, height, uri)


def shrunk(image: np.ndarray, side_px: int) -> np.ndarray:
    """(H, W, C) uint8 with a long side of at most ``side_px``."""
    height, width = image.shape[:2]
    scale = min(1.0, side_px / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def faded(crop: np.ndarray) -> np.ndarray:
    """RGB (H, W, 3) uint8; where an alpha channel says "not the animal", paler and greyer."""
    rgb = crop[..., :3]
    if crop.shape[2] == 3:
        return rgb
    alpha = crop[..., 3:].astype(np.float32) / 255
    outside = rgb.astype(np.float32) * OUTSIDE_CONTRAST + 140 * (1 - OUTSIDE_CONTRAST)
    return (rgb * alpha + outside * (1 - alpha)).astype(np.uint8)


def jpeg_uri(rgb: np.ndarray) -> str:
    """A ``data:`` address with the picture as JPEG."""
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    if not done:
        raise ValueError(f"a picture of shape {rgb.shape} cannot be written as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
