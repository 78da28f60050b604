"""Fixtures that all tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser: Playwright's own, or the one of the system."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with playwright.sync_playwright() as started:
        names = ("chromium", "chromium-browser", "google-chrome", "chrome")
        own = started.chromium.executable_path
        found = own if Path(own).exists() else next((p for n in names if (p := shutil.which(n))), None)
        if found is None:
            pytest.skip("needs Chromium: `playwright install chromium`, or the system's")
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
