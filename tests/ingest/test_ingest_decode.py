"""Pixels come out upright and RGB, bad files get the right reason, and no header can make us take memory."""

import base64
import io
import pickle
import struct
import sys
import zlib
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resight.ingest.decode import Limits, examine, load_rgb
from resight.ingest.exif import Exif
from resight.ingest.quality import measure
from resight.ingest.reasons import PhotoError

LIMITS = Limits(max_side_px=16_000, max_megapixels=150, min_side_px=64)
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
# A 144 x 96 blue picture with a red corner at the top left, stored turned by 90 degrees (irot and EXIF orientation 6).
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAaFtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAA"
    "AAAERAAAIAAQAAAAABxQABAAAAAAAAAIoAAgAAAAACTwABAAAAAAAAAGwAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVp"
    "bmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA4GlwcnAAAADAaXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGE"
    "ABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoDCAkWW6kkprm4CGgwIAAAMAMgAAAwACEGIAAQAHRAHBcrAi"
    "QAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAAkAAAABBwaXhpAAAAAAMICAgAAAAJaXJvdAMAAAAYaXBtYQAAAAAAAAABAA"
    "EFgQIDBIUAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAP5tZGF0AAAAhigBrwngITl1X//85t+9/UUX//OPKdBzDzLqVoUclJbONx9Ik//5"
    "nBW/99PZw6hf2HLeeH6JJJjaP9EfrSSOT/vKsndegJ70tZxblDRgfcbGxsgeIRHEBTZwvqo9QNL3Mq9R1P0La75+x1YLILRJ6L1PnkuXNi7Z2e"
    "PLUUNnuQ4bvpvI+cI2AAAABkV4aWYAAE1NACoAAAAIAAQBDwACAAAABgAAAD4BEAACAAAACgAAAEQBEgADAAAAAQAGAAABMgACAAAAFAAAAE4A"
    "AAAAQXBwbGUAaVBob25lIDEyADIwMjQ6MDY6MDEgMDk6MDg6MDcA"
)


def corner_picture() -> np.ndarray:
    """313 high, 471 wide, red in the top left corner and blue in the bottom right one."""
    rgb = np.full((313, 471, 3), 128, np.uint8)
    rgb[:96, :160], rgb[208:, 320:] = (255, 0, 0), (0, 0, 255)
    return rgb


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def reason(data: bytes) -> str:
    return examine(io.BytesIO(data), "beach.jpg", LIMITS).reason


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_shown_upright_whatever_the_orientation(
    tmp_path: Path, kind: str, options: dict[str, object], orientation: int
) -> None:
    image = Image.fromarray(corner_picture())
    stored = image.transpose(STORED[orientation]) if orientation in STORED else image
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / "a.bin"
    path.write_bytes(encoded(stored, kind, exif=exif, **options))
    rgb = load_rgb(str(path), 150)
    assert rgb.shape == (313, 471, 3)
    assert np.abs(rgb.astype(int) - corner_picture()).mean() < 2
    seen = examine(io.BytesIO(path.read_bytes()), "a", LIMITS)
    assert seen.header is not None
    assert (seen.header.width_px, seen.header.height_px, seen.exif.orientation) == (471, 313, orientation)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30, "restart_marker_rows": 2}]
)
@pytest.mark.parametrize("size", [(471, 313), (8, 8), (17, 1)])
def test_a_jpeg_has_the_pixels_that_pillow_gives(
    tmp_path: Path, options: dict[str, object], size: tuple[int, int]
) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8))
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(image, "JPEG", **options))
    np.testing.assert_array_equal(load_rgb(str(path), 150), np.asarray(Image.open(path)))


