"""What half precision does to scores is measured and kept; on CPU with bfloat16, on a GPU it is the same path."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from kornia.feature import LightGlue
from safetensors.torch import save_file

from resight.environment import Environment
from resight.errors import ResightError
from resight.match.precision import EFFECT_FILE, precision_effect, sentence
from resight.run.setups import match_setup
from resight.runner.params import DaskParams
from resight.runner.runner import Failure, Runner
from resight.settings import Settings, settings_from
from resight.store.sealed import read_json

PAIRS = [(q, g) for q in ("q0", "q1", "q2") for g in ("g0", "g1", "g2", "g3")]


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], Settings]:
    torch.manual_seed(0)
    model = LightGlue(
        None, input_dim=32, descriptor_dim=32, n_layers=2, num_heads=2, depth_confidence=-1, width_confidence=-1
    )
    state = {k: v.clone() * (8.0 if k.endswith("final_proj.weight") else 1.0) for k, v in model.state_dict().items()}
    save_file(state, tmp_path / "xfeat_small.safetensors")
    weights = str(tmp_path / "xfeat_small.safetensors")
    return lambda precision: settings_from({
        "extract": {"kind": "xfeat", "weights": weights}, "match": {"kind": "lightglue", "weights": weights, "precision": precision},
    })  # fmt: skip


@pytest.fixture
def measure(survey: Any, env: Environment, name_of: Any) -> Callable[..., Any]:
    def call(settings: Settings, plan: pa.Table, runner: Runner = env.runner) -> Any:
        place = replace(env, runner=runner)
        return precision_effect(place, match_setup(settings), name_of(settings), plan, survey.features)

    return call


def test_the_effect_is_measured_once_and_kept(
    measure: Any, survey: Any, configured: Any, plan_of: Any, env: Environment, name_of: Any
) -> None:
    settings = configured("bfloat16")
    effect = measure(settings, plan_of(PAIRS))
    assert effect is not None and effect["precision"] == "bfloat16" and effect["pairs"] == len(PAIRS)
    assert 0 < effect["sum_difference_median"] <= effect["sum_difference_largest"] < 0.5
    assert 0.5 < effect["matches_kept"] < 1 and 0.5 < effect["rank_correlation"] <= 1
    assert "bfloat16" in sentence(effect) and "12 pairs" in sentence(effect)
    loads = survey.loads
    again = measure(settings, plan_of(PAIRS[:1]))
    assert again == effect and survey.loads == loads, "measured again although it was known"
    kept = env.workspace.stage_dir("match", name_of(settings)) / EFFECT_FILE
    assert read_json(kept) == effect


def test_float32_has_nothing_to_measure(measure: Any, survey: Any, configured: Any, plan_of: Any) -> None:
    assert measure(configured("float32"), plan_of(PAIRS)) is None
    assert measure(configured("bfloat16"), plan_of(PAIRS, "no_features")) is None
    assert survey.loads == 0


def test_a_comparison_that_fails_is_one_sentence(measure: Any, configured: Any, plan_of: Any) -> None:
    class Losing(Runner):
        def run(self, label: str, function: Any, blocks: Any, **options: Any) -> Any:
            return [], [Failure(blocks[0], "KilledWorker: out of memory")]

    losing = Losing(DaskParams(mode="inline"), quiet=True)
    with pytest.raises(ResightError, match="KilledWorker: out of memory"):
        measure(configured("bfloat16"), plan_of(PAIRS), losing)
