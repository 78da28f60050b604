"""Names of outputs: what changes them, what does not, and that what was kept under earlier names is found."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from resight.extract.kinds.sift import SiftParams
from resight.match.kinds.lightglue import LightGlueParams
from resight.match.kinds.nearest import NearestParams
from resight.match.params import VerifyParams
from resight.plugins.params import Params
from resight.run.names import stage_names
from resight.segment.params import CropParams
from resight.settings import Settings, settings_from
from resight.settings.kinds import KINDS
from resight.weights.store import WeightStore

HERE = Path(__file__).resolve().parent
DEFAULTS = HERE / "defaults.json"
THEN = json.loads((HERE.parent / "stores" / "names-2026-11-28.json").read_text())
NEEDED = {"superpoint": {"weights": "sp.pth"}}


class Inner(Params):
    strength: float = 1.0


class Made(Params):
    kind: Literal["made"] = "made"
    size: int = 3
    inner: Inner = Inner()


def name(params: Params, *upstream: Any) -> str:
    return params.output_name(*upstream)


def all_kinds() -> dict[str, Params]:
    kinds = {label: cls for registry in KINDS.values() for label, cls in registry.built_in.items()}
    return {label: cls(**NEEDED.get(label, {})) for label, cls in kinds.items()}


def test_a_new_setting_at_its_default_renames_nothing_and_another_value_does() -> None:
    class Wider(Made):
        colour: str = "grey"
        deeper: Inner = Inner(strength=4.0)

    assert name(Wider(), "up") == name(Made(), "up")
    assert name(Wider(colour="red"), "up") != name(Made(), "up")
    assert name(Wider(deeper=Inner(strength=5)), "up") != name(Made(), "up")


def test_the_name_of_the_class_does_not_count() -> None:
    renamed = type("AnotherName", (Made,), {})
    assert name(renamed(size=4), "up") == name(Made(size=4), "up")


def test_settings_within_settings_count_by_what_differs_from_the_default_there() -> None:
    class Strict(Made):
        inner: Inner = Inner(strength=2.0)

    assert name(Made(inner=Inner(strength=2.0))) != name(Made()) == name(Strict()) != name(Strict(inner=Inner()))


def test_revisions_count_at_every_depth() -> None:
    class Revised(Inner):
        revision: ClassVar[int] = 2

    class Around(Made):
        inner: Inner = Revised()

    assert name(Around()) != name(Made())
    assert name(type("Made", (Made,), {"revision": 2})()) != name(Made())


def test_weights_and_what_came_before_count() -> None:
    assert len({name(Made(), *upstream) for upstream in (("a",), ("b",), (["a"],), ())}) == 4


def test_kinds_have_names_of_their_own() -> None:
    names = [name(params, "up") for params in [*all_kinds().values(), CropParams()]]
    assert all(a != b for a, b in combinations(names, 2))
    with pytest.raises(TypeError, match="needs a `kind` or a `label`"):
        name(Inner())


def test_every_kind_of_then_finds_what_it_kept() -> None:
    made = all_kinds()
    found = {kind: made[kind].output_name(["digest"], "upstream", 1) for kind in THEN["kinds"]}
    assert found == THEN["kinds"]


@pytest.mark.parametrize("case", THEN["cases"], ids=lambda case: ",".join(case["settings"]) or "defaults")
def test_the_whole_chain_has_the_names_of_then(case: dict[str, Any]) -> None:
    then = case["names"]
    names = stage_names(settings_from(case["settings"]), WeightStore(allow_download=False))
    for stage in ("ingest", "segment", "extract", "match", "evidence", "background"):
        assert getattr(names, stage) == then[stage], stage
    for part in ("voting", "voting_unknown"):
        voting = getattr(names, part)
        assert [voting.features, voting.index, voting.exact_index] == then[part]


def test_what_could_not_be_set_then_has_a_name_of_its_own() -> None:
    class Wider(SiftParams):
        colour: str = "grey"

    class Stricter(VerifyParams):
        by_eye: bool = False

    class Eyed(NearestParams):
        verify: Stricter = Stricter()

    class Sift2(SiftParams):
        revision: ClassVar[int] = 2

    assert name(Wider()) == name(SiftParams()) and name(Eyed()) == name(NearestParams())
    assert Sift2().earlier() is Made().earlier() is Wider(colour="red").earlier() is None
    assert Eyed(verify=Stricter(by_eye=True)).earlier() is None
    assert len({name(p) for p in (SiftParams(), Wider(colour="red"), Wider(colour="blue"), Sift2())}) == 4


def test_a_default_is_changed_only_with_a_new_revision() -> None:
    """A changed default would go unnoticed in names: see `Params`. A new setting, or a new revision, is added to the file."""
    kept = json.loads(DEFAULTS.read_text())
    now = current_defaults()
    for group, (revision, defaults) in now.items():
        then = kept.get(group, {}).get(str(revision))
        assert then is not None, f"add revision {revision} of {group} to {DEFAULTS.name}"
        changed = [key for key in then.keys() & defaults.keys() if then[key] != defaults[key]]
        assert not changed, f"the default of {group}.{', '.join(changed)} has changed: raise the revision of its class"
        assert defaults.keys() <= then.keys(), (
            f"add {sorted(defaults.keys() - then.keys())} of {group} to {DEFAULTS.name}"
        )


def current_defaults() -> dict[str, tuple[int, dict[str, Any]]]:
    made = all_kinds()
    kinds = {f"{section}.{label}": made[label] for section, registry in KINDS.items() for label in registry.built_in}
    groups = kinds | {n: group for n, group in Settings().groups().items() if n not in KINDS}
    groups["match.verify"] = VerifyParams()
    return {n: (group.revision, group.model_dump(mode="json")) for n, group in groups.items()}


def test_a_group_that_was_made_for_another_matcher_is_no_default() -> None:
    assert name(LightGlueParams(verify=VerifyParams())) != name(LightGlueParams())
