"""The registries of the built-in kinds."""

import subprocess
import sys

import pytest

from resight.errors import SettingsError
from resight.extract.params import ExtractorBase
from resight.match.params import MatcherBase
from resight.plugins import registry
from resight.segment.params import SegmenterBase

BASES = [(registry.EXTRACTORS, ExtractorBase), (registry.SEGMENTERS, SegmenterBase), (registry.MATCHERS, MatcherBase)]
ALL = [*(one for one, _ in BASES), registry.SCORES, registry.COMPARE_METHODS]


@pytest.mark.parametrize(("kinds", "base"), BASES, ids=lambda one: getattr(one, "group", ""))
def test_every_kind_of_settings_says_all_that_its_base_asks(kinds: registry.Registry, base: type) -> None:
    for name, cls in kinds.items():
        assert issubclass(cls, base) and not cls.__abstractmethods__, name
        assert cls.model_fields["kind"].default == name
        assert cls.__doc__, name


@pytest.mark.parametrize("kinds", ALL, ids=lambda one: one.group)
def test_a_wrong_name_offers_the_nearest(kinds: registry.Registry) -> None:
    name = next(iter(kinds))
    assert kinds[name] is dict(kinds)[name] and name in kinds and len(kinds) == len(set(kinds))
    with pytest.raises(SettingsError, match=f"did you mean '{name}'"):
        kinds[f"{name}{name[-1]}"]


def test_naming_the_registry_loads_no_stage() -> None:
    code = "import sys, resight.plugins.registry; print([m for m in sys.modules if m.startswith('resight.extract')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
