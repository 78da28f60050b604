"""Opens pictures safely: the size in the header is checked before a single pixel is decoded.

Pixels come out upright, RGB, 8 bits. `DECODE_REVISION` is raised by every change that gives other pixels or measures.
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from resight.ingest.addresses import address_of, opened
from resight.ingest.exif import UPRIGHT, Exif, read_exif, read_offset
from resight.ingest.pixels import array_of, to_rgb
from resight.ingest.quality import MEASURE_SIDE_PX, Quality, measure
from resight.ingest.reasons import PhotoError, photo_error, raise_if_machine
from resight.status import PhotoReason

DECODE_REVISION = 1
MOST_BYTES_KEPT = 256 << 20  # a photo of 89 megapixels; each worker keeps as much, whatever the largest photo was
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF")
MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|II\*\0|MM\0\*|RIFF....WEBP|....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL
)
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)
TURNED_BY_READER = {"TIFF", "HEIF"}
SWAPPING = {5, 6, 7, 8}  # orientations whose rows are columns of the photo as it is shown
FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # how it is mirrored after that, in OpenCV's numbers

# A damaged photo is a row with its reason; what Pillow says beside that goes to nobody who could use it.
warnings.filterwarnings("ignore", module=r"PIL\.")
# The limits below, which the user can set, take the place of Pillow's fixed ones: every picture is opened by `_opened`.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Limits:
    """Sizes between which a picture is decoded; see the settings of the same names."""

    max_side_px: int
    max_megapixels: float
    min_side_px: int


@dataclass(frozen=True)
class Header:
    """What is known before decoding; width and height as shown upright."""

    format: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Picture:
    """All that the cache keeps of a content. ``reason`` is empty for a usable photo."""

    header: Header | None
    exif: Exif
    quality: Quality | None
    reason: str = ""
    detail: str = ""


class PixelBuffer:
    """Memory for one photo after the other: what the system gives anew for each is cleared page by page, which takes a tenth of the decoding."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def of(self, n_bytes: int) -> np.ndarray:
        """(n_bytes,) uint8 with anything in it, the same memory as the time before; of its own for a very large photo."""
        if n_bytes > MOST_BYTES_KEPT:
            return np.empty(n_bytes, np.uint8)
        if len(self._bytes) < n_bytes:
            self._bytes = np.empty(0, np.uint8)  # given back before more is asked for
            self._bytes = np.empty(n_bytes, np.uint8)
        return self._bytes[:n_bytes]


def load_rgb(
    uri: str, max_megapixels: float, root: Path | None = None, buffer: PixelBuffer | None = None
) -> np.ndarray:
    """Decode a photo.

    Args:
        uri: As in the table ``photos``.
        max_megapixels: Larger pictures are refused before they are decoded.
        root: Workspace that relative uris start from.
        buffer: Where the pixels may lie, until the next photo is loaded into it.

    Returns:
        (H, W, 3) uint8, RGB, upright. Transparent parts are white.

    Raises:
        PhotoError: It cannot be read or decoded, or is too large; an ``OSError`` with ``reason`` and ``message``.
        MachineError: The disk or the network fails.
    """
    limits = Limits(max_side_px=1 << 30, max_megapixels=max_megapixels, min_side_px=1)
    try:
        with opened(address_of(uri, root)) as file, _opened(file, uri) as image:
            _check_size(_header(image, Exif()), limits, uri)
            pixels = _whole_jpeg(image, file, buffer or PixelBuffer())
            if pixels is None:
                exif = _decode(image, uri)
                pixels = array_of(to_rgb(image))
            else:
                exif = read_exif(image)
            return pixels if image.format in TURNED_BY_READER else _upright(pixels, exif)
    except PhotoError:
        raise
    except OSError as error:
        raise_if_machine(error, uri)
        raise photo_error(PhotoReason.UNREADABLE, uri, str(error)) from error


def examine(file: IO[bytes], uri: str, limits: Limits) -> Picture:
    """Read header, EXIF and quality of a picture; it is decoded once, reduced where the format can, which finds damage."""
    header, exif = None, Exif()
    try:
        with _opened(file, uri) as image:
            exif = read_exif(image) if image.format != "PNG" else exif
            header = _header(image, exif)
            _check_size(header, limits, uri)
            image.draft("L", (MEASURE_SIDE_PX, MEASURE_SIDE_PX))
            exif = _decode(image, uri)
            header = _header(image, exif) if image.format == "PNG" else header
            return Picture(header, exif, measure(image if image.mode == "L" else to_rgb(image)))
    except PhotoError as error:
        return Picture(header, exif, None, error.reason, error.detail)


