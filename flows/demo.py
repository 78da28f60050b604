"""The nightly flow on a small survey, rendered on the spot or taken from a folder of real photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from resight.demo import render_survey
from resight.flows.nightly import run_nightly
from resight.init import init_workspace
from resight.run import absolute_sources
from resight.settings import SETTINGS_FILE


def run_demo(workspace: str | Path = "demo", photos: str | None = None, *, quiet: bool = False) -> dict[str, Any]:
    """Make a workspace if there is none, render a survey if no photos are given, and do the nightly job on it.

    Args:
        workspace: Folder to work in; made if missing.
        photos: Folder of real photos instead of the rendered ones.
    """
    root = Path(workspace).expanduser().absolute()
    if not (root / SETTINGS_FILE).exists():
        init_workspace(root)
    sources = absolute_sources([photos]) if photos else (str(_survey(root)),)
    return run_nightly(root, sources=sources, quiet=quiet)


def _survey(root: Path) -> Path:
    folder = root / "rendered survey"
    if not (folder / "truth.csv").exists():  # written last
        render_survey(folder)
    return folder


@flow(name="demo", persist_result=False)
def demo(workspace: str = "demo", photos: str | None = None, quiet: bool = False) -> dict[str, Any]:
    """`run_demo` as a flow."""
    return run_demo(workspace, photos, quiet=quiet)
