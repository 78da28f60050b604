"""What changes while somebody waits or measures: who waited is of the model accepted by then, and a comparison is on the same inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flow_helpers import FIRST_NIGHT, SMALL

from resight.errors import WorkspaceError
from resight.evaluate import paired
from resight.flows import rebuild
from resight.flows.evaluation import run_accuracy
from resight.flows.identify import identify
from resight.flows.nightly import run_nightly
from resight.flows.past import run_past
from resight.flows.steps import own_settings
from resight.run import conditions
from resight.run.models import current_model, promote
from resight.store.runs import read_current, read_run
from resight.store.workspace import Workspace

NIGHT = "2026-06-05"
QUICK = {"dask": {"mode": "inline"}, "evaluate": {"draws": 20}}
OTHER = SMALL | {
    "extract": {"kind": "orb", "max_keypoints": 200},
    "match": {"kind": "nearest"},
    "evaluate": {"draws": 20},
}


def test_who_waited_is_of_the_model_that_was_accepted_meanwhile(
    night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = current_model(night_workspace), own_settings(night_workspace, OTHER)[1]
    assert first is not None and first.fingerprint != second.fingerprint
    root, alone, waiting = night_workspace.root, conditions._alone, [second]

    def after_a_rebuild(*args: Any) -> Any:
        if waiting:
            promote(night_workspace, waiting.pop())
        return alone(*args)

    monkeypatch.setattr(conditions, "_alone", after_a_rebuild)
    assert run_nightly(root, NIGHT, QUICK, quiet=True)["model"]["fingerprint"] == second.fingerprint
    runs = read_current(night_workspace, "runs")
    assert runs is not None and runs["model_fingerprint"].to_pylist()[0] == second.fingerprint
    photo = next((root / "photos").rglob("*.[jJ][pP][gG]"))
    others: list[Callable[[], Any]] = [
        lambda: run_accuracy(root, NIGHT, QUICK, quiet=True)["model"]["fingerprint"],
        lambda: run_past(root, FIRST_NIGHT, QUICK, quiet=True)[0]["model"]["fingerprint"],
    ]
    for model, other in zip((first, second), others, strict=True):
        waiting.append(model)
        assert other() == model.fingerprint
    waiting.append(first)
    assert identify(root, [photo], QUICK, quiet=True)["model"] == first.describe() != second.describe()
    assert caplog.text.count("it begins again with that one") == 4


def test_two_models_are_compared_on_the_same_names_whatever_is_decided_meanwhile(
    night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    table, measure, measured = next(night_workspace.root.rglob("metadata.csv")), rebuild.measure_workspace, list[Any]()
    photos = read_current(night_workspace, "photos")
    assert photos is not None
    known = next(name for name in photos["individual_id"].to_pylist() if name)
    text = table.read_text(encoding="utf-8")

    def renamed_once_the_first_is_measured(*args: Any, **about: Any) -> Any:
        measured.append(measure(*args, **about))
        if len(measured) in (1, 3):
            table.write_text(text.replace(known, f"Renamed {len(measured)}"), encoding="utf-8")
        return measured[-1]

    monkeypatch.setattr(paired, "FEWEST_QUERIES", 7)  # six encounters ask
    monkeypatch.setattr(rebuild, "measure_workspace", renamed_once_the_first_is_measured)
    monkeypatch.setattr(rebuild, "MOST_ROUNDS", 1, raising=False)
    with pytest.raises(WorkspaceError, match=r"cannot be compared; run `resight rebuild` again"):
        rebuild.run_rebuild(night_workspace.root, NIGHT, OTHER, quiet=True)
    monkeypatch.setattr(rebuild, "MOST_ROUNDS", 2, raising=False)
    result = rebuild.run_rebuild(night_workspace.root, NIGHT, OTHER, quiet=True)
    assert result["refused"] and len(measured) == 6 and "both are measured again" in caplog.text
    before, after = measured[-2:]
    assert result["run_id"] == after["run_id"] and after["against"] == before["run_id"]
    names = [read_run(night_workspace, run["run_id"], "photos")["individual_id"].to_pylist() for run in (before, after)]
    assert names[0] == names[1] and "Renamed 3" in names[0]
    assert before["work"]["pairs_matched"] == after["work"]["pairs_matched"] == 0