def clock_of(uri: str, root: Path | None = None) -> tuple[datetime | None, str]:
    """Local time and UTC offset that a photo's EXIF gives, as `read_offset` has them; only the head of the file is read.

    Raises:
        PhotoError: It is no picture, or is cut off within the header; an ``OSError``, as where it cannot be read.
    """
    with opened(address_of(uri, root)) as file, _opened(file, uri) as image:
        return read_offset(image)


@contextmanager
def _opened(file: IO[bytes], uri: str) -> Iterator[Image.Image]:
    """The picture with its header read.

    Raises:
        PhotoError: The file is empty, no picture, or cut off within the header.
    """
    start = file.read(16)
    file.seek(0)
    if not start:
        raise photo_error(PhotoReason.EMPTY_FILE, uri)
    _register_heif()
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise photo_error(PhotoReason.TRUNCATED if MAGIC.match(start) else PhotoReason.NOT_AN_IMAGE, uri) from None
    except DAMAGE as error:
        raise_if_machine(error, uri)
        raise photo_error(PhotoReason.TRUNCATED, uri) from None
    with image:
        yield image


@cache
def _register_heif() -> None:
    from pi_heif import register_heif_opener

    register_heif_opener()


def _header(image: Image.Image, exif: Exif) -> Header:
    width, height = image.size
    if exif.orientation in SWAPPING and image.format not in TURNED_BY_READER:
        width, height = height, width
    return Header("JPEG" if image.format == "MPO" else str(image.format), width, height)


def _check_size(header: Header, limits: Limits, uri: str) -> None:
    sides = (header.width_px, header.height_px)
    megapixels, size = sides[0] * sides[1] / 1e6, f"{sides[0]} x {sides[1]} px"
    if megapixels > limits.max_megapixels:
        detail = f"{size}, more than ingest.max_megapixels = {limits.max_megapixels:g}"
        raise photo_error(PhotoReason.DECOMPRESSION_BOMB, uri, detail)
    if max(sides) > limits.max_side_px:
        raise photo_error(PhotoReason.TOO_LARGE, uri, f"{size}, longer than ingest.max_side_px = {limits.max_side_px}")
    if min(sides) < limits.min_side_px:
        raise photo_error(PhotoReason.TOO_SMALL, uri, f"{size}, smaller than ingest.min_side_px = {limits.min_side_px}")


def _decode(image: Image.Image, uri: str) -> Exif:
    """Decode all pixels and give back the EXIF.

    The TIFF reader drops the orientation while decoding, the PNG reader may find EXIF only behind the pixels.
    """
    before = read_exif(image) if image.format != "PNG" else None
    try:
        image.load()
    except DAMAGE as error:
        raise_if_machine(error, uri)
        raise photo_error(PhotoReason.TRUNCATED, uri) from None
    return before or read_exif(image)


def _whole_jpeg(image: Image.Image, file: IO[bytes], buffer: PixelBuffer) -> np.ndarray | None:
    """(H, W, 3) uint8 of a JPEG in colour, the same pixels as Pillow's in about half the time; None for other pictures.

    Pillow and simplejpeg both decode with libjpeg-turbo, but Pillow goes through a picture of four bytes a pixel. Whatever the decoder finds
    odd is left to Pillow, which knows what is damage.
    """
    if image.format not in ("JPEG", "MPO") or image.mode != "RGB":
        return None
    file.seek(0)
    where = buffer.of(image.height * image.width * 3)
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(
            file.read(), "RGB", fastdct=False, fastupsample=False, buffer=where, strict=True
        )
    except ValueError:
        return None
    return pixels if pixels.shape == (image.height, image.width, 3) else None


def _upright(pixels: np.ndarray, exif: Exif) -> np.ndarray:
    """(H, W, 3) uint8 as the photo is shown; OpenCV turns a large one in a quarter of the time that NumPy takes."""
    if exif.orientation == UPRIGHT:
        return np.ascontiguousarray(pixels)
    import cv2  # here, because most photos are upright

    try:
        turned = cv2.transpose(pixels) if exif.orientation in SWAPPING else pixels
        return cv2.flip(turned, FLIPS[exif.orientation]) if exif.orientation in FLIPS else turned
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:  # the machine's fault and not the photo's
            raise MemoryError(str(error)) from error
        raise
