"""Nights of the past as they were: only the photos, names and decisions of then, and nothing that is current changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from resight.errors import SettingsError
from resight.flows.in_prefect import all_shown, run_name
from resight.flows.lazy import made
from resight.flows.steps import in_accepted_run, run_pipeline, tonights_cohort
from resight.ingest.past import then
from resight.run.run import Run
from resight.run.telling import attempted
from resight.runner.children import end_with_serving_process
from resight.status import PAST
from resight.store.workspace import checked_night, open_workspace
from resight.tasks.ingest import ingest_photos
from resight.tasks.publish import already_there, publish

UNTIL = ".."
Overrides = Mapping[str, Any] | None


def run_past(
    workspace: str | Path = ".",
    as_of: str = "",
    overrides: Overrides = None,
    sources: Sequence[str] | None = None,
    *,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """What `run_nightly` would have said on a night of the past, or on each of several.

    A run sees the photos that were there by then, the names that label files gave them, the decisions made by then and the names of
    unknown animals. The model is the accepted one, as of today. Each goes into ``runs/`` with the status ``past``, and nothing that is
    current changes.

    Args:
        workspace: Folder with ``resight.toml``.
        as_of: An ISO date, or the first and the last of several, as in ``2026-06-01..2026-06-07``.
        overrides: Settings above all other layers.
        sources: Where the photos are; the settings say so if not given.

    Returns:
        The summary of each night, as `run_nightly` gives it.

    Raises:
        SettingsError: That are no nights of the past.

    Examples:
        >>> first, last = resight.run_past("my season", "2026-06-04..2026-06-05")
    """
    return [run_past_night(workspace, night, overrides, sources, quiet=quiet) for night in nights_of(as_of)]


def nights_of(as_of: str) -> list[str]:
    """The nights that ``as_of`` names, in their order.

    Raises:
        SettingsError: They are none, or lie in the future.
    """
    first, several, last = as_of.partition(UNTIL)
    begin, end = (date.fromisoformat(checked_night(text.strip())) for text in (first, last if several else first))
    if end < begin:
        raise SettingsError(f"{as_of}: the first night comes after the last; write the earlier one first.")
    if end > date.today():
        raise SettingsError(
            f"{end} lies in the future, so nobody knows what is there by then; name a night of the past."
        )
    return [(begin + timedelta(days=k)).isoformat() for k in range((end - begin).days + 1)]


def run_past_night(
    workspace: str | Path,
    night: str,
    overrides: Overrides = None,
    sources: Sequence[str] | None = None,
    *,
    quiet: bool = False,
) -> dict[str, Any]:
    """One night of `run_past`."""
    place = open_workspace(workspace)
    with attempted(place, "past night", night=night) as tried:
        about: dict[str, Any] = {"night": night, "sources": tuple(sources or ()), "tried": tried, "quiet": quiet}
        about["then"] = then(place, date.fromisoformat(night))
        summary = in_accepted_run(place, overrides, PAST, _seen, **about)
        tried.result(summary)
        return summary


def _seen(run: Run) -> dict[str, Any]:
    ingested = ingest_photos(run)
    cohort = replace(tonights_cohort(run, ingested), is_kept=False)
    done = already_there(run, accept=False)
    if done:
        return done
    run_pipeline(run, ingested, cohort)
    return publish(run, accept=False)


def _past(
    workspace: str = ".",
    as_of: str = "",
    overrides: dict[str, Any] | None = None,
    sources: list[str] | None = None,
    quiet: bool = False,
) -> Any:
    """`run_past` as a flow, with a page for each night."""
    end_with_serving_process()
    return past_shown(workspace, as_of, overrides, sources, quiet)


def past_shown(workspace: str, as_of: str, overrides: Overrides, sources: Sequence[str] | None, quiet: bool) -> Any:
    """The nights of `run_past` inside a flow run: a state with their summaries, and a page for each."""
    return all_shown(
        workspace,
        [partial(run_past_night, workspace, one, overrides, sources, quiet=quiet) for one in nights_of(as_of)],
    )


def __getattr__(name: str) -> Any:
    """The flow ``past``."""
    return made(__name__, name, {"past": _past}, flow_run_name=run_name("past"))
