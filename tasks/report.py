"""Stages ``report`` and ``accuracy``: the pages of the run under way, drawn into its folder."""

from pathlib import Path

from resight.report.pictures import Beside
from resight.run.pages import draw_accuracy, draw_report
from resight.run.run import Run
from resight.run.state import Scored
from resight.store.generations import ACCURACY_FILE
from resight.tasks.stage import stage


@stage("report")
def write_report(run: Run, scored: Scored, page: Path | None = None) -> Path:
    """Draw the page that shows what was found and what proves it; ``page`` is where it will be, if not in the run's folder."""
    beside = Beside(page.stem if page else "report")
    html = draw_report(run.conditions, run.record_so_far(), run.written, scored.null, beside, page)
    return run.staging.write_report(html, beside=beside.files)


@stage("accuracy")
def write_accuracy(run: Run) -> Path:
    """Draw the page that shows how good the system is."""
    html = draw_accuracy(run.workspace, run.settings, run.record_so_far(), run.written)
    return run.staging.write_report(html, ACCURACY_FILE)
