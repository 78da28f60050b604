"""What every matcher promises, on crops that are not square and have different numbers of keypoints."""

from collections.abc import Callable

import numpy as np
import pytest

from resight.extract.base import Features
from resight.match.base import Matcher, PairMatch
from resight.match.kinds.lightglue import BUNDLED
from resight.match.params import MatcherBase
from resight.plugins.registry import MATCHERS
from resight.weights.store import WeightStore

FAMILY, DIM = "sift", 128
# A kind that can be built as it comes needs no line here.
SETTINGS = {"lightglue": {"weights": BUNDLED, "verify": {"model": "affine-graded"}}}
CASES = list(MATCHERS)
Planted = Callable[..., tuple[Features, Features, np.ndarray]]


@pytest.fixture(scope="module")
def built() -> Callable[[str], Matcher]:
    """Matcher by kind, built once."""
    kept: dict[str, Matcher] = {}

    def get(case: str) -> Matcher:
        if case not in kept:
            kept[case] = params_of(case).build(WeightStore(allow_download=False), FAMILY, "cpu")
        return kept[case]

    return get


def params_of(case: str) -> MatcherBase:
    params = MATCHERS[case](**SETTINGS.get(case, {}))
    assert isinstance(params, MatcherBase)
    return params


def same(one: PairMatch, other: PairMatch) -> None:
    for name in ("index_a", "index_b", "confidence", "inlier"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_settings_say_what_is_read_and_loaded(case: str) -> None:
    params = params_of(case)
    assert params.accepts(FAMILY)
    assert all(isinstance(name, str) for name in params.weight_names_for(FAMILY))


@pytest.mark.parametrize("case", CASES)
def test_matches_are_mutual_and_typed(case: str, built: Callable, planted: Planted) -> None:
    a, b, true = planted(90, 40, seed=7, dim=DIM)
    b = Features(
        *(getattr(b, n)[:80] for n in ("xy_px", "descriptors", "scale_px", "angle_rad", "score")), b.size_wh_px
    )
    before = a.descriptors.copy(), b.xy_px.copy()
    matcher = built(case)
    assert isinstance(matcher, Matcher)
    match = matcher.match(a, b)
    m = match.n_matches
    assert (match.n_a, match.n_b) == (90, 80)
    assert match.index_a.dtype == match.index_b.dtype == np.int32
    assert match.confidence.dtype == np.float32 and match.inlier.dtype == bool
    assert match.index_a.shape == match.index_b.shape == match.confidence.shape == match.inlier.shape == (m,)
    assert m > 0 and len(set(match.index_a.tolist())) == len(set(match.index_b.tolist())) == m
    assert match.index_a.max() < 90 and match.index_b.max() < 80 and match.index_a.min() >= 0 <= match.index_b.min()
    assert (match.confidence > 0).all() and (match.confidence <= 1).all()
    assert match.verified or not match.inlier.any()
    found = set(zip(match.index_a.tolist(), match.index_b.tolist(), strict=True))
    planted_pairs = {(int(i), int(j)) for i, j in true if j < 80}
    assert len(found & planted_pairs) >= 0.5 * len(found), "most of what it matches is the same point"
    np.testing.assert_array_equal(a.descriptors, before[0])
    np.testing.assert_array_equal(b.xy_px, before[1])


@pytest.mark.parametrize("case", CASES)
def test_a_pair_does_not_depend_on_others(case: str, built: Callable, planted: Planted) -> None:
    a, b, _ = planted(60, 30, seed=11, dim=DIM)
    c, d, _ = planted(45, 20, seed=21, dim=DIM)
    matcher = built(case)
    first = matcher.match(a, b)
    matcher.match(c, d)
    matcher.match(a, d)
    same(matcher.match(a, b), first)
    same(params_of(case).build(WeightStore(allow_download=False), FAMILY, "cpu").match(a, b), first)


@pytest.mark.parametrize("case", CASES)
def test_swapped_crops_swap_their_matches(case: str, built: Callable, planted: Planted) -> None:
    a, b, _ = planted(60, 30, seed=31, dim=DIM)
    there, back = built(case).match(a, b), built(case).match(b, a)
    forward = dict(zip(zip(there.index_a.tolist(), there.index_b.tolist(), strict=True), there.confidence, strict=True))
    turned = dict(zip(zip(back.index_b.tolist(), back.index_a.tolist(), strict=True), back.confidence, strict=True))
    assert forward.keys() == turned.keys()
    assert all(turned[pair] == pytest.approx(value, abs=1e-4) for pair, value in forward.items())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("n_a", "n_b"), [(0, 0), (0, 7), (7, 0), (1, 7)])
def test_few_keypoints_do_not_break_it(
    case: str, n_a: int, n_b: int, built: Callable, make_features: Callable[..., Features]
) -> None:
    match = built(case).match(make_features(n_a, 1, DIM), make_features(n_b, 2, DIM))
    assert (match.n_a, match.n_b) == (n_a, n_b)
    assert match.n_matches <= min(n_a, n_b)
