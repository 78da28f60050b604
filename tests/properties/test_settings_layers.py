"""Layers of settings: the highest that names a key has it, nesting loses nothing, a misspelt key stops the run."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import SettingsError
from resight.settings import Settings, load_settings, nest, parse_assignments

KEYS = {
    "dask.workers": st.integers(1, 8),
    "extract.max_keypoints": st.integers(64, 4096),
    "crop.head_side_px": st.integers(64, 2000),
    "novelty.alpha": st.floats(0.01, 0.4),
    "pairs.max_block_pairs": st.integers(1, 5000),
}
layers = st.fixed_dictionaries({}, optional=KEYS)
names = st.text("abcdef", min_size=1, max_size=4)
trees = st.recursive(st.integers(), lambda below: st.dictionaries(names, below, min_size=1, max_size=3), max_leaves=8)


def value_of(settings: Settings, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(settings, section), name)


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out


def as_environ(layer: dict[str, Any]) -> dict[str, str]:
    return {"RESIGHT_" + key.replace(".", "__").upper(): repr(value) for key, value in layer.items()}


@given(layers, layers, layers)
def test_the_highest_layer_that_names_a_key_has_it(
    low: dict[str, Any], environment: dict[str, Any], high: dict[str, Any]
) -> None:
    settings = load_settings(overrides=high, environ=as_environ(environment), without_file=nest(low))
    wanted = {key: value_of(Settings(), key) for key in KEYS} | low | environment | high
    assert {key: value_of(settings, key) for key in KEYS} == wanted


@given(layers, layers)
def test_nested_and_dotted_keys_are_the_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    dotted = load_settings(overrides=one | two, environ={})
    assert load_settings(overrides=nest(one | two), environ={}) == dotted
    written = parse_assignments(f"{key}={value!r}" for key, value in (one | two).items())
    assert load_settings(overrides=written, environ={}) == dotted


@given(st.dictionaries(names, trees, max_size=3))
def test_nesting_loses_nothing(tree: dict[str, Any]) -> None:
    assert nest(flat(tree)) == tree == nest(tree)


@given(st.integers(64, 4096), st.sampled_from(["orb", "xfeat"]))
def test_another_kind_drops_the_options_of_the_kind_below(max_keypoints: int, kind: str) -> None:
    below = {"extract": {"kind": "sift", "max_keypoints": max_keypoints}}
    chosen = load_settings(overrides={"extract.kind": kind}, environ={}, without_file=below).extract
    assert chosen == type(chosen)()


@given(st.sampled_from(sorted(KEYS)), st.data())
def test_a_misspelt_key_stops_the_run_and_the_right_one_is_named(key: str, data: st.DataObject) -> None:
    section, name = key.split(".")
    place = data.draw(st.integers(0, len(name)))
    misspelt = f"{section}.{name[:place]}q{name[place:]}"
    with pytest.raises(SettingsError, match=f"no setting '{misspelt}'; did you mean '{key}'"):
        load_settings(overrides={misspelt: 1}, environ={})
