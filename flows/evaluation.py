"""How good is it? A labelled folder, or the workspace's own confirmed labels, split so that nothing leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.flows import steps
from resight.flows.in_prefect import run_name, scheduled_night, shown
from resight.flows.lazy import made
from resight.pairs.cohort import Cohort
from resight.run.conditions import Way
from resight.run.measuring import HiddenLabels
from resight.run.models import Model
from resight.run.run import Run, open_run
from resight.run.state import Ingested, Judged, Segmented
from resight.run.telling import attempted
from resight.runner.children import end_with_serving_process
from resight.score.base import FUSED
from resight.settings import Settings
from resight.store.attempts import Attempt, attempt
from resight.store.workspace import Workspace, checked_night, open_workspace
from resight.tasks.background import control_background
from resight.tasks.ingest import ingest_photos
from resight.tasks.measure import compare_runs, hide_labels, measure
from resight.tasks.publish import already_there, publish, publish_accuracy
from resight.tasks.report import write_accuracy, write_report
from resight.tasks.score import refit_fusion
from resight.tasks.segment import segment_photos


def run_evaluate(
    folder: str | Path, workspace: str | Path = ".", overrides: Mapping[str, Any] | None = None, *, quiet: bool = False
) -> dict[str, Any]:
    """Measure on a labelled folder (``metadata.csv``, and outlines if there are some); changes nothing that is current.

    Returns:
        The run's summary with ``metrics``.

    Examples:
        >>> metrics = resight.run_evaluate("labelled photos", "my season")["metrics"]
        >>> share_right_at_once = metrics["top1_photo"]
    """
    place = open_workspace(workspace)
    with attempt(place, "evaluate", folder=str(folder)) as tried:
        sources, overrides = steps.labelled_folder(place, folder, overrides)
        settings, model = steps.own_settings(place, overrides)
        with open_run(place, settings, model, flow="evaluate", sources=sources, tried=tried, quiet=quiet) as run:
            run.note(*steps.note_of_choice(place))
            summary = _measured(run, accept=False)
        tried.result(summary)
        return summary


def run_accuracy(
    workspace: str | Path = ".",
    night: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    quiet: bool = False,
) -> dict[str, Any]:
    """Measure the accepted model on the workspace's confirmed labels; the result becomes ``current/accuracy.parquet``.

    Examples:
        >>> metrics = resight.run_accuracy("my season")["metrics"]
        >>> share_right_at_once = metrics["top1_photo"]
    """
    place, night = open_workspace(workspace), checked_night(night or date.today().isoformat())
    with attempted(place, "accuracy", night=night) as tried:
        how: dict[str, Any] = {"night": night, "accept": True, "tried": tried, "quiet": quiet}

        def under(settings: Settings, model: Model, sentence: str) -> dict[str, Any]:
            return measure_workspace(place, settings, model, note=sentence, **how)

        summary = steps.under_accepted(place, overrides, under)
        tried.result(summary)
        return summary


def measure_workspace(
    place: Workspace,
    settings: Settings,
    model: Model,
    *,
    night: str | None,
    note: str = "",
    accept: bool,
    tried: Attempt | None = None,
    quiet: bool,
    way: Way | None = None,
) -> dict[str, Any]:
    """Measure any model on the workspace's confirmed labels; with ``way`` it makes way for others.

    Args:
        accept: The result becomes current; for the accepted model, in `steps.under_accepted`.

    Returns:
        The run's summary; ``inputs`` stands for the photos, names and decisions that it saw.
    """

    def measured() -> dict[str, Any]:
        with open_run(place, settings, model, flow="accuracy", night=night, tried=tried, quiet=quiet, way=way) as run:
            if accept:
                steps.still_accepted(run)
            run.note(note)
            summary = _measured(run, accept=accept)
            return summary | {"inputs": run.inputs}

    return steps.again_if_lost(settings, measured) if way is None else steps.making_way(settings, measured)


def _measured(run: Run, accept: bool) -> dict[str, Any]:
    ingested = ingest_photos(run)
    done = already_there(run, accept=False)
    if done:
        if accept:  # a rebuild may have measured it, and that publishes nothing and fits nothing
            if run.settings.score.name == FUSED:
                refit_fusion(run, steps.healed(run, lambda: _verdicts(run, ingested))[2])
                done["notes"] = run.notes
            publish_accuracy(run)
        return done
    segmented, hidden, judged = steps.healed(run, lambda: _verdicts(run, ingested))
    control = control_background(run, segmented, hidden.cohort) if run.settings.evaluate.background_control else None
    outcomes = measure(run, judged, hidden.same_day_share, (control and control.outcomes) or [])
    compare_runs(run, outcomes, hidden.cohort.protocol)
    if accept:
        refit_fusion(run, judged)
    write_report(run, judged)
    write_accuracy(run)
    result = publish(run, accept=False)
    if accept:
        publish_accuracy(run)
    return result


def _verdicts(run: Run, ingested: Ingested) -> tuple[Segmented, HiddenLabels, Judged]:
    segmented = segment_photos(run, ingested)
    hidden = hide_labels(run, segmented)
    return (
        segmented,
        hidden,
        steps.from_features_to_verdicts(run, _taking_part(segmented, hidden.cohort), hidden.cohort),
    )


def _taking_part(segmented: Segmented, cohort: Cohort) -> Segmented:
    """With the crops of queries and gallery alone: a new model that may be refused computes nothing of other photos."""
    takes_part = pa.array(sorted(cohort.queries | cohort.gallery), pa.string())
    return replace(segmented, crops=segmented.crops.filter(pc.is_in(segmented.crops["photo_id"], takes_part)))


def _accuracy(
    workspace: str = ".", night: str | None = None, overrides: dict[str, Any] | None = None, quiet: bool = False
) -> Any:
    """`run_accuracy` as a flow; it ends in the state Worse, which counts as completed, where it got worse by more than chance."""
    end_with_serving_process()
    night = night or scheduled_night()
    return shown(workspace, lambda: run_accuracy(workspace, night, overrides, quiet=quiet))


def __getattr__(name: str) -> Any:
    """The flow ``accuracy``."""
    return made(__name__, name, {"accuracy": _accuracy}, flow_run_name=run_name("accuracy"))
