"""What decides which of SIFT's keypoints stay."""

import cv2
import numpy as np
import pytest

from resight.extract.kinds.sift import SiftExtractor, SiftParams, root_sift


def test_large_structures_go_before_fine_texture_of_the_same_contrast():
    """Blobs of sigma 2 and of sigma 8, equally dark, a budget of half of what is found: contrast alone cannot tell them apart."""
    yy, xx = np.mgrid[:400, :400]
    grey = np.full((400, 400), 200.0)
    places = [(x, y) for x in range(40, 400, 64) for y in range(40, 400, 64)]
    for k, (x, y) in enumerate(places):
        sigma = 2.0 if k % 2 else 8.0
        grey -= 90 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    rgb = np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    few = {e: SiftExtractor(SiftParams(max_keypoints=18, size_exponent=e)).extract(rgb, None) for e in (0.0, 2.0)}
    assert (few[2.0].scale_px > 5).all() and (few[0.0].scale_px < 5).any()
    assert (np.diff(few[2.0].score) <= 0).all()  # strongest first, by the strength that decides


@pytest.mark.parametrize("blur", [0.0, 6.0])
def test_only_what_stays_is_described_and_to_the_last_bit_as_if_all_were(blur):
    """Blurred, all keypoints lie in octaves of the picture's own size or smaller, and OpenCV would not double it by itself."""
    grain = np.random.default_rng(3).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    rgb = cv2.resize(grain, (480, 360), interpolation=cv2.INTER_CUBIC)
    rgb = cv2.normalize(cv2.GaussianBlur(rgb, (0, 0), blur), None, 0, 255, cv2.NORM_MINMAX) if blur else rgb
    extractor = SiftExtractor(SiftParams(max_keypoints=40, contrast_threshold=0.005))
    kept = extractor.extract(rgb, None)
    points, every = extractor._sift.detectAndCompute(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), None)
    assert len(points) > 60 and len(kept) == 40
    assert any((p.octave & 255) == 255 for p in points) == (not blur)
    by_place = {(p.pt, round(p.angle, 4)): root_sift(every[i : i + 1])[0].astype(np.float16) for i, p in enumerate(points)}  # fmt: skip
    angles = np.degrees(kept.angle_rad) % 360
    for xy, angle, descriptor in zip(kept.xy_px, angles, kept.descriptors, strict=True):
        near = [
            d for (place, of), d in by_place.items() if np.allclose(place, xy, atol=1e-3) and abs(of - angle) < 0.01
        ]
        assert any(np.array_equal(d, descriptor) for d in near)
