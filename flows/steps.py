"""The steps that all flows share, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resight.errors import WorkspaceError
from resight.models import model_of, settle
from resight.run import Run
from resight.settings import Settings, load_settings
from resight.tasks.extract import extract_features
from resight.tasks.match import match_pairs
from resight.tasks.novelty import judge_novelty
from resight.tasks.rank import rank_candidates
from resight.tasks.report import write_report
from resight.tasks.score import score_pairs
from resight.tasks.segment import segment_photos
from resight.tasks.shortlist import plan_pairs
from resight.weights.store import WeightStore
from resight.workspace import Workspace


def open_workspace(root: str | Path) -> Workspace:
    """The workspace at ``root``.

    Raises:
        WorkspaceError: There is no such folder.
    """
    path = Path(root).expanduser().absolute()
    if not path.is_dir():
        raise WorkspaceError(f"{path} is not a folder; make a workspace with `resight init '{path}'`.")
    return Workspace(path)


def settings_for(workspace: Workspace, overrides: Mapping[str, Any] | None) -> tuple[Settings, WeightStore]:
    """All layers of settings, and the weights that they point to."""
    settings = load_settings(workspace.root, overrides)
    return settings, WeightStore(settings.weights_dir, settings.allow_download)


def asks_for_model(overrides: Mapping[str, Any] | None) -> bool:
    """Whether the command line itself names parts of the model."""
    return bool(
        set(overrides or {}) & {"segment", "crop", "extract", "shortlist", "match", "score", "rank", "novelty", "pairs"}
    )


def accepted_settings(workspace: Workspace, overrides: Mapping[str, Any] | None) -> tuple[Settings, Any, str]:
    """Settings with the promoted model, that model, and a sentence where the settings ask for another one."""
    asked, weights = settings_for(workspace, overrides)
    return settle(workspace, asked, weights, explicit=asks_for_model(overrides))


def asked_settings(workspace: Workspace, overrides: Mapping[str, Any] | None) -> tuple[Settings, Any]:
    """Settings and model as asked for, whatever is promoted."""
    asked, weights = settings_for(workspace, overrides)
    return asked, model_of(asked, weights)


def from_features_to_verdicts(run: Run) -> None:
    """Everything between the split into gallery and queries and the report."""
    extract_features(run)
    plan_pairs(run)
    match_pairs(run)
    score_pairs(run)
    rank_candidates(run)
    judge_novelty(run)


def whole_way(run: Run) -> None:
    """From photos whose cohort is known to the report."""
    segment_photos(run)
    from_features_to_verdicts(run)
    write_report(run)


def as_sources(sources: Sequence[str] | None) -> tuple[str, ...]:
    """Sources from the command line, if any."""
    return tuple(sources or ())
