"""The engine gives kornia's scores, whatever the batch and the padding."""

from __future__ import annotations

import shutil

import pytest
import torch

from resight.match.engine import attention
from resight.match.engine.batch import Side
from resight.match.engine.engine import LightGlueEngine

KERNELS = ("blocked", "sdpa")
COUNTS_A = [70, 1, 33, 0, 64, 70]
COUNTS_B = [50, 40, 0, 30, 70, 1]


def _engine(model, kernel, dtype=torch.float32) -> LightGlueEngine:
    return LightGlueEngine.from_state_dict(model.state, kernel=kernel, dtype=dtype)


def _ragged(photos_of, shape) -> tuple[list, list]:
    photos = photos_of(shape, COUNTS_A + COUNTS_B)
    return photos[: len(COUNTS_A)], photos[len(COUNTS_A) :]


def _rows(scores, photos) -> list[torch.Tensor]:
    """Confidences of each pair without the padding, which must be zero."""
    for row, photo in zip(scores.confidence, photos, strict=True):
        assert not row[len(photo["keypoints"]) :].any()
    return [row[: len(photo["keypoints"])] for row, photo in zip(scores.confidence, photos, strict=True)]


@pytest.mark.parametrize("kernel", KERNELS)
def test_float64_ragged_batch_equals_kornia_pair_by_pair(shape, random_model, photos_of, encode_all, kernel):
    model = random_model(shape, dtype=torch.float64)
    a, b = _ragged(photos_of, shape)
    engine = _engine(model, kernel, torch.float64)
    scores = engine.match(encode_all(engine, a), encode_all(engine, b))
    seen = []
    for row, partner, one, other in zip(_rows(scores, a), scores.partner, a, b, strict=True):
        want = model(one, other)
        assert torch.allclose(row, want["matching_scores0"][0], rtol=0, atol=1e-11)
        strong = want["matches0"][0] >= 0
        assert torch.equal(partner[: len(row)][strong], want["matches0"][0][strong])
        seen.append(row[row > 0])
    assert torch.cat(seen).median() > 0.05, "confidences so small that nothing could go wrong"


@pytest.mark.parametrize("kernel", KERNELS)
def test_float32_keeps_sums_and_flips_no_match(shape, random_model, photos_of, encode_all, kernel):
    model = random_model(shape)
    a, b = _ragged(photos_of, shape)
    engine = _engine(model, kernel)
    scores = engine.match(encode_all(engine, a), encode_all(engine, b))
    for row, one, other in zip(_rows(scores, a), a, b, strict=True):
        want = model(one, other)["matching_scores0"][0]
        assert torch.equal(row > 0, want > 0)
        assert abs(float(row.double().sum() - want.double().sum())) <= 1e-4 * float(want.double().sum())


@pytest.mark.parametrize("kernel", KERNELS)
def test_real_weights_and_photos(real_features, shared_weights, encode_all, kernel):
    from kornia.feature import LightGlue
    from safetensors.torch import load_file

    state = load_file(shared_weights / "xfeat_lighterglue_3layer.safetensors")
    model = LightGlue(
        None, input_dim=64, descriptor_dim=96, n_layers=3, num_heads=1, depth_confidence=-1, width_confidence=-1
    ).eval()
    model.load_state_dict(state)
    engine = LightGlueEngine.from_state_dict(state, kernel=kernel)
    encoded = encode_all(engine, real_features)
    pairs = [(0, 1), (1, 2), (0, 2)]
    scores = engine.match([encoded[i] for i, _ in pairs], [encoded[j] for _, j in pairs])
    for row, (i, j) in zip(scores.confidence, pairs, strict=True):
        sides = [
            {k: v[None] for k, v in real_features[p].items()} | {"image_size": torch.tensor([[471.0, 313.0]])}
            for p in (i, j)
        ]
        with torch.inference_mode():
            want = model({"image0": sides[0], "image1": sides[1]})["matching_scores0"][0]
        got = row[: len(want)]
        assert (want > 0.1).sum() >= 5, "these photos should match"
        assert torch.equal(got > 0.01, want > 0.01)
        assert abs(float(got.double().sum() - want.double().sum())) <= 1e-4 * float(want.double().sum())
        assert float((got - want).abs().max()) < 1e-3


@pytest.mark.parametrize("kernel", KERNELS)
def test_padding_content_and_batch_mates_do_not_matter(small, random_model, photos_of, encode_all, kernel):
    engine = _engine(random_model(small, dtype=torch.float64), kernel, torch.float64)
    a, b = (encode_all(engine, photos) for photos in _ragged(photos_of, small))
    plain = engine.match(a, b).confidence
    for fill in (1.0, 7.0, 1e3):
        assert torch.allclose(engine.match(a, b, fill=fill).confidence, plain, rtol=0, atol=1e-11)
    order = [4, 2, 0, 5, 3, 1]
    shuffled = engine.match([a[i] for i in order], [b[i] for i in order]).confidence
    assert torch.allclose(shuffled, plain[order], rtol=0, atol=1e-11)
    for i, (one, other) in enumerate(zip(a, b, strict=True)):
        alone = engine.match([one], [other]).confidence[0]
        assert torch.allclose(alone, plain[i, : len(alone)], rtol=0, atol=1e-11)


def test_a_lost_mask_is_noticed(small, random_model, photos_of, encode_all, monkeypatch):
    """The tests above can fail: without key masks the scores of the short photos change plainly."""
    engine = _engine(random_model(small, dtype=torch.float64), "sdpa", torch.float64)
    a, b = (encode_all(engine, photos) for photos in _ragged(photos_of, small))
    plain = engine.match(a, b).confidence
    sdpa = attention._sdpa
    monkeypatch.setattr(
        attention, "_sdpa", lambda q, k, v, scale, keys: sdpa(q, k, v, scale, Side(keys.counts, keys.length, None))
    )
    assert float((engine.match(a, b).confidence - plain).abs().max()) > 1e-3


