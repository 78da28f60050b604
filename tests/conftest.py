"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest

from resight.environment import Environment
from resight.runner.params import DaskParams
from resight.runner.runner import Runner
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

ROOT = Path(__file__).resolve().parent.parent


def _shared(part: str) -> Path:
    folder = Path(os.environ.get("RESIGHT_SHARED", ROOT.parent / "shared")) / part
    if not folder.is_dir():
        pytest.skip(f"needs real material in {folder}; point RESIGHT_SHARED at the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photos with labels and outlines."""
    return _shared("data")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """Real pretrained weights."""
    return _shared("weights")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace whose path has a space in it."""
    root = tmp_path / "field season"
    root.mkdir()
    return Workspace(root)


@pytest.fixture
def env(workspace: Workspace) -> Environment:
    """The workspace, everything in this process, and nothing is fetched."""
    return Environment(workspace, WeightStore(allow_download=False), Runner(DaskParams(mode="inline"), quiet=True))
