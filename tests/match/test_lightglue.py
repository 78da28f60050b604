"""LightGlue from any checkpoint: architecture, strict loading, equality with kornia, both backends."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from kornia.feature import LightGlue
from safetensors.torch import load_file

from resight.errors import DeviceError, SettingsError, WeightsError
from resight.extract.base import Features
from resight.extract.kinds.xfeat import XFeatParams
from resight.match.base import Matcher, PairMatch
from resight.match.kinds.lightglue import LightGlueParams
from resight.match.lightglue import LightGlueMatcher, build_lightglue
from resight.match.params import VerifyParams
from resight.settings import settings_from
from resight.weights.store import WeightStore

Make = Callable[..., Features]
Planted = Callable[..., tuple[Features, Features, np.ndarray]]
SMALL = {"input_dim": 32, "descriptor_dim": 48, "n_layers": 3, "num_heads": 2}


@dataclass(frozen=True)
class OneFile(WeightStore):
    """A store that holds one state dict."""

    state: Any = None

    def state_dict(self, name: str) -> dict[str, torch.Tensor]:
        return dict(self.state)


def network(seed: int = 0, **conf: Any) -> LightGlue:
    torch.manual_seed(seed)
    model = LightGlue(
        None, **(SMALL | {"depth_confidence": -1, "width_confidence": -1, "filter_threshold": 0.0} | conf)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.7)  # larger than torch starts them, like trained ones
    return model.eval()


def build(model: LightGlue | dict[str, torch.Tensor], family: str = "xfeat", **params: Any) -> LightGlueMatcher:
    state = model if isinstance(model, dict) else model.state_dict()
    return build_lightglue(LightGlueParams(**{"backend": "kornia"} | params), OneFile(state=state), family, "cpu")


def direct(model: LightGlue, a: Features, b: Features) -> dict[str, torch.Tensor]:
    def side(f: Features) -> dict[str, torch.Tensor]:
        size = torch.tensor([f.size_wh_px], dtype=torch.float32)
        xy, descriptors = torch.tensor(f.xy_px)[None], torch.tensor(np.float32(f.descriptors))[None]
        return {"keypoints": xy, "descriptors": descriptors, "image_size": size}

    with torch.inference_mode():
        return model({"image0": side(a), "image1": side(b)})


def assert_equals_kornia(match: PairMatch, out: dict[str, torch.Tensor]) -> None:
    scores = out["matching_scores0"][0].numpy()
    mutual = np.flatnonzero(scores > 0)
    np.testing.assert_array_equal(match.index_a, mutual)
    np.testing.assert_array_equal(match.index_b, out["log_assignment"][0, :-1, :-1].argmax(1).numpy()[mutual])
    np.testing.assert_array_equal(match.confidence, scores[mutual])


def test_equals_kornia_bit_by_bit(planted: Planted) -> None:
    a, b, _ = planted(70, 40, seed=1)
    model = network()
    matcher = build(model)
    match = matcher.match(a, b)
    assert match.n_matches > 10
    assert_equals_kornia(match, direct(model, a, b))
    assert (match.confidence.dtype, match.n_inliers, match.verified) == (np.float32, 0, False)
    assert isinstance(matcher, Matcher)


def test_a_filter_threshold_would_only_hide_indices(planted: Planted) -> None:
    a, b, _ = planted(70, 40, seed=1)
    model = network()
    everything = direct(model, a, b)
    model.conf.filter_threshold = 0.1
    hidden = direct(model, a, b)
    assert torch.equal(everything["matching_scores0"], hidden["matching_scores0"])
    assert (hidden["matches0"] >= 0).sum() < (everything["matches0"] >= 0).sum()


def test_image_size_is_width_then_height(make_features: Make) -> None:
    """A keypoint in the lower part of a portrait crop: swapped, it would lie outside, and kornia would refuse it."""
    a, b = make_features(20, 1), make_features(30, 2, size_wh=(471, 313))
    a.xy_px[0], b.xy_px[0] = [10, 470], [470, 10]
    model = network()
    assert_equals_kornia(build(model).match(a, b), direct(model, a, b))


def test_a_point_a_hair_outside_is_moved_in_and_one_far_out_is_refused(make_features: Make) -> None:
    a, b = make_features(20, 1), make_features(20, 2)
    a.xy_px[0] = [-0.4, 471.3]
    assert build(network()).match(a, b).n_a == 20
    a.xy_px[0] = [471, 313]
    with pytest.raises(ValueError, match="outside their crop of 313 x 471"):
        build(network()).match(a, b)


@pytest.mark.parametrize(("n_a", "n_b"), [(0, 0), (0, 9), (9, 0), (1, 1), (1, 9)])
def test_none_and_one_keypoint(make_features: Make, n_a: int, n_b: int) -> None:
    match = build(network(), verify=VerifyParams()).match(make_features(n_a, 1), make_features(n_b, 2))
    assert (match.n_a, match.n_b, match.n_inliers, match.verified) == (n_a, n_b, 0, True)
    assert match.n_matches == min(1, n_a, n_b), "one keypoint alone always has a mutual partner"


def test_geometry_is_the_same_as_elsewhere(planted: Planted) -> None:
    a, b, _ = planted(80, 80, seed=6)
    loose = build(network(), verify=VerifyParams(model="homography", threshold_px=300)).match(a, b)
    assert loose.verified and loose.n_inliers > 0.9 * loose.n_matches


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"n_layers": 1, "num_heads": 1},
        {"n_layers": 5, "descriptor_dim": 64, "num_heads": 4},
        {"input_dim": 48, "num_heads": 3},  # no input_proj
    ],
)
def test_architecture_is_read_from_the_file(conf: dict[str, int], make_features: Make) -> None:
    model = network(**conf)
    found = build(model).architecture
    for key, value in (SMALL | conf).items():
        assert getattr(found, key) == value, key
    dim = (SMALL | conf)["input_dim"]
    a, b = make_features(40, 1, dim), make_features(30, 2, dim)
    assert_equals_kornia(build(model).match(a, b), direct(model, a, b))


def test_scale_and_orientation_reach_the_network(make_features: Make) -> None:
    model = network(add_scale_ori=True)
    matcher = build(model, family="doghardnet")
    assert matcher.architecture.add_scale_ori
    a, b = make_features(40, 1), make_features(30, 2)
    turned = Features(a.xy_px, a.descriptors, a.scale_px, a.angle_rad + 1, a.score, a.size_wh_px)
    larger = Features(a.xy_px, a.descriptors, a.scale_px * 2, a.angle_rad, a.score, a.size_wh_px)
    plain = matcher.match(a, b).confidence.tobytes()
    assert plain != matcher.match(turned, b).confidence.tobytes()
    assert plain != matcher.match(larger, b).confidence.tobytes()


@pytest.mark.parametrize(("family", "module"), [("sift", "sift"), ("doghardnet", "hardnet")])
def test_scale_and_orientation_follow_the_extractor(make_features: Make, family: str, module: str) -> None:
    a = make_features(40, 1)
    inputs = build(network(add_scale_ori=True), family=family)._inputs(a)
    scale, orientation = importlib.import_module(f"resight.extract.kinds.{module}").lightglue_scale_ori(a)
    np.testing.assert_array_equal(inputs["scales"][0], scale)
    np.testing.assert_array_equal(inputs["oris"][0], orientation)


def test_no_convention_for_scale_and_orientation_is_an_error() -> None:
    with pytest.raises(SettingsError, match="scale and orientation, which xfeat keypoints do not have"):
        build(network(add_scale_ori=True), family="xfeat")


def test_affine_frames_are_refused() -> None:
    with pytest.raises(WeightsError, match="encodes 6 numbers per keypoint"):
        build(network(add_laf=True), weights="custom_xfeat.pth")


def test_names_of_older_and_of_training_checkpoints(planted: Planted) -> None:
    a, b, _ = planted(50, 30, seed=2)
    model = network()
    old = {k.replace("transformers.", "", 1) if "attn" in k else k: v for k, v in model.state_dict().items()}
    old = {
        f"{k.split('.')[1]}.{k.split('.')[0]}.{k.split('.', 2)[2]}" if k[0].isdigit() else k: v for k, v in old.items()
    }
    assert "self_attn.0.Wqkv.weight" in old
    training = {f"matcher.{k}": v for k, v in old.items()} | {"extractor.conv.weight": torch.zeros(3)}
    expected = build(model).match(a, b).confidence
    for state in (old, training):
        np.testing.assert_array_equal(build(state).match(a, b).confidence, expected)


def test_strict_loading() -> None:
    state = network().state_dict()
    without = {k: v for k, v in state.items() if k != "transformers.1.cross_attn.to_v.bias"}
    with pytest.raises(WeightsError, match=r"lacks: transformers\.1\.cross_attn\.to_v\.bias \(1 in all\)"):
        build(without)
    with pytest.raises(WeightsError, match=r"unknown tensors: head\.weight"):
        build(state | {"head.weight": torch.zeros(2)})
    with pytest.raises(WeightsError, match=r"another shape of: log_assignment\.2\.matchability\.weight"):
        build(state | {"log_assignment.2.matchability.weight": torch.zeros(1, 47)})
    with pytest.raises(WeightsError, match="is not a LightGlue checkpoint"):
        build({"net.conv.weight": torch.zeros(3, 3)})


@pytest.mark.parametrize("on", [{"depth_confidence": 0.95}, {"width_confidence": 0.99}])
def test_inner_heads_may_be_missing_only_without_early_exit(on: dict[str, float], planted: Planted) -> None:
    a, b, _ = planted(50, 30, seed=2)
    state = network().state_dict()
    inner = ("log_assignment.0", "log_assignment.1", "token_confidence", "confidence_thresholds")
    cut = {k: v for k, v in state.items() if not k.startswith(inner)}
    np.testing.assert_array_equal(build(cut).match(a, b).confidence, build(state).match(a, b).confidence)
    with pytest.raises(
        WeightsError, match=r"lacks: log_assignment\.0.*match\.depth_confidence = match\.width_confidence = -1"
    ):
        build(cut, **on)
    with pytest.raises(WeightsError, match=r"lacks: log_assignment\.2"):
        build({k: v for k, v in state.items() if not k.startswith("log_assignment.2")})


def test_early_exit_and_pruning_follow_the_settings_not_a_preset(planted: Planted) -> None:
    a, b, _ = planted(70, 40, seed=1)
    model = network()
    off = build(model, weights="lightglue-xfeat")
    assert (off.model.conf.depth_confidence, off.model.conf.width_confidence) == (-1, -1), (
        "xfeat's preset prunes at 0.95"
    )
    on = build(model, depth_confidence=0.001, width_confidence=0.5)
    model.conf.depth_confidence, model.conf.width_confidence = 0.001, 0.5
    expected, match = direct(model, a, b), on.match(a, b)
    keep = np.flatnonzero(expected["matches0"][0].numpy() >= 0)
    np.testing.assert_array_equal(match.index_a, keep)
    np.testing.assert_array_equal(match.confidence, expected["matching_scores0"][0].numpy()[keep])
    assert match.confidence.tobytes() != off.match(a, b).confidence.tobytes()


def test_wrong_descriptors_stop_the_run(make_features: Make) -> None:
    with pytest.raises(SettingsError, match="reads descriptors of width 32, the extractor gives 16"):
        build(network()).match(make_features(5, 1, 16), make_features(5, 2, 16))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_is_named() -> None:
    with pytest.raises(DeviceError, match="device = 'cuda'"):
        build_lightglue(LightGlueParams(), OneFile(state=network().state_dict()), "xfeat", "cuda")


class CvgLightGlue(torch.nn.Module):
    """What the lightglue package's class takes and gives, around kornia's network."""

    keys = frozenset(LightGlue.default_conf) - {"add_laf", "scale_coef"}

    def __new__(cls, features: str | None = "superpoint", **conf: Any) -> Any:
        if features is not None:
            raise AssertionError("a named preset downloads weights and overrules the arguments")
        assert set(conf) <= cls.keys
        cls.built = LightGlue(None, **conf)  # type: ignore[attr-defined]
        forward = cls.built.forward

        def call(data: dict[str, Any]) -> dict[str, Any]:
            assert set(data) == {"image0", "image1"}
            out = forward(data)
            return {k: out[k] for k in ("matches0", "matches1", "matching_scores0", "matching_scores1", "stop")}

        cls.built.forward = call  # type: ignore[method-assign]
        return cls.built


def test_the_lightglue_package_serves_as_backend(monkeypatch: pytest.MonkeyPatch, planted: Planted) -> None:
    module = ModuleType("lightglue")
    module.LightGlue = CvgLightGlue  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightglue", module)
    a, b, _ = planted(70, 40, seed=1)
    model = network()
    other = build(model, backend="lightglue")
    assert other.model is CvgLightGlue.built  # type: ignore[attr-defined]
    ours = build(model).match(a, b)
    theirs = other.match(a, b)
    np.testing.assert_array_equal(ours.index_b, theirs.index_b)
    np.testing.assert_array_equal(ours.confidence, theirs.confidence)


def test_a_missing_backend_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightglue", None)
    with pytest.raises(SettingsError, match=r"pip install git.*match\.backend = 'kornia'"):
        build(network(), backend="lightglue")


@pytest.mark.parametrize(
    ("weights", "family", "families", "reads"),
    [
        ("", "sift", (), True),
        ("", "orb", (), False),
        ("lightglue-sift", "sift", (), True),
        ("lightglue-sift", "xfeat", (), False),
        ("lighterglue-xfeat", "xfeat", (), True),
        ("/data/sift/xfeat_lighterglue_3layer.safetensors", "xfeat", (), True),
        ("/data/sift/xfeat_lighterglue_3layer.safetensors", "sift", (), False),
        ("C:\\models\\ALIKED-lightglue.pth", "aliked", (), True),
        ("raco_aliked_lightglue.pth", "aliked", (), False),
        ("doghardnet_lightglue.pth", "doghardnet", (), True),
        ("turtles-r2d2.pt", "r2d2", (), True),
        ("checkpoint_best.tar", "aliked", ("aliked", "disk"), True),
        ("checkpoint_best.tar", "sift", ("aliked", "disk"), False),
        ("keynet_affnet_hardnet_lightglue.pth", "keynet_affnet_hardnet", (), False),
    ],
)
def test_whose_descriptors_a_checkpoint_reads(
    weights: str, family: str, families: tuple[str, ...], reads: bool
) -> None:
    assert LightGlueParams(weights=weights, families=families).accepts(family) is reads


def test_a_name_that_says_nothing_asks_for_families() -> None:
    with pytest.raises(SettingsError, match=r"checkpoint_best\.tar.*set match\.families"):
        settings_from({"match": {"kind": "lightglue", "weights": "checkpoint_best.tar"}, "extract": {"kind": "xfeat"}})


def test_a_matcher_that_does_not_read_the_extractor_is_refused_before_anything_runs() -> None:
    with pytest.raises(SettingsError, match="does not read orb descriptors"):
        settings_from({"match": {"kind": "lightglue"}, "extract": {"kind": "orb"}})


class TestRealWeights:
    @pytest.fixture
    def path(self, shared_weights: Path) -> Path:
        return shared_weights / "xfeat_lighterglue_3layer.safetensors"

    @pytest.fixture
    def kornia(self, path: Path) -> LightGlue:
        conf = {"input_dim": 64, "descriptor_dim": 96, "n_layers": 3, "num_heads": 1}
        model = LightGlue(None, **conf, depth_confidence=-1, width_confidence=-1, filter_threshold=0.0)
        model.load_state_dict(load_file(path), strict=False)
        return model.eval()

    def test_three_layers_of_lighterglue(self, path: Path, kornia: LightGlue, planted: Planted) -> None:
        a, b, _ = planted(120, 80, seed=5, dim=64)
        params = LightGlueParams(weights=str(path), backend="kornia")
        assert params.accepts("xfeat")
        matcher = build_lightglue(params, WeightStore(allow_download=False), "xfeat", "cpu")
        assert_equals_kornia(matcher.match(a, b), direct(kornia, a, b))

    def test_its_untrained_heads_are_not_used(self, path: Path) -> None:
        params = LightGlueParams(weights=str(path), backend="kornia", width_confidence=0.95)
        with pytest.raises(
            WeightsError, match=r"untrained heads: log_assignment\.0\.final_proj\.weight, log_assignment\.1"
        ):
            build_lightglue(params, WeightStore(allow_download=False), "xfeat", "cpu")

    def test_on_two_real_photos(self, path: Path, kornia: LightGlue, shared_weights: Path, shared_data: Path) -> None:
        store = WeightStore(weights_dir=str(shared_weights), allow_download=False)
        extractor = XFeatParams(max_keypoints=256).build(store)
        files = sorted(p for p in (shared_data / "bonaire").rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"})[:2]
        photos = [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]
        a, b = (extractor.extract(cv2.resize(p, (471, 313), interpolation=cv2.INTER_AREA), None) for p in photos)
        matcher = build_lightglue(LightGlueParams(weights=str(path), backend="kornia"), store, "xfeat", "cpu")
        assert_equals_kornia(matcher.match(a, b), direct(kornia, a, b))
        itself = matcher.match(a, a)
        assert (itself.index_a == itself.index_b).mean() > 0.95
        assert itself.confidence.mean() > matcher.match(a, b).confidence.mean()