def test_a_jpeg_with_damage_is_told_as_pillow_tells_it(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(corner_picture()), "JPEG", quality=95)
    path = tmp_path / "a.jpg"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(PhotoError, match="cut off"):
        load_rgb(str(path), 150)
    odd = bytearray(content)
    odd[len(odd) // 2 : len(odd) // 2 + 40] = bytes(40)  # decoders go on behind it
    for tolerated in (bytes(odd), content + b"more", content[:-2] + b"\0\0\xff\xd9"):
        path.write_bytes(tolerated)
        np.testing.assert_array_equal(load_rgb(str(path), 150), np.asarray(Image.open(path)))


def test_heic_is_upright_and_has_its_exif(tmp_path: Path) -> None:
    path = tmp_path / "phone.heic"
    path.write_bytes(HEIC)
    rgb = load_rgb("phone.heic", 150, tmp_path).astype(int)
    assert rgb.shape == (96, 144, 3)
    assert np.abs(rgb[5, 5] - (220, 40, 40)).max() < 8
    assert np.abs(rgb[[5, -5, -5], [-5, 5, -5]] - (40, 90, 160)).max() < 8
    seen = examine(io.BytesIO(HEIC), "phone.heic", LIMITS)
    assert (seen.exif.orientation, seen.exif.camera, seen.exif.taken_at) == (
        6,
        "Apple iPhone 12",
        datetime(2024, 6, 1, 9, 8, 7),
    )
    assert seen.header is not None
    assert seen.header.format == "HEIF"
    assert reason(HEIC[:500]) == "truncated"


def ramp() -> np.ndarray:
    return np.linspace(0, 65535, 313 * 471).reshape(313, 471)


@pytest.mark.parametrize(
    ("image", "kind", "first", "last"),
    [
        (Image.fromarray(ramp().astype(np.uint16)), "PNG", (0, 0, 0), (255, 255, 255)),
        (Image.fromarray(np.full((313, 471), 200, np.uint16)), "PNG", (1, 1, 1), (1, 1, 1)),
        (Image.fromarray(ramp().astype(np.int32)), "TIFF", (0, 0, 0), (255, 255, 255)),
        (Image.fromarray((ramp() / 65535).astype(np.float32)), "TIFF", (0, 0, 0), (255, 255, 255)),
        (Image.new("L", (471, 313), 77), "JPEG", (77, 77, 77), (77, 77, 77)),
        (Image.new("1", (471, 313), 1), "PNG", (255, 255, 255), (255, 255, 255)),
        (Image.new("CMYK", (471, 313), (0, 255, 255, 0)), "TIFF", (255, 0, 0), (255, 0, 0)),
        (Image.new("RGBA", (471, 313), (10, 20, 30, 255)), "PNG", (10, 20, 30), (10, 20, 30)),
        (Image.new("RGBA", (471, 313), (10, 20, 30, 0)), "PNG", (255, 255, 255), (255, 255, 255)),
        (Image.new("LA", (471, 313), (9, 0)), "PNG", (255, 255, 255), (255, 255, 255)),
    ],
    ids=lambda value: f"{value.mode}" if isinstance(value, Image.Image) else "",
)
def test_every_kind_of_pixel_becomes_rgb(
    tmp_path: Path, image: Image.Image, kind: str, first: tuple, last: tuple
) -> None:
    path = tmp_path / "a"
    path.write_bytes(encoded(image, kind))
    rgb = load_rgb(str(path), 150)
    assert (rgb.shape, rgb.dtype) == ((313, 471, 3), np.uint8)
    assert tuple(rgb[0, 0]) == first
    assert tuple(rgb[-1, -1]) == last
    assert reason(path.read_bytes()) == ""


def test_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (471, 313), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    (tmp_path / "plain.png").write_bytes(encoded(image, "PNG"))
    (tmp_path / "clear.png").write_bytes(encoded(image, "PNG", transparency=1))
    assert tuple(load_rgb("plain.png", 150, tmp_path)[0, 0]) == (10, 200, 30)
    assert tuple(load_rgb("clear.png", 150, tmp_path)[0, 0]) == (255, 255, 255)


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (313, 471, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_cut_off_files_are_found_out(kind: str) -> None:
    data = encoded(noise(), kind)
    assert reason(data) == ""
    for length in (20, 100, len(data) // 2, len(data) - 100):
        assert reason(data[:length]) == "truncated", length


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def tiff_that_claims(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("L", (100, 80)), "TIFF"))
    start = struct.unpack("<I", data[4:8])[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack("<H", data[start : start + 2])[0], 12):
        tag = struct.unpack("<H", data[entry : entry + 2])[0]
        if tag in (256, 257):
            data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, width if tag == 256 else height)
    return bytes(data)


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("L", (100, 80)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_that_claims(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("RGB", (100, 80)), "WEBP", lossless=True))
    start = data.index(b"VP8L") + 9
    data[start : start + 4] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty_file"),
        (b"this is a note to myself", "not_an_image"),
        (b"GIF89a" + bytes(40), "not_an_image"),
        (png_that_claims(50_000, 50_000), "decompression_bomb"),
        (tiff_that_claims(60_000, 60_000), "decompression_bomb"),
        (jpeg_that_claims(60_000, 60_000), "decompression_bomb"),
        (webp_that_claims(16_000, 16_000), "decompression_bomb"),
        (png_that_claims(20_000, 2_000), "too_large"),
        (jpeg_that_claims(2_000, 20_000), "too_large"),
        (png_that_claims(471, 63), "too_small"),
    ],
)
def test_bad_files_have_their_reason(data: bytes, expected: str) -> None:
    assert reason(data) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reads the address space of this process from /proc")
def test_a_bomb_takes_no_memory() -> None:
    reason(webp_that_claims(100, 80))

    def peak_kb() -> int:
        return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))

    before = peak_kb()
    for bomb in (png_that_claims(50_000, 50_000), tiff_that_claims(60_000, 60_000), webp_that_claims(16_000, 16_000)):
        reason(bomb)
    assert peak_kb() - before < 50_000