@pytest.mark.parametrize("small_pair", [0, 1 << 20])
def test_both_kernels_agree_on_uneven_large_pairs(small, random_model, photos_of, encode_all, monkeypatch, small_pair):
    monkeypatch.setattr(attention, "SMALL_PAIR", small_pair)
    monkeypatch.setattr(attention, "BLOCK_BYTES", 64 * 128 * 8)  # several blocks, and a rest
    model = random_model(small, dtype=torch.float64)
    a, b = photos_of(small, [333, 190])
    rows = []
    for kernel in KERNELS:
        engine = _engine(model, kernel, torch.float64)
        rows.append(engine.match(encode_all(engine, [a]), encode_all(engine, [b])).confidence[0])
    assert float(rows[0].max()) > 0.1
    assert torch.allclose(*rows, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("offset", "spread", "redone"), [(0.0, 0.0, False), (15.0, 0.0, False), (30.0, 40.0, True)])
def test_wide_similarities_neither_overflow_nor_vanish(offset, spread, redone, monkeypatch):
    """Powers of two reach 127 in float32; large similarities are shifted, very uneven ones done the careful way."""
    torch.manual_seed(0)
    k_a, k_b = torch.randn(2, 90, 16), torch.randn(2, 70, 16)
    k_a[:, :, 0] += offset
    k_b[:, :, 0] += offset + spread * torch.linspace(-1, 1, 70)
    v_a, v_b = torch.randn(2, 90, 16), torch.randn(2, 70, 16)
    careful = []
    sdpa = attention.F.scaled_dot_product_attention
    monkeypatch.setattr(
        attention.F, "scaled_dot_product_attention", lambda *args, **kw: careful.append(1) or sdpa(*args, **kw)
    )
    to_a, to_b = torch.empty(90, 32), torch.empty(70, 32)
    attention.cross_attend(k_a, k_b, v_a, v_b, to_a, to_b)
    assert bool(careful) == redone
    similarity = (k_a.double() @ k_b.double().transpose(1, 2)) * attention.LN_2
    for got, weights, values in (
        (to_a, similarity.softmax(-1), v_b),
        (to_b, similarity.transpose(1, 2).softmax(-1), v_a),
    ):
        want = (weights @ values.double()).transpose(0, 1).flatten(1)
        assert torch.allclose(got.double(), want, rtol=0, atol=2e-6 if not offset else 2e-3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_duplicate_keypoints_are_matched_once(small, random_model, photos_of, encode_all, kernel):
    """Two equal keypoints tie; which of them is matched is up to rounding, but never both."""
    model = random_model(small, dtype=torch.float64)
    a, b = photos_of(small, [20, 20])
    a = {k: torch.cat([v, v[:6]]) for k, v in a.items()}
    engine = _engine(model, kernel, torch.float64)
    scores, want = engine.match(encode_all(engine, [a]), encode_all(engine, [b])), model(a, b)["matching_scores1"][0]
    found = scores.partner[0] >= 0
    partners = scores.partner[0][found]
    assert len(partners) == len(partners.unique()) > 5
    from_b = torch.zeros_like(want).scatter_(0, partners, scores.confidence[0][found])
    assert torch.allclose(from_b, want, rtol=0, atol=1e-11)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on CPU")
def test_compiled_layers_agree_and_serve_all_counts_of_a_shape(random_model, photos_of, encode_all, adaptive_shape):
    from torch._dynamo.utils import counters

    model = random_model(adaptive_shape)
    plain, compiled = (LightGlueEngine.from_state_dict(model.state, kernel="sdpa", compiled=c) for c in (False, True))
    graphs = []
    for counts in ([64, 50], [64, 33], [20, 64]):
        photos = encode_all(plain, photos_of(adaptive_shape, counts))
        got, want = (engine.match(photos, photos[::-1]).confidence for engine in (compiled, plain))
        assert torch.allclose(got, want, rtol=0, atol=1e-4) and want.max() > 0.1
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[2]


def test_bfloat16_is_close_and_says_so(small, random_model, photos_of, encode_all):
    model = random_model(small)
    a, b = photos_of(small, [60, 45])
    engine = LightGlueEngine.from_state_dict(model.state, dtype=torch.bfloat16)
    assert engine.precision == "bfloat16"
    total = float(engine.match(encode_all(engine, [a]), encode_all(engine, [b])).confidence.double().sum())
    assert total == pytest.approx(float(model(a, b)["matching_scores0"].double().sum()), rel=0.2)
    assert LightGlueEngine.from_state_dict(model.state).precision == "float32"


def test_encode_refuses_what_does_not_fit(small, random_model):
    engine = _engine(random_model(small), "blocked")
    xy, descriptors, ones = torch.rand(4, 2) * 300, torch.rand(4, small.input_dim), torch.ones(4)
    with pytest.raises(ValueError, match="outside the picture"):
        engine.encode(xy + 400, descriptors, (471, 313), ones, ones)
    with pytest.raises(ValueError, match="scales and orientations"):
        engine.encode(xy, descriptors, (471, 313))
    with pytest.raises(ValueError, match="expected"):
        engine.encode(xy, descriptors[:, 1:], (471, 313), ones, ones)
    with pytest.raises(ValueError, match="blocked"):
        LightGlueEngine.from_state_dict(random_model(small).state, kernel="blocked", dtype=torch.bfloat16)
