"""Draw the pages of a run again."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from resight.errors import DamagedError
from resight.reading import RunResults, open_run
from resight.report.pictures import Beside
from resight.run.conditions import open_conditions
from resight.run.pages import REPORT_TABLES, draw_accuracy, draw_report
from resight.run.run import MEASURING
from resight.settings import load_settings
from resight.store.damage import MISSING, fresh_records, watch
from resight.store.runs import RUN_CURE
from resight.store.sheets import sheets_of

log = logging.getLogger("resight")


def redraw_report(workspace: Path, run_id: str | None, out: Path | None, quiet: bool) -> list[Path]:
    """Draw the page of a run again from its tables, with the report settings as they are now.

    Returns:
        The page, and the accuracy page beside it where the run was measured.

    Raises:
        WorkspaceError: There is no such run.
        DamagedError: A table of it is lost.
    """
    run = open_run(workspace, run_id)
    place, record, tables = run.workspace, run.record | {"notes": []}, _tables(run)
    now = load_settings(place.root)
    evaluate = run.settings.evaluate.model_copy(update={"worst": now.evaluate.worst})
    settings = run.settings.model_copy(update={"report": now.report, "evaluate": evaluate})
    page = out or place.root / f"report-{run.run_id}.html"
    watch(place.store)
    with open_conditions(place, now, quiet=quiet) as conditions:  # workers and weights of today, names of the run
        write_page(
            page,
            lambda beside: draw_report(
                replace(conditions, settings=settings), record, tables, beside=beside, page=page
            ),
        )
    pages = [page]
    if "outcomes" in tables:
        beside = page.with_name(f"{page.stem}-accuracy{page.suffix}" if out else f"accuracy-{run.run_id}.html")
        beside.write_text(draw_accuracy(place, settings, record, tables), encoding="utf-8")
        pages.append(beside)
    for damage in fresh_records(place.store):
        log.warning("%s", damage.sentence())
    missing = [path for path in tables["crops"]["path"].to_pylist() if path and not (place.root / path).exists()]
    if missing:
        log.warning(
            "%d crops are not there or damaged (such as %s), and %s is without their pictures; the next night cuts them again.",
            len(missing),
            missing[0],
            page,
        )
    return pages


def write_page(page: Path, draw: Callable[[Beside], str]) -> None:
    """Write a page and the files that it shows beside it, and remove those of a page that was there before."""
    beside = Beside(page.stem)
    html = draw(beside)
    for old in sheets_of(page):
        old.unlink()
    for name, content in beside.files.items():
        (page.parent / name).write_bytes(content)
    page.write_text(html, encoding="utf-8")


def _tables(run: RunResults) -> dict[str, pa.Table]:
    """All tables of a run.

    Raises:
        DamagedError: One that every such run has is not there.
    """
    measured = ("accuracy", "outcomes") if run.record["flow"] in MEASURING else ()
    for name in ("features", *REPORT_TABLES, *measured):
        if name not in run.tables:
            raise DamagedError(run.workspace.runs / run.run_id / f"{name}.parquet", MISSING, RUN_CURE)
    return {name: run.table(name) for name in run.tables}
