"""What every method of the comparison promises."""

import json

import pytest

from resight.compare.base import Family, Method
from resight.plugins.registry import COMPARE_METHODS
from resight.store.fingerprint import canonical_json


@pytest.mark.parametrize("name", list(COMPARE_METHODS))
def test_a_method_describes_itself(name, trial):
    method = COMPARE_METHODS[name]
    assert isinstance(method, Method) and method.name == name
    assert method.title and isinstance(method.family, Family) and isinstance(method.quick, bool)
    assert all(isinstance(weights, str) for weights in method.weight_names())
    assert canonical_json(method.describe(trial)) == canonical_json(method.describe(trial))
    assert json.loads(canonical_json(method.describe(trial))) is not None


def test_another_prior_is_another_row_of_fused_evidence_and_of_nothing_else(trial, monkeypatch):
    rows = ("resight", "resight-fused")
    before = [COMPARE_METHODS[name].describe(trial) for name in rows]
    monkeypatch.setattr("resight.compare.kinds.pipeline.shipped", lambda: {"strength": 1.0, "priors": []})
    after = [COMPARE_METHODS[name].describe(trial) for name in rows]
    assert before[0] == after[0] and before[1] != after[1]


def test_another_way_of_learning_is_another_row_of_what_learns(trial, monkeypatch):
    """The rule by which photos vote, say: the row of a comparison of before would show what another rule has found."""
    rows = ("resight", "resight-fused", "sift-lightglue-turtle-2")
    before = [COMPARE_METHODS[name].describe(trial) for name in rows]
    monkeypatch.setattr("resight.run.learning.REVISION", 10_000)
    after = [COMPARE_METHODS[name].describe(trial) for name in rows]
    assert [one != other for one, other in zip(before, after, strict=True)] == [True, True, False]
