"""What decides which of SIFT's keypoints stay."""

import numpy as np

from resight.extract.kinds.sift import SiftExtractor, SiftParams


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
