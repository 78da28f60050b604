"""The network before and after training is a LightGlue like any other; before, it is mutual nearest neighbours."""

import numpy as np
import pytest
import torch
from safetensors.torch import load

from resight.errors import WeightsError
from resight.match.engine.engine import LightGlueEngine
from resight.train.matcher.loss import found_matches
from resight.train.matcher.network import Shape, Sides, start
from resight.train.matcher.weights import from_tensors, to_bytes


def unit(generator, *size):
    t = torch.rand(*size, 128, generator=generator, dtype=torch.float64)
    return t / t.norm(dim=-1, keepdim=True)


def sides(descriptors, generator, n=None):
    b, length = descriptors.shape[:2]
    places = torch.rand(b, length, 4, generator=generator, dtype=descriptors.dtype) * 2 - 1
    mask = torch.arange(length)[None] < torch.tensor(n if n is not None else [length] * b)[:, None]
    return Sides(descriptors, places, mask)


def shaken(net, seed=3):
    """Weights as if trained: every block does something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.03)
    return net


def mutual_nearest(a, b):
    similarity = a @ b.T
    first, back = similarity.argmax(1), similarity.argmax(0)
    index = torch.arange(len(a))
    return torch.where(back[first] == index, first, -1)


@pytest.mark.parametrize("seed", range(4))
def test_untrained_it_is_exactly_mutual_nearest_neighbours(seed):
    generator = torch.Generator().manual_seed(seed)
    a, b = unit(generator, 1, 60), unit(generator, 1, 47)
    net = start(Shape(3), seed, temperature=1e5).double()
    for said in net(sides(a, generator), sides(b, generator)):
        partner, confidence = found_matches(said)
        told = torch.where(confidence > 0.5**2 / 2, partner, -1)
        assert torch.equal(told[0], mutual_nearest(a[0], b[0]))


def test_untrained_at_its_temperature_all_it_believes_in_are_mutual_nearest_neighbours():
    generator = torch.Generator().manual_seed(1)
    a = unit(generator, 1, 50)
    b = torch.nn.functional.normalize(a + 0.02 * torch.randn(a.shape, generator=generator, dtype=a.dtype), dim=-1)
    net = start(Shape(2), 0).double()
    partner, confidence = found_matches(net(sides(a, generator), sides(b, generator))[-1])
    told = confidence[0] > 0.5**2 / 2
    assert told.sum() > 30
    assert torch.equal(partner[0][told], mutual_nearest(a[0], b[0])[told])
    said = net(sides(a, generator), sides(b, generator))[-1]
    rows = 44.0 * (a[0] @ b[0].T)
    expected = rows.log_softmax(1) + rows.log_softmax(0) + 2 * np.log(0.5)
    assert torch.allclose(said.log_p[0], expected, atol=1e-5)


def test_padding_changes_nothing():
    generator = torch.Generator().manual_seed(2)
    net = shaken(start(Shape(2), 0)).double()
    a, b = unit(generator, 3, 20), unit(generator, 3, 30)
    one, two = sides(a, generator, [20, 11, 7]), sides(b, generator, [30, 9, 25])
    together = net(one, two)[-1].log_p
    for row, (n, m) in enumerate(((20, 30), (11, 9), (7, 25))):
        cut = [Sides(s.descriptors[row : row + 1, :k], s.positions[row : row + 1, :k], s.mask[row : row + 1, :k]) for s, k in ((one, n), (two, m))]  # fmt: skip
        assert torch.allclose(together[row, :n, :m], net(*cut)[-1].log_p[0], atol=1e-10)
        assert (together[row, n:] < -1e30).all() and (together[row, :, m:] < -1e30).all()


def test_it_loads_strictly_into_kornia_and_the_engine_and_says_the_same():
    from kornia.feature import LightGlue

    generator = torch.Generator().manual_seed(5)
    shape = Shape(3, 160, 2)
    net = shaken(start(shape, 0))
    reference = LightGlue(
        None, input_dim=128, descriptor_dim=160, n_layers=3, num_heads=2, add_scale_ori=True,
        depth_confidence=-1, width_confidence=-1, filter_threshold=0.0, flash=False,
    ).eval()  # fmt: skip
    missing, unknown = reference.load_state_dict(net.state_dict(), strict=False)
    assert unknown == []
    assert all(key.startswith(("token_confidence.", "confidence_thresholds")) for key in missing)
    engine = LightGlueEngine.from_state_dict(net.state_dict())
    assert all(engine.arch.trained_heads) and all(engine.arch.assignment_heads)
    size, photos = torch.tensor([[313.0, 471.0]]), []
    for n in (40, 33):
        xy = torch.rand(n, 2, generator=generator) * size
        sigma, angle = torch.rand(n, generator=generator) * 8, torch.rand(n, generator=generator)
        photos.append((xy, unit(generator, n).float(), sigma, angle))
    inputs = [{"keypoints": xy[None], "descriptors": d[None], "scales": s[None], "oris": o[None], "image_size": size} for xy, d, s, o in photos]  # fmt: skip
    with torch.no_grad():
        expected = reference({"image0": inputs[0], "image1": inputs[1]})["matching_scores0"][0]
        places = [torch.cat([(xy - size / 2) / (size.max() / 2), s[:, None], o[:, None]], 1) for xy, _, s, o in photos]
        own = [Sides(d[None], p[None], torch.ones(1, len(d), dtype=torch.bool)) for (_, d, _, _), p in zip(photos, places, strict=True)]  # fmt: skip
        _, confidence = found_matches(net(*own)[-1])
    assert expected.max() > 0.01
    assert torch.allclose(confidence[0], expected, atol=1e-5)
    encoded = [engine.encode(xy, d, (313.0, 471.0), s, o) for xy, d, s, o in photos]
    match = engine.match_pair(*encoded)
    assert np.allclose(match.confidence, expected[match.index_a].numpy(), atol=1e-5)


def test_weights_come_back_from_half_precision_and_foreign_ones_are_refused():
    net = shaken(start(Shape(2), 0))
    state = load(to_bytes(net.state_dict()))
    assert {t.dtype for t in state.values()} == {torch.float16}
    again = from_tensors(state, "x").state_dict()
    assert all(torch.allclose(value, again[key], atol=2e-2) for key, value in net.state_dict().items())
    with pytest.raises(WeightsError, match="width 64"):
        from_tensors(start(Shape(2, 96, 1, 64), 0).state_dict(), "narrow")
    with pytest.raises(ValueError, match="above 128"):
        start(Shape(2, 128, 2), 0)
    with pytest.raises(WeightsError, match="misses"):
        from_tensors({k: v for k, v in state.items() if "log_assignment.1" not in k}, "cut")
