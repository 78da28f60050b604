"""A checkpoint is read whole or not at all."""

from __future__ import annotations

import pytest
import torch

from resight.errors import WeightsError
from resight.match.engine.engine import LightGlueEngine


def _arch(state, **options):
    return LightGlueEngine.from_state_dict(state, **options).arch


def test_dimensions_come_from_the_shapes(shape, random_model):
    arch = _arch(random_model(shape).state, num_heads=shape.heads)
    assert (arch.n_layers, arch.width, arch.num_heads) == (shape.n_layers, shape.width, shape.heads)
    assert (arch.input_dim, arch.scale_ori) == (shape.input_dim, shape.scale_ori)
    assert all(arch.assignment_heads) and all(arch.token_heads)


def test_published_names_are_understood(small, random_model, photos_of, encode_all):
    state = random_model(small).state
    older = {
        "matcher."
        + k.replace("transformers.0.self_attn", "self_attn.0").replace("transformers.2.cross_attn", "cross_attn.2"): v
        for k, v in state.items()
    }
    del older["matcher.confidence_thresholds"]
    photos = photos_of(small, [30, 30])
    rows = []
    for one in (state, older):
        engine = LightGlueEngine.from_state_dict(one)
        a, b = encode_all(engine, photos)
        rows.append(engine.match([a], [b]).confidence)
    assert torch.equal(*rows)
    assert rows[0].max() > 0.1


def test_inner_heads_may_be_missing_and_nothing_else(small, random_model):
    state = random_model(small).state
    cut = {
        k: v
        for k, v in state.items()
        if not k.startswith(("log_assignment.0", "log_assignment.1", "token_confidence", "confidence_thresholds"))
    }
    arch = _arch(cut)
    assert arch.assignment_heads == (False, False, True) and not any(arch.token_heads)
    for key in (
        "log_assignment.2.final_proj.bias",
        "posenc.Wr.weight",
        "transformers.1.self_attn.out_proj.weight",
        "transformers.0.cross_attn.ffn.1.bias",
    ):
        with pytest.raises(WeightsError, match=key.replace(".", r"\.")):
            _arch({k: v for k, v in cut.items() if k != key})
    with pytest.raises(WeightsError, match=r"log_assignment\.0\.matchability\.weight"):
        _arch(cut | {"log_assignment.0.final_proj.weight": state["log_assignment.0.final_proj.weight"]})


def test_strange_files_are_named(small, random_model):
    state = random_model(small).state
    with pytest.raises(WeightsError, match=r"unknown keys: backbone\.weight"):
        _arch(state | {"backbone.weight": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"to_qk\.bias has shape \(95,\), expected \(96,\)"):
        _arch(state | {"transformers.1.cross_attn.to_qk.bias": torch.ones(95)})
    with pytest.raises(WeightsError, match="2 attention heads, not 4"):
        _arch(state, num_heads=4)
    with pytest.raises(WeightsError, match="affine frames"):
        _arch(state | {"posenc.Wr.weight": torch.ones(24, 6)})
    with pytest.raises(WeightsError, match=r"not finite in: input_proj\.bias"):
        _arch(state | {"input_proj.bias": torch.full((96,), torch.nan)})
    with pytest.raises(WeightsError, match="misses"):
        _arch({"conv1.weight": torch.ones(3, 3)})
    with pytest.raises(WeightsError, match="misses"):
        _arch({})
    with pytest.raises(WeightsError, match=r"transformers\.2\..* and \d+ more"):
        _arch(
            {k: v for k, v in state.items() if "transformers.2" not in k}
            | {"transformers.2.self_attn.out_proj.bias": torch.ones(96)}
        )


def test_heads_that_nobody_trained_are_not_used(small, random_model, photos_of, encode_all):
    """Cut files may hold a fresh initialisation at inner layers: it loads, and ranks at random."""
    state = random_model(small).state
    torch.manual_seed(3)
    fresh = torch.nn.Linear(small.width, small.width)
    state["log_assignment.0.final_proj.weight"] = fresh.weight.detach()
    engine = LightGlueEngine.from_state_dict(state)
    assert engine.arch.trained_heads == (False, True, True)
    query, *gallery = encode_all(engine, photos_of(small, [20, 20]))
    with pytest.raises(WeightsError, match=r"layer 1.*fresh initialisation"):
        engine.match_halving(query, gallery, [(1, 0.5)])
    with pytest.raises(WeightsError, match="fresh initialisation"):
        engine.match_adaptive(query, gallery[0], 0.9, 0.9)
    assert engine.match_halving(query, gallery, [(2, 0.5)]).layers.tolist() == [3]


def test_the_real_three_layer_file_has_one_trained_head(shared_weights):
    from safetensors.torch import load_file

    arch = _arch(load_file(shared_weights / "xfeat_lighterglue_3layer.safetensors"))
    assert (arch.n_layers, arch.width, arch.num_heads, arch.input_dim, arch.scale_ori) == (3, 96, 1, 64, False)
    assert arch.trained_heads == (False, False, True)
