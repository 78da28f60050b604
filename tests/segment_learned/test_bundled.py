"""The weights that come with the package, on real photos."""

import json

import numpy as np
import pytest
from finding_measures import judge

from resight.errors import WeightsError
from resight.runner.threads import one_thread
from resight.segment.base import Photo
from resight.segment.kinds.auto import AutoParams, AutoSegmenter
from resight.segment.kinds.head_finder import BUNDLED, HeadFinderParams
from resight.segment.learned.copies import Copies
from resight.segment.learned.finder import HeadFinder
from resight.segment.learned.looks import WINDOWS_AT_ONCE, look_close
from resight.train.segmenter.samples import read_samples
from resight.weights.store import WeightStore


def test_weights_are_small_and_say_how_they_were_made():
    assert BUNDLED.stat().st_size < 8e6
    recipe = json.loads(BUNDLED.with_suffix(".json").read_text(encoding="utf-8"))
    assert len(recipe["data_sha256"]) == 64 and recipe["recipe"]["plan"]["steps"] > 0 and recipe["seconds"] > 0


def test_their_licence_is_known_and_a_file_of_their_name_is_another_one(tmp_path, monkeypatch):
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert WeightStore(allow_download=False).find(str(BUNDLED)).licence == "Apache-2.0"
    with pytest.raises(WeightsError):
        WeightStore(allow_download=False).find(BUNDLED.name)


def test_auto_asks_the_head_finder_where_there_is_no_outline():
    segmenter = AutoParams().build(WeightStore())
    assert isinstance(segmenter, AutoSegmenter) and isinstance(segmenter.otherwise, HeadFinder)
    assert AutoParams().weight_names() == [str(BUNDLED)]
    assert AutoParams(otherwise="whole").weight_names() == []


@pytest.mark.parametrize("quick", [False, True])
def test_windows_that_are_looked_at_together_show_what_each_shows_alone(quick):
    """To the last bit: what is found does not depend on how many candidates there were."""
    net = HeadFinderParams(quick=quick).build(WeightStore()).net
    photo = Copies(np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8), quick)
    windows = [((30.0 * k, 20.0 * k, 40.0 + 7 * k, 50.0), 0.4 * k) for k in range(WINDOWS_AT_ONCE + 2)]
    with one_thread():
        together = look_close(net, photo, windows)
        alone = [look_close(net, photo, [window])[0] for window in windows]
    assert len(together) == len(windows) and len({view.confidence for view in together}) > 1
    for one, other in zip(together, alone, strict=True):
        assert one.polygons_xy_px == other.polygons_xy_px and one.confidence == other.confidence
        assert np.array_equal(one.view_chances, other.view_chances)
        assert np.array_equal(one.lie.snoutward, other.lie.snoutward)


@pytest.mark.parametrize("quick", [False, True])
def test_heads_it_was_trained_on_are_found(shared_data, quick):
    """Not how good it is (see docs/head-finder.md), but that weights, network and geometry belong together."""
    finder = HeadFinderParams(quick=quick).build(WeightStore())
    samples = [s for s in read_samples(shared_data / "zakynthos") if s.visibility == "good"][::12]
    judged = []
    for one in samples:
        findings, _ = finder.look(one.rgb)
        judged.append(judge(one, findings[0] if findings else None))
    assert sum(j.box_iou >= 0.5 for j in judged) >= 0.7 * len(judged)
    sided = [j for j in judged if j.view in ("left", "right") and j.box_iou >= 0.5]
    assert sum((j.left_over_right > 0) == (j.view == "left") for j in sided) >= 0.8 * len(sided)
    regions = finder.find(Photo("p", samples[0].rgb))
    assert all(0 <= r.confidence <= 1 for r in regions)
