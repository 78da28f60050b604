"""The nightly flow on a small survey, rendered on the spot or taken from a folder of real photos."""

import csv
import logging
from pathlib import Path
from typing import Any

from resight.demo.survey import render_survey
from resight.flows.lazy import made
from resight.flows.nightly import run_nightly
from resight.run.run import absolute_sources
from resight.settings import SETTINGS_FILE
from resight.settings.init import init_workspace
from resight.status import CALLED_NEW, NAMED
from resight.store.runs import read_run
from resight.store.workspace import Workspace, refuse_address

log = logging.getLogger("resight")
ANIMALS = 12  # fewer that were met again cannot show that a poor match means a new animal
ANIMALS_ALPHA = 0.16  # so few cannot guarantee less than 2 in 13


def run_demo(workspace: str | Path = "demo", photos: str | None = None, *, quiet: bool = False) -> dict[str, Any]:
    """Make a workspace if there is none, render a survey if no photos are given, and do the nightly job on it.

    Args:
        workspace: Folder to work in; made if missing.
        photos: Folder of real photos instead of the rendered ones.
    """
    refuse_address(workspace)
    root = Path(workspace).expanduser().absolute()
    if not (root / SETTINGS_FILE).exists():
        init_workspace(root, novelty=None if photos else {"alpha": ANIMALS_ALPHA})
    if photos:
        return run_nightly(root, sources=absolute_sources([photos]), quiet=quiet)
    folder = _survey(root)
    result = run_nightly(root, sources=[str(folder)], quiet=quiet)
    result["notes"].append(_compare_with_truth(Workspace(root), result["run_id"], folder))
    return result


def _survey(root: Path) -> Path:
    folder = root / "rendered survey"
    if not (folder / "truth.csv").exists():  # written last
        log.info("rendering a survey with known truth into %s", folder)
        render_survey(folder, n_individuals=ANIMALS)
    return folder


def _compare_with_truth(workspace: Workspace, run_id: str, folder: Path) -> str:
    """One sentence: how many of the rendered animals were named right."""
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = {r["encounter_id"]: r for r in csv.DictReader(file)}
    verdicts = [v for v in read_run(workspace, run_id, "novelty").to_pylist() if v["encounter_id"] in truth]
    known = [v for v in verdicts if truth[v["encounter_id"]]["is_new"] == "false"]
    new = [v for v in verdicts if truth[v["encounter_id"]]["is_new"] == "true"]
    named = sum(
        v["decision"] in NAMED and v["individual_id"] == truth[v["encounter_id"]]["individual_id"] for v in known
    )
    called_new = sum(v["decision"] in CALLED_NEW for v in new)
    return (
        f"The truth is known here: {named} of {len(known)} known animals were named right and {called_new} of {len(new)} new ones "
        "called new. Rendered heads are easier than real ones."
    )


def _demo(workspace: str = "demo", photos: str | None = None, quiet: bool = False) -> dict[str, Any]:
    """`run_demo` as a flow."""
    return run_demo(workspace, photos, quiet=quiet)


def __getattr__(name: str) -> Any:
    """The flow ``demo``."""
    return made(__name__, name, {"demo": _demo})
