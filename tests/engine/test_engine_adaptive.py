"""Early exit and pruning decide as kornia does; halving ends where full matching ends."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from resight.errors import WeightsError
from resight.match.engine.engine import LightGlueEngine

DEPTH = {"depth_confidence": 0.6, "width_confidence": -1}
WIDTH = {"depth_confidence": -1, "width_confidence": 0.45}
BOTH = {"depth_confidence": 0.8, "width_confidence": 0.55}


def _adaptive_model(random_model, shape, conf, bias):
    """Token biases that rise layer by layer, so that pairs stop at different layers and some points go on."""
    model = copy.deepcopy(random_model(shape, dtype=torch.float64, **conf))
    with torch.no_grad():
        for i, token in enumerate(model.model.token_confidence):
            token.token[0].weight.normal_(std=1.5 * shape.width**-0.5, generator=torch.Generator().manual_seed(i))
            token.token[0].bias.fill_(bias + 0.8 * i)
        for head in model.model.log_assignment:
            head.matchability.weight.mul_(6)
            head.matchability.bias.fill_(0.5)
    return model


@pytest.mark.parametrize("conf", [DEPTH, WIDTH, BOTH], ids=["depth", "width", "both"])
@pytest.mark.parametrize("bias", [0.5, 1.5, 3.0])
def test_adaptive_equals_kornia(random_model, photos_of, encode_all, conf, bias, adaptive_shape):
    model = _adaptive_model(random_model, adaptive_shape, conf, bias)
    engine = LightGlueEngine.from_state_dict(model.state, dtype=torch.float64)
    for counts in ([90, 60], [40, 90], [1, 30], [0, 20]):
        a, b = photos_of(adaptive_shape, counts, seed=counts[0])
        want = model(a, b)
        got = engine.match_adaptive(*encode_all(engine, [a, b]), conf["depth_confidence"], conf["width_confidence"])
        assert got.stop == want["stop"]
        assert np.array_equal(got.prune_a, want["prune0"][0].long().numpy()) and np.array_equal(
            got.prune_b, want["prune1"][0].long().numpy()
        )
        full = np.zeros(counts[0])
        full[got.index_a] = got.confidence
        assert np.allclose(full, want["matching_scores0"][0].numpy(), rtol=0, atol=1e-7)
        strong = got.confidence > 0.1
        assert np.array_equal(
            np.stack([got.index_a, got.index_b], 1)[strong], want["matches"][0].numpy().reshape(-1, 2)
        )


def test_adaptivity_is_exercised(random_model, photos_of, encode_all, adaptive_shape):
    """The comparison above covers stops at several layers, and pruning of some points but not all."""
    stops, pruned = set(), set()
    for bias in (0.5, 1.5, 3.0):
        engine = LightGlueEngine.from_state_dict(_adaptive_model(random_model, adaptive_shape, BOTH, bias).state)
        a, b = encode_all(engine, photos_of(adaptive_shape, [90, 60], seed=90))
        result = engine.match_adaptive(a, b, 0.8, 0.55)
        stops.add(result.stop)
        pruned |= set(result.prune_a.tolist())
        assert engine.match_adaptive(a, b, 0.8, 0.55, min_keypoints=90).prune_a.max() == 1
    assert len(stops) >= 2 and len(pruned) >= 3


def test_without_inner_heads_there_is_no_early_exit(small, random_model, photos_of, encode_all):
    state = {k: v for k, v in random_model(small).state.items() if "token_confidence" not in k}
    engine = LightGlueEngine.from_state_dict(state)
    a, b = encode_all(engine, photos_of(small, [20, 20]))
    with pytest.raises(WeightsError, match="Early exit needs token"):
        engine.match_adaptive(a, b, 0.9, -1)
    engine.match_adaptive(a, b, -1, 0.9)
    headless = LightGlueEngine.from_state_dict({k: v for k, v in state.items() if "log_assignment.1" not in k})
    with pytest.raises(WeightsError, match="layer 2"):
        headless.match_adaptive(a, b, -1, 0.9)
    with pytest.raises(WeightsError, match="layer 2"):
        headless.match_halving(a, [b], [(2, 0.5)])


@pytest.mark.parametrize(("kernel", "batch_size"), [("blocked", None), ("sdpa", 3), ("blocked", 2)])
def test_halving_ends_where_full_matching_ends(random_model, photos_of, encode_all, kernel, batch_size, adaptive_shape):
    engine = LightGlueEngine.from_state_dict(
        random_model(adaptive_shape, dtype=torch.float64).state, dtype=torch.float64, kernel=kernel
    )
    related, strangers = (
        photos_of(adaptive_shape, [50, 40, 45, 0]),
        photos_of(adaptive_shape, [50, 30, 44, 60, 20], seed=9),
    )
    query, *gallery = encode_all(engine, related + strangers)
    got = engine.match_halving(query, gallery, [(1, 0.5), (3, 0.5)], batch_size)
    assert np.bincount(got.layers, minlength=5).tolist() == [1, 3, 0, 2, 2]
    assert got.layers[2] == 0 and got.confidence_sum[2] == 0
    for i in np.flatnonzero(got.layers == 4):
        full = engine.match([query], [gallery[i]]).confidence[0]
        assert np.allclose(got.confidences[i], full, rtol=0, atol=1e-6)
        assert got.confidence_sum[i] == pytest.approx(float(full.sum()), rel=1e-9)
        if batch_size is None:
            assert got.confidence_sum[i] == float(full.double().sum())
    assert set(got.order[:2]) == set(np.flatnonzero(got.layers == 4)) == {0, 1}


def test_halving_refuses_odd_rounds(random_model, photos_of, encode_all, adaptive_shape):
    engine = LightGlueEngine.from_state_dict(random_model(adaptive_shape).state)
    query, one = encode_all(engine, photos_of(adaptive_shape, [10, 10]))
    for keep in ([(3, 0.5), (1, 0.5)], [(2, 0.0)], [(4, 0.5)], [(2, 1.5)]):
        with pytest.raises(ValueError, match="layers must rise"):
            engine.match_halving(query, [one], keep)
    assert engine.match_halving(query, [], [(2, 0.5)]).order.tolist() == []


@pytest.mark.parametrize(("kernel", "batch_size"), [("blocked", None), ("sdpa", 3)])
def test_halving_may_put_a_candidate_first(random_model, photos_of, encode_all, kernel, batch_size, adaptive_shape):
    state = random_model(adaptive_shape, dtype=torch.float64).state
    engine = LightGlueEngine.from_state_dict(state, dtype=torch.float64, kernel=kernel)
    query, *gallery = encode_all(engine, photos_of(adaptive_shape, [50, 40, 45, 0, 30, 60]))
    first = [True, False, True, True, True]
    got = engine.match_halving(query, gallery, [(1, 0.9)], batch_size, gallery_first=first)
    assert np.bincount(got.layers).tolist() == [1, 0, 0, 0, 4]
    for i in np.flatnonzero(got.layers == 4):
        order = ([gallery[i]], [query]) if first[i] else ([query], [gallery[i]])
        full = engine.match(*order).confidence[0].float().numpy()
        assert full.max() > 0.1 and got.confidences[i].shape == full.shape
        np.testing.assert_allclose(got.confidences[i], full, rtol=0, atol=0 if batch_size is None else 1e-6)
