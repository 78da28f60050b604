"""Which model a night uses."""

from pathlib import Path
from typing import Any

import pytest

from resight.errors import SettingsError
from resight.run.models import Model, current_model, model_of, promote, settle, with_model
from resight.settings import Settings, settings_from
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

CLASSICAL: dict[str, Any] = {"segment": {"kind": "whole"}, "extract": {"kind": "orb"}, "match": {"kind": "nearest"}}


def test_the_rest_of_the_settings_stays_as_asked() -> None:
    model = model_of(settings_from(CLASSICAL | {"pairs": {"viewpoint": "any"}}), WeightStore(), None)
    asked = settings_from({"pairs": {"viewpoint": "same", "must_agree": ["site"]}, "dask": {"workers": 3}})
    taken = with_model(asked, model)
    assert (taken.extract.kind, taken.pairs.viewpoint) == ("orb", "any")
    assert (taken.pairs.must_agree, taken.dask.workers) == (("site",), 3)


def test_a_model_from_before_a_setting_existed_has_it_at_its_default() -> None:
    model = model_of(settings_from(CLASSICAL), WeightStore(), None)
    del model.part["rank"]["top_k"]
    assert with_model(settings_from({"rank": {"top_k": 9}}), model).rank.top_k == Settings().rank.top_k


def test_a_model_that_rests_on_a_setting_that_is_gone_asks_for_a_rebuild(tmp_path: Path) -> None:
    model = model_of(settings_from(CLASSICAL), WeightStore(), None)
    old = model.part | {"match": model.part["match"] | {"verify": model.part["match"]["verify"] | {"iterations": 2000}}}
    assert with_model(Settings(), Model(model.fingerprint, old, {})).model_part() == model.part
    old["match"]["verify"]["iterations"] = 50
    with pytest.raises(SettingsError, match=r"match\.verify\.iterations.*2000 samples.*resight rebuild"):
        with_model(Settings(), Model(model.fingerprint, old, {}))


def test_what_means_the_same_is_no_other_model(tmp_path: Path) -> None:
    place, weights = Workspace(tmp_path), WeightStore()
    asked = settings_from(CLASSICAL | {"pairs": {"viewpoint": "any"}})
    now = model_of(asked, weights, None)
    part = {k: v for k, v in now.part.items() if k != "pairs"} | {"viewpoint_policy": "any"}
    promote(place, Model("0123456789abcdef", part, {}))
    _, model, sentence = settle(place, asked, weights, explicit=True)
    assert sentence == "" and model == current_model(place) == model_of(asked, weights, place)
    assert model.fingerprint == "0123456789abcdef"
    _, _, sentence = settle(place, settings_from(CLASSICAL), weights, explicit=False)
    assert "ask for another model" in sentence


def test_limits_that_only_decide_are_those_of_the_settings_whatever_the_model_was_made_with(tmp_path: Path) -> None:
    place, weights = Workspace(tmp_path), WeightStore()
    part = model_of(settings_from(CLASSICAL), weights, None).part
    old = part | {"novelty": part["novelty"] | {"alpha": 0.5, "decide_known": 0.6, "without_guarantee": "name"}}
    promote(place, Model("0123456789abcdef", old, {}))
    asked = settings_from(CLASSICAL | {"novelty": {"alpha": 0.1, "decide_new": 0.9}})
    settings, model, sentence = settle(place, asked, weights, explicit=True)
    assert (model.fingerprint, sentence) == ("0123456789abcdef", "")
    assert (settings.novelty.alpha, settings.novelty.decide_known, settings.novelty.decide_new) == (0.1, 0.85, 0.9)
