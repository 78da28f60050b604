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
