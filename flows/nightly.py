"""The night's work: what is new is read, compared with the gallery, decided on, written and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from resight.flows.in_prefect import run_name, scheduled_night, shown
from resight.flows.lazy import made
from resight.flows.past import past_shown
from resight.flows.steps import in_accepted_run, run_pipeline, tonights_cohort
from resight.pairs.cohort import Cohort
from resight.run.models import current_model
from resight.run.run import Run
from resight.run.telling import attempted
from resight.runner.children import end_with_serving_process
from resight.status import KEPT_ASIDE
from resight.store.attempts import Attempt
from resight.store.workspace import checked_night, open_workspace
from resight.tasks.ingest import ingest_photos
from resight.tasks.publish import already_there, may_publish, publish


def run_nightly(
    workspace: str | Path = ".",
    night: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    sources: Sequence[str] | None = None,
    *,
    accept: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """One night. Safe to call again at any time: it does only what is missing.

    Args:
        workspace: Folder with ``resight.toml``.
        night: ISO date that the run is for; today if not given. The same night with the same photos is there once, and a later one
            on which photos, names, decisions, model and settings are as before has no run of its own: ``run_id`` names the run that stays current.
        overrides: Settings above all other layers.
        sources: Where the photos are; the settings say so if not given.
        accept: Publish even if photos, or names of known animals, have been lost since the last night.

    Returns:
        The summary: run id, counts by stage and status, what was really computed, decisions, where the report is.
        ``status`` is ``kept_aside`` where too much is lost (section ``gate`` of the settings): ``reason`` says what, and
        what is current stays as it was.

    Examples:
        >>> night = resight.run_nightly("my season", night="2026-06-05")
        >>> counts, report = night["decisions"], night["report"]
    """
    place, night = open_workspace(workspace), checked_night(night or date.today().isoformat())
    with attempted(place, "nightly", night=night) as tried:
        about: dict[str, Any] = {"night": night, "sources": tuple(sources or ()), "tried": tried, "quiet": quiet}
        summary = in_accepted_run(place, overrides, "nightly", lambda run: _night(run, accept, tried), **about)
        tried.result(summary)
        return summary


def _night(run: Run, accept: bool, tried: Attempt) -> dict[str, Any]:
    first = current_model(run.workspace) is None
    summary = _from_photos_to_tables(run, accept, first)
    if first and summary["status"] != KEPT_ASIDE:
        tried.follow(accepted_model=run.model.fingerprint)
    return summary


def _from_photos_to_tables(run: Run, accept: bool, first: bool) -> dict[str, Any]:
    ingested = ingest_photos(run)
    cohort = tonights_cohort(run, ingested)
    run.note(*_what_is_missing(cohort))
    whole = may_publish(run, ingested, accept)
    done = already_there(run, accept=whole, model=first)
    if done:
        return done
    run_pipeline(run, ingested, cohort)
    return publish(run, accept=whole, model=first)


def _what_is_missing(cohort: Cohort) -> list[str]:
    if cohort.queries and not cohort.gallery:
        return [
            "Nobody is known yet, so nobody can be recognised: name some animals in metadata.csv (column individual_id)."
        ]
    if cohort.gallery and not cohort.queries:
        return [
            "All photos have a name already, so there is nothing to identify; `resight accuracy` tells how good the system is on them."
        ]
    return []


def _nightly(
    workspace: str = ".",
    night: str | None = None,
    overrides: dict[str, Any] | None = None,
    sources: list[str] | None = None,
    accept: bool = False,
    quiet: bool = False,
    as_of: str | None = None,
) -> Any:
    """`run_nightly` as a flow; a scheduled run that starts late is still for the night it was scheduled for.

    A night that is kept aside ends in the state KeptAside, which counts as failed. With ``as_of`` it is `run_past` instead: the
    views of one night of the past, or of several.
    """
    end_with_serving_process()
    if as_of:
        return past_shown(workspace, as_of, overrides, sources, quiet)
    night = night or scheduled_night()
    return shown(workspace, lambda: run_nightly(workspace, night, overrides, sources, accept=accept, quiet=quiet))


def __getattr__(name: str) -> Any:
    """The flow ``nightly``."""
    return made(__name__, name, {"nightly": _nightly}, flow_run_name=run_name("nightly"), retries=0)
