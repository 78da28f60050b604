"""Whether descriptors are bits is said by the features, not by the name of their family."""

from typing import ClassVar

import cv2
import numpy as np
import pytest

from resight.extract.kinds.orb import OrbParams
from resight.extract.kinds.sift import SiftParams
from resight.match.kinds.nearest import NearestParams
from resight.shortlist.params import ShortlistParams
from resight.weights.store import WeightStore


class OtherBits(OrbParams):
    """ORB under another family."""

    family: ClassVar[str] = "other-bits"


def test_bits_of_an_unknown_family_are_matched_by_hamming_distance(store: WeightStore) -> None:
    rng = np.random.default_rng(3)
    grey = cv2.GaussianBlur(rng.integers(0, 256, (471, 313), dtype=np.uint8), (0, 0), 3)
    rgb = np.dstack([cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX)] * 3)
    turned = cv2.warpAffine(rgb, cv2.getRotationMatrix2D((156, 235), 12, 0.9), (313, 471))
    results = []
    for params in (OrbParams(max_keypoints=300), OtherBits(max_keypoints=300)):
        extractor = params.build(store)
        a, b = extractor.extract(rgb, None), extractor.extract(turned, None)
        assert a.binary and params.binary
        results.append(NearestParams().build(store, params.family, "cpu").match(a, b))
    known, other = results
    assert (known.n_matches, known.n_inliers) == (other.n_matches, other.n_inliers)
    assert known.n_inliers > 40
    np.testing.assert_array_equal(known.confidence, other.confidence)


@pytest.mark.parametrize(("extractor", "reads"), [(OrbParams(), False), (OtherBits(), False), (SiftParams(), True)])
def test_bits_cannot_vote_for_themselves(extractor: OrbParams | SiftParams, reads: bool) -> None:
    assert ShortlistParams(descriptors="own").accepts(extractor) is reads
    assert ShortlistParams(descriptors="sift").accepts(extractor)
