"""Evaluation: hide labels before the ranking, measure after it, compare with before."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from resight.errors import NothingToMeasure
from resight.evaluate.accuracy import Context, accuracy_rows
from resight.evaluate.curves import curve_rows
from resight.evaluate.history import asked_encounters, earlier_runs, partner
from resight.evaluate.paired import compare
from resight.run import measuring
from resight.run.measuring import HiddenLabels, all_outcomes, seconds_per_query
from resight.run.run import Run
from resight.run.state import Judged, Segmented
from resight.store.runs import read_run
from resight.tasks.stage import stage

Rows = list[dict[str, Any]]


def hide_labels(run: Run, segmented: Segmented) -> HiddenLabels:
    """Split the usable labelled photos into gallery and queries; the ranking sees the gallery's labels alone.

    Raises:
        LeakError, NothingToMeasure: As `measuring.hide_labels`; with what was noted before, such as a label file that cannot be read.
    """
    try:
        hidden = measuring.hide_labels(segmented, run.settings.evaluate, run.sources)
    except NothingToMeasure as nothing:
        raise NothingToMeasure(" ".join([str(nothing), *run.notes])) from nothing
    run.note(*hidden.notes)
    return hidden


@stage("measure")
def measure(run: Run, judged: Judged, same_day_share: float, background: Rows) -> pa.Table:
    """What happened to every query, all metrics with intervals and strata, and the curves; gives the table ``outcomes``."""
    rows = all_outcomes(run.conditions, judged, run.note)
    outcomes = run.add("outcomes", rows + background)
    seconds = seconds_per_query(judged, run.work["pairs_matched"], run.seconds)
    how, prior_new = run.settings.evaluate, run.settings.novelty.prior_new
    context = Context(judged.cohort.protocol, prior_new, same_day_share, seconds, how.draws, how.seed)
    run.add("accuracy_curves", curve_rows(outcomes, context))
    run.add("accuracy", accuracy_rows(outcomes, context))
    return outcomes


@stage("compare")
def compare_runs(run: Run, outcomes: pa.Table, protocol: str) -> None:
    """Against an earlier run, query by query; writes nothing where there is none."""
    how = run.settings.evaluate
    earlier = earlier_runs(run.workspace, run.flow, protocol, asked_encounters(outcomes), datetime.now(UTC))
    other = partner(run.workspace, how.against, earlier)
    if other is None:
        return
    before, prior_new = read_run(run.workspace, other, "outcomes"), run.settings.novelty.prior_new
    comparison = compare(before, outcomes, prior_new, how.draws, how.seed)
    against = {"against_run_id": other}
    run.add("accuracy_differences", [row | against for row in comparison.differences])
    run.add("changes", [row | against for row in comparison.changes])
