"""What `resight models` tells, and its way back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from resight.cli.app import app
from resight.errors import WorkspaceError
from resight.run.models import Model, current_model, list_models, model_of, promote, register
from resight.settings import settings_from
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore


def call(*arguments: str, workspace: Workspace) -> Any:
    done = CliRunner().invoke(app, ["models", *arguments, "-w", str(workspace.root), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def two(workspace: Workspace) -> tuple[Model, Model]:
    """Two models that differ in one setting; the first was accepted."""
    made = [
        model_of(
            settings_from({"segment": {"kind": "whole"}, "extract": {"kind": "orb", "max_keypoints": n}}),
            WeightStore(),
            None,
        )
        for n in (500, 900)
    ]
    promote(workspace, made[0])
    register(workspace, made[1])
    return made[0], made[1]


def test_models_are_told_apart_by_what_they_have_otherwise(workspace: Workspace, two: tuple[Model, Model]) -> None:
    rows = {row["fingerprint"]: row for row in call("list", workspace=workspace)["models"]}
    assert rows[two[0].fingerprint]["current"] and rows[two[0].fingerprint]["differences"] == []
    assert rows[two[1].fingerprint]["differences"] == [
        {"setting": "extract.max_keypoints", "accepted": 500, "here": 900}
    ]
    text = CliRunner().invoke(app, ["models", "list", "-w", str(workspace.root)]).stdout
    assert "extract.max_keypoints = 900 (accepted: 500)" in text and "not measured" in text


def test_promote_is_remembered_with_its_user_and_rolled_back(workspace: Workspace, two: tuple[Model, Model]) -> None:
    first, second = two
    call("promote", first.fingerprint, workspace=workspace)
    call("promote", second.fingerprint[:8], workspace=workspace)
    shown = call("show", second.fingerprint, workspace=workspace)
    assert shown["settings"]["extract"]["max_keypoints"] == 900 and shown["current"]
    (accepted,) = shown["accepted"]
    assert accepted["command"] == "models promote" and accepted["user"] and accepted["when"]
    assert call("rollback", workspace=workspace) == {"promoted": first.fingerprint}
    assert current_model(workspace) == first
    assert call("rollback", workspace=workspace) == {"promoted": second.fingerprint}, "back from the way back"


def test_there_is_nothing_to_roll_back_to(workspace: Workspace, two: tuple[Model, Model]) -> None:
    with pytest.raises(WorkspaceError, match="No model was accepted"):
        call("rollback", workspace=workspace)


def test_remove_forgets_but_never_the_accepted_one(workspace: Workspace, two: tuple[Model, Model]) -> None:
    with pytest.raises(WorkspaceError, match="is the accepted model"):
        call("remove", two[0].fingerprint, workspace=workspace)
    call("remove", two[1].fingerprint, workspace=workspace)
    assert list_models(workspace) == [two[0]]