def test_load_rgb_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_that_claims(50_000, 50_000))
    with pytest.raises(PhotoError, match=r"bomb\.png claims to be 50000 x 50000 px.*150") as caught:
        load_rgb("bomb.png", 150, tmp_path)
    assert caught.value.reason == "decompression_bomb"
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message
    with pytest.raises(PhotoError, match=r"gone\.jpg cannot be read") as caught:
        load_rgb("gone.jpg", 150, tmp_path)
    assert caught.value.reason == "unreadable"


def test_larger_photos_are_read_when_the_setting_allows_it() -> None:
    wide = encoded(Image.new("L", (20_000, 70), 9), "PNG")
    assert reason(wide) == "too_large"
    assert examine(io.BytesIO(wide), "a", Limits(25_000, 150, 64)).reason == ""


def test_quality_of_a_chessboard_and_of_a_plain_picture() -> None:
    plain = measure(Image.new("RGB", (471, 313), (51, 51, 51)))
    assert (plain.sharpness, plain.contrast, plain.clipped_fraction) == (0, 0, 0)
    assert plain.exposure == pytest.approx(0.2)
    rows, columns = np.indices((313, 471))
    board = measure(Image.fromarray(((rows + columns) % 2 * 255).astype(np.uint8)))
    # Each inner pixel differs from all four neighbours by 255, so the Laplacian is +-1020 and its variance about 1020 squared.
    assert board.sharpness == pytest.approx(1020**2, rel=1e-4)
    assert (board.contrast, board.exposure) == (pytest.approx(0.5, rel=1e-4), pytest.approx(0.5, rel=1e-2))
    assert board.clipped_fraction == 1


def test_reduced_decoding_measures_the_same() -> None:
    from PIL import ImageFilter

    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (150, 225, 3), dtype=np.uint8)).resize(
        (1800, 1200), Image.Resampling.BICUBIC
    )
    data = encoded(image.filter(ImageFilter.GaussianBlur(1)), "JPEG", quality=92)
    reduced, full = examine(io.BytesIO(data), "a", LIMITS).quality, measure(Image.open(io.BytesIO(data)).convert("RGB"))
    assert reduced is not None
    assert reduced.sharpness == pytest.approx(full.sharpness, rel=0.1)
    assert reduced.exposure == pytest.approx(full.exposure, abs=0.01)
    assert reduced.contrast == pytest.approx(full.contrast, abs=0.01)


def with_exif(
    tags: dict[int, object], gps: dict[int, object] | None = None, details: dict[int, object] | None = None
) -> bytes:
    exif = Image.Exif()
    exif.update(tags)
    exif.get_ifd(0x8825).update(gps or {})
    exif.get_ifd(0x8769).update(details or {})
    return encoded(Image.new("RGB", (471, 313)), "JPEG", exif=exif)


def exif_of(data: bytes) -> Exif:
    return examine(io.BytesIO(data), "a", LIMITS).exif


def test_exif_time_prefers_the_shutter() -> None:
    assert exif_of(
        with_exif({0x132: "2020:01:01 00:00:01"}, details={0x9003: "2010:07:02 14:07:16"})
    ).taken_at == datetime(2010, 7, 2, 14, 7, 16)
    assert exif_of(with_exif({0x132: "2020:01:01 00:00:01"})).taken_at == datetime(2020, 1, 1, 0, 0, 1)
    assert exif_of(with_exif({0x132: "0000:00:00 00:00:00"})).taken_at is None


@pytest.mark.parametrize(
    ("gps", "place"),
    [
        ({1: "N", 2: (37.0, 43.0, 12.0), 3: "E", 4: (20.0, 52.0, 30.0)}, (37.72, 20.875)),
        ({1: "S", 2: (12.0, 30.0, 0.0), 3: "W", 4: (68.0, 15.0, 0.0)}, (-12.5, -68.25)),
        ({1: "N", 2: (97.0, 0.0, 0.0), 3: "E", 4: (20.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}, (None, None)),
        ({2: (37.0, 0.0, 0.0), 4: (20.0, 0.0, 0.0)}, (None, None)),
    ],
)
def test_exif_place(gps: dict[int, object], place: tuple) -> None:
    exif = exif_of(with_exif({}, gps))
    assert (exif.latitude_deg, exif.longitude_deg) == pytest.approx(place)


def test_camera_names_the_make_once() -> None:
    assert exif_of(with_exif({0x10F: "Canon\0 ", 0x110: "Canon EOS R5"})).camera == "Canon EOS R5"
    assert exif_of(with_exif({0x10F: "OLYMPUS", 0x110: "TG-6"})).camera == "OLYMPUS TG-6"


def test_broken_exif_does_not_cost_the_photo() -> None:
    data = encoded(Image.new("RGB", (471, 313)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff nonsense")
    assert reason(data) == ""


def test_pixels_come_out_the_same_whatever_the_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.random.default_rng(4).integers(0, 256, (471, 313, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    for rows in (1, 100, 471, 1000):
        monkeypatch.setattr("resight.ingest.pixels.BAND_ROWS", rows)
        decoded = load_rgb("photo.png", 150, tmp_path)
        assert np.array_equal(decoded, rgb) and decoded.flags.writeable
