"""Photos turned upright, and decoded into the same memory one after the other, have their own pixels to the last bit."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from resight.ingest.decode import PixelBuffer, load_rgb
from resight.ingest.reasons import PhotoError


def stored(path: Path, seed: int, size_wh: tuple[int, int] = (150, 100), orientation: int = 1) -> str:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size_wh[::-1], 3), np.uint8)
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(pixels).save(path, "JPEG", exif=exif)
    return str(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_pillow_turns_it(tmp_path: Path, orientation: int) -> None:
    path = stored(tmp_path / "a.jpg", 0, orientation=orientation)
    rgb = load_rgb(path, 150)
    np.testing.assert_array_equal(rgb, np.asarray(ImageOps.exif_transpose(Image.open(path))))
    assert rgb.flags.c_contiguous


def test_photos_in_one_buffer_have_their_own_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ((150, 100), (400, 300), (300, 310), (150, 100))
    files = [stored(tmp_path / f"{k}.jpg", k, size) for k, size in enumerate(sizes)]
    buffer, seen = PixelBuffer(), []
    for file in files:
        seen.append(load_rgb(file, 150, buffer=buffer))
        np.testing.assert_array_equal(seen[-1], load_rgb(file, 150))
    assert np.shares_memory(seen[1], seen[3])
    whole = Path(files[1]).read_bytes()
    Path(files[1]).write_bytes(whole[:-500])
    with pytest.raises(PhotoError, match="cut off"):
        load_rgb(files[1], 150, buffer=buffer)
    monkeypatch.setattr("resight.ingest.decode.MOST_BYTES_KEPT", 1000)
    apart = load_rgb(files[2], 150, buffer=buffer)
    assert not np.shares_memory(apart, seen[3])
    np.testing.assert_array_equal(apart, load_rgb(files[2], 150))
