"""The notebook of the documentation, executed on a finished night."""

import os
from pathlib import Path

import pytest

from resight.store.workspace import Workspace

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebooks" / "open_a_run.ipynb"


def test_notebook_opens_a_run_and_draws_a_pair(night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the workspace in RESIGHT_WORKSPACE, if that is set."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("RESIGHT_WORKSPACE", os.environ.get("RESIGHT_WORKSPACE", str(night_workspace.root)))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit the notebook without outputs"
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("inliers" in output.get("text", "") for output in outputs)
