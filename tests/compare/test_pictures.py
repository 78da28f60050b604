"""Methods that look at two pictures together: each pair once, SSIM and LoFTR."""

import numpy as np
import pytest
import torch

from resight.compare import pictures
from resight.compare.base import Family
from resight.compare.compare import compare_methods
from resight.compare.kinds import loftr, ssim
from resight.compare.kinds.loftr import LoftrParams
from resight.compare.kinds.ssim import SsimParams
from resight.errors import WeightsError
from resight.weights.store import WeightStore

STORE = WeightStore(allow_download=False)
ALL = np.ones((64, 80), bool)


def noise(seed, shape=(64, 80, 3)):
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def test_ssim_of_equal_and_of_opposite_pictures():
    comparer = ssim.SsimComparer(SsimParams(side_px=64), "cpu")
    one, other = comparer.prepare(noise(0), ALL), comparer.prepare(noise(1), ALL)
    assert comparer.compare(one, one) == pytest.approx(1.0)
    assert comparer.compare(one, other) == comparer.compare(other, one)
    assert 0 < comparer.compare(one, other) < 0.75
    flat = (torch.full((1, 1, 32, 32), v) for v in (0.2, 0.6))
    # no structure in either: (2 m1 m2 + c1) / (m1^2 + m2^2 + c1) with c1 = 1e-4
    assert comparer.compare(*flat) == pytest.approx((1 + 0.2401 / 0.4001) / 2, abs=1e-4)


def test_pairs_are_compared_once_whichever_way_they_come(trial, monkeypatch):
    compared = []
    plain = ssim.SsimComparer.compare
    monkeypatch.setattr(ssim.SsimComparer, "compare", lambda s, a, b: compared.append(1) or plain(s, a, b))
    monkeypatch.setattr(pictures.PictureMethod, "_timing", lambda *_: None)
    method = pictures.PictureMethod("ssim", "SSIM", Family.PIXELS, True, SsimParams(side_px=32, pairs_per_block=2))
    first = method.run(trial)
    wanted = {("a", "p"), ("b", "p"), ("a", "q"), ("b", "q"), ("a2", "r")}
    assert len(compared) == len(wanted)
    assert {pictures.ordered(r["query_crop_id"], r["gallery_crop_id"]) for r in first.scores.to_pylist()} == wanted
    again = method.run(trial)
    assert len(compared) == len(wanted) and again.scores.equals(first.scores)
    other = pictures.PictureMethod("ssim", "SSIM", Family.PIXELS, True, SsimParams(side_px=64))
    other.run(trial)
    assert len(compared) == 2 * len(wanted), "another size is another result"


def test_ssim_has_a_row(trial):
    method = pictures.PictureMethod("ssim", "SSIM", Family.PIXELS, True, SsimParams(side_px=32))
    (row,) = compare_methods(trial, [method]).rows
    assert row["status"] == "ok" and row["seconds_match"] > 0


def test_loftr_untrained_goes_the_whole_way():
    torch.manual_seed(0)
    comparer = loftr.LoftrComparer(LoftrParams(weights="", side_px=64), STORE, "cpu")
    one = comparer.prepare(noise(0), ALL)
    wide = comparer.prepare(noise(1, (30, 90, 3)), np.ones((30, 90), bool))
    assert one.maps["coarse"].shape[2:] == (8, 8) and one.inside.shape == (64, 64)
    assert not one.inside[:, 52:].any() or one.inside[:51].all()
    for a, b in ((one, one), (one, wide), (wide, one)):
        assert comparer.compare(a, b) >= 0


def test_loftr_counts_only_what_lies_on_both_animals(monkeypatch):
    comparer = loftr.LoftrComparer(LoftrParams(weights="", side_px=64), STORE, "cpu")
    half = np.zeros((64, 64), bool)
    half[:, :32] = True
    found = {
        "keypoints0": torch.tensor([[8.0, 8.0], [40.0, 8.0], [8.0, 8.0], [16.0, 16.0]]),
        "keypoints1": torch.tensor([[40.0, 8.0], [40.0, 8.0], [8.0, 8.0], [31.9, 63.9]]),
        "confidence": torch.tensor([0.9, 0.8, 0.7, 0.5]),
    }
    monkeypatch.setattr(comparer._net, "forward", lambda data: found)
    whole = np.ones((64, 64), bool)
    assert comparer.compare(loftr.Prepared({}, whole), loftr.Prepared({}, whole)) == pytest.approx(2.9)
    assert comparer.compare(loftr.Prepared({}, half), loftr.Prepared({}, whole)) == pytest.approx(2.1)
    assert comparer.compare(loftr.Prepared({}, half), loftr.Prepared({}, half)) == pytest.approx(1.2)


def test_loftr_takes_its_weights_by_path_and_refuses_others(tmp_path):
    params = LoftrParams(weights="", side_px=64)
    torch.manual_seed(1)
    one = loftr.LoftrComparer(params, STORE, "cpu")
    state = {f"matcher.{k}": v for k, v in one._net.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "loftr.ckpt")
    other = loftr.LoftrComparer(params.model_copy(update={"weights": str(tmp_path / "loftr.ckpt")}), STORE, "cpu")
    for name, tensor in other._net.state_dict().items():
        assert torch.equal(tensor, state[f"matcher.{name}"])
    state.popitem()
    torch.save({"state_dict": state}, tmp_path / "part.ckpt")
    with pytest.raises(WeightsError, match="lacks"):
        loftr.LoftrComparer(params.model_copy(update={"weights": str(tmp_path / "part.ckpt")}), STORE, "cpu")


def test_loftr_without_weights_says_where_they_are(trial, no_weights):
    method = pictures.PictureMethod("loftr", "LoFTR", Family.DENSE, False, LoftrParams())
    (row,) = compare_methods(trial, [method]).rows
    assert row["status"] == "missing_weights"
    assert "loftr_outdoor.ckpt" in row["reason"] and "resight weights fetch loftr-outdoor" in row["reason"]


def test_pairs_come_in_tiles_that_fit_into_memory():
    crops = list("abcdefgh")
    pairs = {(a, b) for a in crops for b in crops if a < b}
    order = pictures.in_tiles(pairs, 2)
    assert len(order) == len(pairs) and set(order) == pairs
    held, read = [], 0
    for pair in order:
        for crop in pair:
            read += crop not in held
            held = [*[c for c in held if c != crop], crop][-4:]
    assert read <= 2 * (4 + 3 + 2 + 1) + 2 * 3, "two crops for each tile of the lower side, and the first of each row"
