"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest

from resight.store.workspace import Workspace

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
