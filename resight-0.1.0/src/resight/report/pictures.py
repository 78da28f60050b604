"""Pictures of a page: inside it, each once, however often it is shown; of a large page beside it, read as they come into sight."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from resight.errors import WorkspaceError
from resight.store.sheets import sheet_name

QUALITY = 78
LONG_SIDE_PX = 360  # sharp enough to compare scutes, small enough for a page of a thousand pictures
MINI_SIDE_PX, MINI_QUALITY = 96, 68  # in the index of a large page
CELL_PX = 368  # of a sheet: whole blocks of JPEG, so that no picture's colours run into the next one
CELLS = 6  # by CELLS in a sheet; base.css knows its size
Read = Callable[[str], np.ndarray]
OUTSIDE_CONTRAST = 0.45  # of what the mask says is not the animal


@dataclass(frozen=True)
class Spot:
    """Where a picture lies in a sheet: the file beside the page, and its corner and size in the sheet's pixels."""

    file: str
    x_px: int
    y_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True)
class EmbeddedCrop:
    """A crop of the page.

    Attributes:
        symbol: Id of the SVG symbol that holds it.
        width_px: Size of the crop itself; the symbol's coordinates are the crop's pixels.
        height_px: As above.
        uri: ``data:`` address of the (smaller) JPEG; '' where it lies beside the page.
        spot: Where it lies beside the page.
    """

    symbol: str
    width_px: int
    height_px: int
    uri: str
    spot: Spot | None = None


@dataclass
class Beside:
    """Files beside a page that hold its pictures, many in one.

    Attributes:
        stem: Beginning of their names: ``report`` makes ``report-pictures-001.jpg``.
        files: What is to be written, by name; whole after `finish`.
    """

    stem: str
    files: dict[str, bytes] = field(default_factory=dict)
    _sheet: np.ndarray | None = None
    _n: int = 0

    def add(self, rgb: np.ndarray) -> Spot:
        """Lay a picture, at most `LONG_SIDE_PX` long, into the sheet that is being filled."""
        if self._sheet is None:
            self._sheet = np.full((CELL_PX * CELLS, CELL_PX * CELLS, 3), 128, np.uint8)
        row, column = divmod(self._n % CELLS**2, CELLS)
        (height, width), x, y = rgb.shape[:2], CELL_PX * column, CELL_PX * row
        self._sheet[y : y + height, x : x + width] = rgb
        spot = Spot(sheet_name(self.stem, self._n // CELLS**2 + 1), x, y, width, height)
        self._n += 1
        if self._n % CELLS**2 == 0:
            self.finish()
        return spot

    def finish(self) -> None:
        """Close the last sheet."""
        if self._sheet is not None:
            self.files[sheet_name(self.stem, len(self.files) + 1)] = jpeg(self._sheet, QUALITY)
            self._sheet = None


class EmbeddedCrops:
    """Gives every crop that is shown a picture, and keeps those that the page must hold.

    Attributes:
        beside: Where pictures go instead of into the page; set it before the first one is asked for.
    """

    def __init__(self, read_crop: Read, side_px: int = LONG_SIDE_PX, read_photo: Read | None = None) -> None:
        self._read_crop, self._read_photo = read_crop, read_photo
        self._side_px = side_px
        self._embedded: dict[tuple[str, str], EmbeddedCrop | None] = {}
        self._minis: dict[str, EmbeddedCrop] = {}
        self.beside: Beside | None = None

    def of(self, crop_id: str | None, *, mini: bool = False) -> EmbeddedCrop | None:
        """The crop's picture; None where the crop is gone. ``mini``: `mini` will be asked for it."""
        return self._known("crop", crop_id, self._read_crop, mini) if crop_id else None

    def of_photo(self, photo_id: str, *, mini: bool = False) -> EmbeddedCrop | None:
        """The whole photo's picture; None where it cannot be read any more."""
        return self._known("photo", photo_id, self._read_photo, mini) if self._read_photo else None

    def mini(self, picture: EmbeddedCrop | None) -> EmbeddedCrop | None:
        """The same, small and inside the page, where the picture itself lies beside it."""
        return self._minis.get(picture.symbol, picture) if picture else None

    @property
    def all(self) -> list[EmbeddedCrop]:
        """Those that the page must hold."""
        pictures = [picture for picture in self._embedded.values() if picture and picture.uri]
        return [*pictures, *self._minis.values()]

    def _known(self, kind: str, name: str, read: Read, mini: bool) -> EmbeddedCrop | None:
        known = self._embedded.get((kind, name))
        has_mini = not mini or self.beside is None or known is None or known.symbol in self._minis
        if (kind, name) in self._embedded and has_mini:
            return known
        try:
            image = read(name)
        except WorkspaceError:
            return self._embedded.setdefault((kind, name), None)  # the page says "picture missing" in its place
        picture = known or self._embed(image)
        self._embedded[kind, name] = picture
        if mini and picture.spot:
            uri = jpeg_uri(faded(shrunk(image, MINI_SIDE_PX)), MINI_QUALITY)
            self._minis[picture.symbol] = EmbeddedCrop(f"{picture.symbol}m", picture.width_px, picture.height_px, uri)
        return picture

    def _embed(self, crop: np.ndarray) -> EmbeddedCrop:
        height, width = crop.shape[:2]
        symbol, small = f"crop{len(self._embedded)}", faded(shrunk(crop, self._side_px))
        if self.beside is None:
            return EmbeddedCrop(symbol, width, height, jpeg_uri(small))
        return EmbeddedCrop(symbol, width, height, "", self.beside.add(small))


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


def jpeg_uri(rgb: np.ndarray, quality: int = QUALITY) -> str:
    """A ``data:`` address with the picture as JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(rgb, quality)).decode("ascii")


def jpeg(rgb: np.ndarray, quality: int) -> bytes:
    """The picture (H, W, 3) as JPEG."""
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    if not done:
        raise ValueError(f"a picture of shape {rgb.shape} cannot be written as JPEG")
    return data.tobytes()
