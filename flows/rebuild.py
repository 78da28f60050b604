"""A new model or setting: compared with the accepted one on confirmed labels; if it is not worse, everything again, and accepted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from resight.errors import NothingToMeasure, WorkspaceError
from resight.evaluate.paired import Comparison, compare
from resight.flows.evaluation import measure_workspace
from resight.flows.in_prefect import run_name, scheduled_night, shown
from resight.flows.lazy import made
from resight.flows.steps import MOST_ROUNDS, making_way, own_settings, run_pipeline, settings_for, tonights_cohort
from resight.run.conditions import Way
from resight.run.models import Model, current_model, weights_of, with_model
from resight.run.run import Run, open_run
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
from resight.weights.trained_on import trained_on

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
        settings, model = own_settings(place, overrides)
        work = _Rebuild(place, night, overrides, settings, model, current_model(place), tried, quiet)
        result = work.result(accept_unmeasured, accept)
        tried.result(result)
        return result


@dataclass(frozen=True)
class _Rebuild:
    """A rebuild under way, which makes way for everybody who waits for the workspace.

    Attributes:
        old: The accepted model when it began.
    """

    place: Workspace
    night: str
    overrides: Mapping[str, Any] | None
    settings: Settings
    model: Model
    old: Model | None
    tried: Attempt
    quiet: bool
    way: Way = field(default_factory=Way)

    def result(self, accept_unmeasured: bool, accept: bool) -> dict[str, Any]:
        comparison, measured = None, None
        if self.old and self.old.fingerprint != self.model.fingerprint:
            comparison, measured = self._compare(self.old)
        if comparison and not (comparison.not_worse or (accept_unmeasured and comparison.too_few)):
            return self._refused(comparison, measured)
        said = comparison.sentence if comparison else ""
        result = making_way(self.settings, lambda: self._everything(said, accept))
        verdict, page = comparison and comparison.as_dict(), measured and measured["accuracy_page"]
        return result | {"refused": False, "comparison": verdict, "accuracy_page": page}

    def _everything(self, said: str, accept: bool) -> dict[str, Any]:
        """All photos under the new model, which is accepted; the summary, with whether it is."""
        with self._run(tried=self.tried) as run:
            self._still_compared()
            run.note(said)
            ingested = ingest_photos(run)
            promoted = may_publish(run, ingested, accept)
            result = already_there(run, accept=promoted, model=promoted)
            if result is None:
                run_pipeline(run, ingested, tonights_cohort(run, ingested))
                result = publish(run, accept=promoted, model=promoted)
            return result | {"promoted": promoted}

    def _still_compared(self) -> None:
        """Others were let through meanwhile.

        Raises:
            WorkspaceError: The model that this one was compared with is not the accepted one any more.
        """
        now = current_model(self.place)
        if now and now.fingerprint not in {self.model.fingerprint, self.old and self.old.fingerprint}:
            raise WorkspaceError(
                f"Another model was accepted in {self.place.root} while this rebuild was at work, so its comparison counts no longer; "
                "run `resight rebuild` again to compare with that one. What was computed is kept."
            )

    def _refused(self, comparison: Comparison, measured: dict[str, Any] | None) -> dict[str, Any]:
        """The summary of a model that is not accepted: of its measurement, as nothing else was computed."""
        why = comparison.sentence
        if measured is None:
            measured = making_way(self.settings, self._without_measurement)
        else:
            log.warning("%s", why)
        notes = [why, *(note for note in measured["notes"] if note != why)]
        ended = {
            "flow": "rebuild",
            "status": KEPT_ASIDE,
            "reason": why,
            "notes": notes,
            "promoted": False,
            "refused": True,
        }
        return measured | ended | {"comparison": comparison.as_dict(), "accuracy_page": measured.get("accuracy_page")}

    def _without_measurement(self) -> dict[str, Any]:
        with self._run() as run:
            ingest_photos(run)
            return without_run(run)

    def _run(self, tried: Attempt | None = None) -> AbstractContextManager[Run]:
        about: dict[str, Any] = {"night": self.night, "tried": tried, "quiet": self.quiet, "way": self.way}
        return open_run(self.place, self.settings, self.model, flow="rebuild", **about)

    def _compare(self, old: Model) -> tuple[Comparison, dict[str, Any] | None]:
        """The verdict, and the summary of the new model's measurement; None where there was nothing to measure."""
        how = self.settings.evaluate
        try:
            before, after = self._both_measured(old)
        except NothingToMeasure as why:
            log.warning("%s", why)
            return compare(*[empty_table("outcomes")] * 2), None
        earlier, later = (read_run(self.place, r["run_id"], "outcomes") for r in (before, after))
        return compare(earlier, later, self.settings.novelty.prior_new, how.draws, how.seed), after

    def _learned_from(self, old: Model) -> frozenset[str]:
        """Animals that weights of either model were trained on, and which would flatter it."""
        store = weights_of(self.place, self.settings)
        return frozenset().union(
            *(trained_on(store.find(n).path) for model in (old, self.model) for n in model.weights)
        )

    def _both_measured(self, old: Model) -> tuple[dict[str, Any], dict[str, Any]]:
        """The measurements of the accepted model and of the new one, on the same photos, names and decisions.

        Between the two a night may come in, or a decision; then both are measured again, from what lies in the store.

        Raises:
            NothingToMeasure: There is no query.
            WorkspaceError: Something changed each time.
        """
        about: dict[str, Any] = {"night": self.night, "accept": False, "quiet": self.quiet, "way": self.way}
        old_settings = with_model(settings_for(self.place, self.overrides), old)
        seen = self._learned_from(old)
        old_settings = _measured_without(old_settings, seen)
        for _ in range(MOST_ROUNDS):
            before = measure_workspace(self.place, old_settings, old, **about)
            paired = _measured_without(self.settings, seen).evaluate.model_copy(update={"against": before["run_id"]})
            changed = self.settings.model_copy(update={"evaluate": paired})
            after = measure_workspace(self.place, changed, self.model, **about)
            if before["inputs"] == after["inputs"]:
                return before, after
            log.warning(
                "Photos, names or decisions changed while the two models were measured, so both are measured again on what is there now."
            )
        raise WorkspaceError(
            f"Photos, names or decisions in {self.place.root} changed each of the {MOST_ROUNDS} times that the two models were measured, "
            "so they cannot be compared; run `resight rebuild` again when nobody works on them. What was computed is kept."
        )


def _measured_without(settings: Settings, seen: frozenset[str]) -> Settings:
    """The settings under which these animals ask nothing."""
    silent = tuple(sorted(seen.union(settings.evaluate.not_asking)))
    return settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"not_asking": silent})})


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
