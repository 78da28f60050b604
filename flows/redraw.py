"""Draw the pages of a run again."""

import logging
from dataclasses import replace
from pathlib import Path

from resight.reading import open_run
from resight.run.conditions import open_conditions
from resight.run.pages import draw_accuracy, draw_report
from resight.settings import load_settings
from resight.store.damage import fresh_records, watch

MISSING = "picture missing"  # as the pages say it in a picture's place
log = logging.getLogger("resight")


def redraw_report(workspace: Path, run_id: str | None, out: Path | None, quiet: bool) -> list[Path]:
    """Draw the page of a run again from its tables, with the report settings as they are now.

    Returns:
        The page, and the accuracy page beside it where the run was measured.

    Raises:
        WorkspaceError: There is no such run.
    """
    run = open_run(workspace, run_id)
    place, record, tables = run.workspace, run.record | {"notes": []}, {name: run.table(name) for name in run.tables}
    now = load_settings(place.root)
    evaluate = run.settings.evaluate.model_copy(update={"worst": now.evaluate.worst})
    settings = run.settings.model_copy(update={"report": now.report, "evaluate": evaluate})
    page = out or place.root / f"report-{run.run_id}.html"
    watch(place.store)
    with open_conditions(place, now, quiet=quiet) as conditions:  # workers and weights of today, names of the run
        page.write_text(draw_report(replace(conditions, settings=settings), record, tables), encoding="utf-8")
    pages = [page]
    if "outcomes" in tables:
        beside = page.with_name(f"{page.stem}-accuracy{page.suffix}" if out else f"accuracy-{run.run_id}.html")
        beside.write_text(draw_accuracy(place, settings, record, tables), encoding="utf-8")
        pages.append(beside)
    for damage in fresh_records(place.store):
        log.warning("%s", damage.sentence())
    for drawn in pages:
        if MISSING in drawn.read_text(encoding="utf-8"):
            log.warning(
                "%s is without pictures that are not there or damaged; they are cut again by the next night.", drawn
            )
    return pages
