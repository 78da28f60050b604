"""A new model or setting: compared with the accepted one on confirmed labels; if it is not worse, everything again, and accepted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from resight.errors import NothingToMeasure
from resight.evaluate.paired import Comparison, compare
from resight.flows.evaluation import measure_workspace
from resight.flows.in_prefect import run_name, scheduled_night, shown
from resight.flows.lazy import made
from resight.flows.steps import again_if_lost, own_settings, run_pipeline, settings_for, tonights_cohort
from resight.run.models import Model, current_model, with_model
from resight.run.run import open_run
from resight.run.telling import attempted
from resight.runner.children import end_with_serving_process
from resight.settings import Settings
from resight.status import KEPT_ASIDE
from resight.store.attempts import Attempt
from resight.store.runs import read_run
from resight.store.tables import empty_table
from resight.store.workspace import Workspace, checked_night, open_workspace
from resight.tasks.ingest import ingest_photos
from resight.tasks.publish import already_there, may_publish, publish, without_run

log = logging.getLogger("resight")


def run_rebuild(
    workspace: str | Path = ".",
    night: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    accept_unmeasured: bool = False,
    accept: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compare the settings and weights of now with the accepted model; if they are not worse, compute everything and accept them.

    What is computed for the comparison is what labelled photos need; of a model that is refused nothing else is computed.

    Args:
        accept_unmeasured: Accept also where there are too few confirmed labels to compare the two.
        accept: Publish even if photos, or names of known animals, have been lost since the last night.

    Returns:
        The new run's summary with ``comparison`` (old and new metrics on the same queries, their differences with
        intervals, and the verdict) and ``accuracy_page`` (the same to look at, with the photos of what changed). Of a model that
        is refused, the summary of its measurement; ``run_id`` is None where there was nothing to measure.

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
    comparison, measured = None, None
    if old and old.fingerprint != model.fingerprint:
        comparison, measured = _compare(place, overrides, old, settings, model, night, quiet)
    if comparison and not (comparison.not_worse or (accept_unmeasured and comparison.too_few)):
        return _refused(place, settings, model, night, comparison, measured, quiet)
    said = comparison.sentence if comparison else ""
    result = again_if_lost(settings, lambda: _everything(place, settings, model, night, said, tried, accept, quiet))
    verdict, page = comparison and comparison.as_dict(), measured and measured["accuracy_page"]
    return result | {"refused": False, "comparison": verdict, "accuracy_page": page}


def _everything(
    place: Workspace,
    settings: Settings,
    model: Model,
    night: str,
    said: str,
    tried: Attempt,
    accept: bool,
    quiet: bool,
) -> dict[str, Any]:
    """All photos under the new model, which is accepted; the summary, with whether it is."""
    with open_run(place, settings, model, flow="rebuild", night=night, tried=tried, quiet=quiet) as run:
        run.note(said)
        ingested = ingest_photos(run)
        promoted = may_publish(run, ingested, accept)
        result = already_there(run, accept=promoted, model=promoted)
        if result is None:
            run_pipeline(run, ingested, tonights_cohort(run, ingested))
            result = publish(run, accept=promoted, model=promoted)
        return result | {"promoted": promoted}


def _refused(
    place: Workspace,
    settings: Settings,
    model: Model,
    night: str,
    comparison: Comparison,
    measured: dict[str, Any] | None,
    quiet: bool,
) -> dict[str, Any]:
    """The summary of a model that is not accepted: of its measurement, as nothing else was computed."""
    why = comparison.sentence
    if measured is None:
        with open_run(place, settings, model, flow="rebuild", night=night, quiet=quiet) as run:
            ingest_photos(run)
            measured = without_run(run)
    else:
        log.warning("%s", why)
    notes = [why, *(note for note in measured["notes"] if note != why)]
    ended = {"flow": "rebuild", "status": KEPT_ASIDE, "reason": why, "notes": notes, "promoted": False, "refused": True}
    return measured | ended | {"comparison": comparison.as_dict(), "accuracy_page": measured.get("accuracy_page")}


def _compare(
    place: Workspace,
    overrides: Mapping[str, Any] | None,
    old: Model,
    settings: Settings,
    model: Model,
    night: str | None,
    quiet: bool,
) -> tuple[Comparison, dict[str, Any] | None]:
    """The verdict, and the summary of the new model's measurement; None where there was nothing to measure."""
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
    return compare(earlier, later, settings.novelty.prior_new, how.draws, how.seed), after


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
