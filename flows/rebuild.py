"""A new model or setting: everything again beside the old results, compared with them, accepted only if not worse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from resight.errors import NothingToMeasure
from resight.evaluate.paired import Comparison, compare
from resight.flows.evaluation import measure_workspace
from resight.flows.in_prefect import run_name, scheduled_night, shown
from resight.flows.lazy import made
from resight.flows.steps import own_settings, run_pipeline, settings_for, tonights_cohort
from resight.run.models import Model, current_model, with_model
from resight.run.run import open_run
from resight.run.telling import attempted
from resight.runner.children import end_with_serving_process
from resight.settings import Settings
from resight.store.attempts import Attempt
from resight.store.runs import read_run
from resight.store.tables import empty_table
from resight.store.workspace import Workspace, checked_night, open_workspace
from resight.tasks.ingest import ingest_photos
from resight.tasks.publish import already_there, may_publish, publish


def run_rebuild(
    workspace: str | Path = ".",
    night: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    accept_unmeasured: bool = False,
    accept: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compute everything under the settings and weights of now, compare with the accepted model, accept if not worse.

    Args:
        accept_unmeasured: Accept also where there are too few confirmed labels to compare the two.
        accept: Publish even if photos, or names of known animals, have been lost since the last night.

    Returns:
        The new run's summary with ``comparison`` (old and new metrics on the same queries, their differences with
        intervals, and the verdict) and ``accuracy_page`` (the same to look at, with the photos of what changed).

    Examples:
        >>> result = resight.run_rebuild("my season")  # after a change in resight.toml
        >>> is_accepted, why = result["promoted"], result["notes"]
    """
    place, night = open_workspace(workspace), checked_night(night or date.today().isoformat())
    with attempted(place, "rebuild", night=night) as tried:
        result = _rebuilt(place, night, overrides, tried, accept_unmeasured, accept, quiet)
        tried.result(result)
        return result


def _rebuilt(
    place: Workspace,
    night: str,
    overrides: Mapping[str, Any] | None,
    tried: Attempt,
    accept_unmeasured: bool,
    accept: bool,
    quiet: bool,
) -> dict[str, Any]:
    settings, model = own_settings(place, overrides)
    old = current_model(place)
    comparison, page = None, None
    if old and old.fingerprint != model.fingerprint:
        comparison, page = _compare(place, overrides, old, settings, model, night, quiet)
    refused = comparison is not None and not (comparison.not_worse or (accept_unmeasured and comparison.too_few))
    with open_run(place, settings, model, flow="rebuild", night=night, tried=tried, quiet=quiet) as run:
        run.note(comparison.sentence if comparison else "")
        ingested = ingest_photos(run)
        whole = may_publish(run, ingested, accept)
        if comparison and refused:
            run.reason = comparison.sentence
        promoted = whole and not refused
        result = already_there(run, accept=promoted, model=promoted)
        if result is None:
            run_pipeline(run, ingested, tonights_cohort(run, ingested))
            result = publish(run, accept=promoted, model=promoted)
    verdict = comparison.as_dict() if comparison else None
    return result | {"promoted": promoted, "refused": refused, "comparison": verdict, "accuracy_page": page}


def _compare(
    place: Workspace,
    overrides: Mapping[str, Any] | None,
    old: Model,
    settings: Settings,
    model: Model,
    night: str | None,
    quiet: bool,
) -> tuple[Comparison, str | None]:
    """The verdict, and the page that shows it."""
    old_settings = with_model(settings_for(place, overrides), old)
    try:
        before = measure_workspace(place, old_settings, old, night=night, accept=False, quiet=quiet)
        paired = settings.evaluate.model_copy(update={"against": before["run_id"]})
        changed = settings.model_copy(update={"evaluate": paired})
        after = measure_workspace(place, changed, model, night=night, accept=False, quiet=quiet)
    except NothingToMeasure:
        return compare(*[empty_table("outcomes")] * 2), None
    earlier, later = (read_run(place, r["run_id"], "outcomes") for r in (before, after))
    how = settings.evaluate
    return compare(earlier, later, settings.novelty.prior_new, how.draws, how.seed), after["accuracy_page"]


def _rebuild(
    workspace: str = ".",
    night: str | None = None,
    overrides: dict[str, Any] | None = None,
    accept_unmeasured: bool = False,
    accept: bool = False,
    quiet: bool = False,
) -> Any:
    """`run_rebuild` as a flow; it ends in the state Refused or KeptAside, which count as failed, where it is not accepted."""
    end_with_serving_process()
    choices = {"accept_unmeasured": accept_unmeasured, "accept": accept, "quiet": quiet}
    return shown(workspace, lambda: run_rebuild(workspace, night or scheduled_night(), overrides, **choices))


def __getattr__(name: str) -> Any:
    """The flow ``rebuild``."""
    return made(__name__, name, {"rebuild": _rebuild}, flow_run_name=run_name("rebuild"))
