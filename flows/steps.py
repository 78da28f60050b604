"""The steps that all flows share, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resight.errors import KeptAside
from resight.pairs.cohort import Cohort
from resight.run.models import model_of, settle
from resight.run.photo_outcomes import photo_counts
from resight.run.run import Run
from resight.run.state import Ingested, Judged, Segmented
from resight.settings import SETTINGS_FILE, Settings, load_settings
from resight.settings.choice import Choice, choose
from resight.store.workspace import Workspace
from resight.store.workspace import open_workspace as open_workspace
from resight.tasks.cluster import group_unknowns
from resight.tasks.extract import extract_features
from resight.tasks.match import match_pairs
from resight.tasks.novelty import judge
from resight.tasks.publish import KEPT_ASIDE
from resight.tasks.report import write_report
from resight.tasks.segment import segment_photos
from resight.tasks.shortlist import plan_pairs
from resight.weights.store import WeightStore


def settings_for(workspace: Workspace, overrides: Mapping[str, Any] | None) -> tuple[Settings, WeightStore]:
    """All layers of settings, and the weights that they point to; without a file, what `resight init` would choose."""
    choice = choice_without_file(workspace)
    lowest = {"extract": choice.extract, "match": choice.match, "score": choice.score} if choice else None
    settings = load_settings(workspace.root, overrides, without_file=lowest)
    return settings, WeightStore(settings.weights_dir, settings.allow_download)


def choice_without_file(workspace: Workspace) -> Choice | None:
    """What `resight init` would choose here; None where a settings file says it."""
    return None if (workspace.root / SETTINGS_FILE).exists() else choose(WeightStore(allow_download=False))


def note_of_choice(workspace: Workspace) -> list[str]:
    """A sentence for people where no settings file says what runs."""
    choice = choice_without_file(workspace)
    if choice is None:
        return []
    return [
        f"There is no {SETTINGS_FILE} in {workspace.root}; what is not set otherwise is {choice.extract['kind']} + "
        f"{choice.match['kind']}, because {choice.why}. `resight init` writes that down."
    ]


def asks_for_model(overrides: Mapping[str, Any] | None) -> bool:
    """Whether the command line itself names parts of the model."""
    return bool(set(overrides or {}) & Settings.sections_affecting("model"))


def accepted_settings(workspace: Workspace, overrides: Mapping[str, Any] | None) -> tuple[Settings, Any, str]:
    """Settings with the promoted model, that model, and a sentence where the settings ask for another one."""
    asked, weights = settings_for(workspace, overrides)
    return settle(workspace, asked, weights, explicit=asks_for_model(overrides))


def asked_settings(workspace: Workspace, overrides: Mapping[str, Any] | None) -> tuple[Settings, Any]:
    """Settings and model as asked for, whatever is promoted."""
    asked, weights = settings_for(workspace, overrides)
    return asked, model_of(asked, weights, workspace)


def from_features_to_verdicts(run: Run, segmented: Segmented, cohort: Cohort) -> Judged:
    """Everything between the split into gallery and queries and the report."""
    extracted = extract_features(run, segmented)
    planned = plan_pairs(run, extracted, cohort)
    judged = judge(run, match_pairs(run, planned))
    if run.flow != "identify" and not cohort.leave_one_out:
        judged = group_unknowns(run, judged)
    came_in = run.counts["ingest"]["in"]
    run.counts["photos"] = {"in": came_in, "out": photo_counts(judged, came_in)}
    return judged


def run_pipeline(run: Run, ingested: Ingested, cohort: Cohort) -> None:
    """From photos whose cohort is known to the report."""
    judged = from_features_to_verdicts(run, segment_photos(run, ingested), cohort)
    write_report(run, judged)


def as_sources(sources: Sequence[str] | None) -> tuple[str, ...]:
    """Sources from the command line, if any."""
    return tuple(sources or ())


def weight_store(workspace: Path) -> WeightStore:
    """The store that the workspace's settings describe; any folder will do."""
    settings = load_settings(workspace if workspace.is_dir() else None)
    return WeightStore(settings.weights_dir, settings.allow_download)


def as_state(result: dict[str, Any]) -> Any:
    """What a flow gives back: the summary, or for a run that is kept aside a state that an operator sees.

    Whoever calls the flow as a function gets `KeptAside` with the summary then.
    """
    if result["status"] != KEPT_ASIDE:
        return result
    from prefect.states import Failed

    return Failed(name="KeptAside", message=result["reason"], data=KeptAside(result))
