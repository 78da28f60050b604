"""What flows have in common: how settings given by the caller count."""

import json
from pathlib import Path

import pytest

from resight.errors import SettingsError
from resight.flows import steps
from resight.flows.steps import accepted_settings, labelled_folder, own_settings
from resight.run.models import model_of, promote
from resight.settings import settings_from
from resight.settings.choice import choose
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore


@pytest.mark.parametrize("overrides", [{"segment.kind": "whole"}, {"segment": {"kind": "whole"}}])
def test_outlines_of_a_folder_give_way_to_a_segmenter_that_the_caller_chose(
    workspace: Workspace, tmp_path: Path, overrides: dict
) -> None:
    outlines = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "head"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[10, 10, 50, 10, 50, 50]]}],
    }
    (tmp_path / "annotations.coco.json").write_text(json.dumps(outlines))
    sources, chosen = labelled_folder(workspace, tmp_path, overrides)
    assert sources == (str(tmp_path),) and chosen == {"segment": {"kind": "whole"}}
    assert labelled_folder(workspace, tmp_path, None)[1] == {"segment": {"kind": "annotations"}}
    (workspace.root / "resight.toml").write_text("[segment]\nquick = true\n")  # nobody has chosen another segmenter
    assert labelled_folder(workspace, tmp_path, None)[1] == {"segment": {"kind": "annotations"}}


def test_another_model_is_refused_whatever_the_form_of_its_key(workspace: Workspace) -> None:
    promote(workspace, own_settings(workspace, {"match.kind": "nearest"})[1])
    for overrides in (
        {"rank.top_k": 3, "extract.kind": "orb", "match.kind": "nearest"},
        {"match": {"kind": "nearest", "ratio": 0.7}},
    ):
        with pytest.raises(SettingsError, match="another model"):
            accepted_settings(workspace, overrides)


def test_a_limit_for_names_goes_with_the_matcher_that_it_was_chosen_with(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a settings file a workspace whose accepted model counts matches keeps the limit that it had."""
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    store = WeightStore(allow_download=False)
    counted = {"kind": "lightglue", "weights": "lightglue-sift-turtle", "verify": {"model": "affine"}}
    old = model_of(settings_from({"extract": {"kind": "sift"}, "match": counted}), store, None)
    new = model_of(settings_from(choose(store).sections), store, None)
    for accepted, limit in ((None, 0.925), (old, 0.85), (new, 0.925)):
        monkeypatch.setattr(steps, "current_model", lambda _, accepted=accepted: accepted)
        assert steps.settings_for(workspace, None).novelty.decide_known == limit
        assert steps.settings_for(workspace, {"novelty.decide_known": 0.7}).novelty.decide_known == 0.7
