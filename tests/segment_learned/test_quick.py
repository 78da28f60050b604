"""The quick way of looking: the same network made ready to run, smaller copies, and no second look at what is hopeless beside a head."""

from __future__ import annotations

import copy
from typing import cast

import numpy as np
import pytest
import torch

from resight.runner.threads import one_thread
from resight.segment.geometry import Box
from resight.segment.kinds.auto import AutoParams
from resight.segment.kinds.head_finder import HeadFinderParams
from resight.segment.learned import finder
from resight.segment.learned.copies import Copies
from resight.segment.learned.looks import CloseView, look_close
from resight.segment.learned.network import HeadNet
from resight.segment.learned.quick import quickened
from resight.weights.store import WeightStore


def trained() -> HeadNet:
    """A network as somebody might have trained it, whose norms do something."""
    torch.manual_seed(4)
    net = HeadNet()
    for name, values in net.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            values.normal_(std=0.2)
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("with_onednn", [True, False])
def test_a_quick_network_sees_what_the_trained_one_sees(with_onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_onednn:  # as on processors for which torch comes without it
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    elif not torch.backends.mkldnn.is_available():
        pytest.skip("torch comes without oneDNN here")
    net = trained()
    quick = quickened(copy.deepcopy(net))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in quick.modules())
    with torch.inference_mode():
        for size in ((96, 64), (128, 128)):
            rgb = torch.rand(4, 3, *size).contiguous(memory_format=torch.channels_last)
            for one, other in zip(net(rgb), quick(rgb), strict=True):
                assert torch.allclose(one, other, rtol=1e-4, atol=1e-4) and one.std() > 1e-2


@pytest.mark.parametrize(("scale", "n_px"), [(1.0, 1), (0.36, 1), (0.35, 2), (0.17, 4), (0.03, 16)])
def test_a_quick_finder_looks_at_photos_of_any_size_by_way_of_copies(scale: float, n_px: int) -> None:
    copied, factor = Copies(np.zeros((800, 1000, 3), np.uint8), quick=True).for_scale(scale)
    assert factor == n_px and copied.shape == (800 // n_px, 1000 // n_px, 3)


def test_windows_of_a_large_head_show_nearly_the_same() -> None:
    """Blurred, because the copy is of lower resolution; a head's outline and its place in the window stay."""
    net = HeadFinderParams().build(WeightStore()).net  # type: ignore[attr-defined]
    rgb = np.random.default_rng(1).integers(0, 256, (9, 12, 3), np.uint8).repeat(100, 0).repeat(100, 1)
    box = ((300.0, 200.0, 500.0, 400.0), 0.3)
    with one_thread():
        slow, quick = (look_close(net, Copies(rgb, quick), [box])[0] for quick in (False, True))
    assert np.abs(slow.view_chances - quick.view_chances).max() < 0.1
    assert np.abs(slow.lie.snoutward - quick.lie.snoutward).max() < 0.1


def test_auto_hands_the_setting_on_and_large_photos_have_no_way_of_their_own() -> None:
    assert AutoParams(quick=True).head_finder().quick and not AutoParams().head_finder().quick
    for params in (HeadFinderParams(quick=True), AutoParams(quick=True)):
        assert params.ways(6000, 4000) == params.ways(1000, 800)  # the name of what they find says it of all photos
        assert params.output_name("up") != type(params)().output_name("up")


@pytest.mark.parametrize(
    ("reds", "quick", "n_again"), [((255, 130), False, 2), ((255, 130), True, 1), ((130,), True, 1)]
)
def test_what_is_hopeless_beside_a_head_gets_no_second_look(
    reds: tuple[int, ...], quick: bool, n_again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = np.zeros((480, 640, 3), np.uint8)
    for k, red in enumerate(reds):
        rgb[200:270, 100 + 300 * k : 190 + 300 * k, 0] = red
    numbers: list[int] = []

    def counted(net: HeadNet, photo: Copies, windows: list[tuple[Box, float]]) -> list[CloseView]:
        numbers.append(len(windows))
        return look_close(net, photo, windows)

    monkeypatch.setattr(finder, "look_close", counted)
    findings, _ = finder.HeadFinder(HeadFinderParams(quick=quick), cast(HeadNet, Reds())).look(rgb)
    assert numbers == [len(reds), n_again] and len(findings) == n_again


class Reds(torch.nn.Module):
    """Sees heads where it is red, all from the left."""

    def forward(self, rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        cells = torch.nn.functional.avg_pool2d(rgb, 4)
        maps = torch.zeros(len(rgb), 4, *cells.shape[2:])
        maps[:, :2] = (cells[:, :1] - 0.5) * 40
        views = torch.zeros(len(rgb), 6)
        views[:, 0] = 8.0
        return maps, views, torch.zeros(len(rgb), 2)
