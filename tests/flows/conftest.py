"""A small rendered survey, and workspaces around it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from resight.demo.survey import render_survey
from resight.settings.init import init_workspace
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three known animals met twice each, and four query encounters, one of them a new animal."""
    folder = tmp_path_factory.mktemp("survey") / "June 2026, bay [1]"
    render_survey(folder, n_individuals=3, n_new=1, photos_per_encounter=1, size_px=(600, 450))
    return folder


@pytest.fixture
def field_workspace(workspace: Workspace, survey: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace without any weights on the machine, with the survey in its inbox."""
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace.root / "no cache"))
    init_workspace(workspace.root, WeightStore(allow_download=False))
    shutil.copytree(survey, workspace.root / "photos" / "survey")
    return workspace


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server with an empty database, once for the session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
