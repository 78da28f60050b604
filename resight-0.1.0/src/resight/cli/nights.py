"""`resight nightly`, `identify`, `report`, `serve` and `rebuild`: the work of every night, and what belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer import Argument, Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import line, linked, place, print_notes, print_result
from resight.errors import KeptAside, SettingsError, machine_errors_at

nights_app = typer.Typer()


@nights_app.command(rich_help_panel=Panel.NIGHTS)
def nightly(
    workspace: options.WorkspaceOption = options.HERE,
    night: options.NightOption = None,
    source: Annotated[list[str] | None, Option(help="Photos instead of ingest.sources; may be repeated.")] = None,
    as_of: Annotated[
        str | None,
        Option(
            help="Show a past night, or several (2026-06-01..2026-06-07), as it was then; current results do not change."
        ),
    ] = None,
    accept: options.AcceptOption = False,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
    plain: options.PlainOption = False,
    record: options.RecordOption = False,
) -> None:
    """A night's work: read new photos, compare them with the known animals, decide, write tables and the report."""
    from resight.flows import nightly as flows
    from resight.flows import past
    from resight.flows.lazy import as_asked
    from resight.run.run import absolute_sources

    sources = list(absolute_sources(source)) if source else None
    where, changed = options.absolute(workspace), options.overrides(settings)
    if as_of is not None:
        if night is not None or accept:
            raise SettingsError("--as-of says the night itself and publishes nothing; leave --night and --accept away.")
        views = as_asked(past, "past", plain=plain, record=record)(where, as_of, changed, sources, quiet=as_json)
        print_result(views[0] if len(views) == 1 else {"nights": views}, as_json, _show_nights)
        return
    job = as_asked(flows, "nightly", plain=plain, record=record)
    _end(lambda: job(where, night, changed, sources, accept=accept, quiet=as_json), as_json)


@nights_app.command(rich_help_panel=Panel.NIGHTS)
def identify(
    photos: Annotated[list[Path], Argument(help="Photos to identify; they are not added to the workspace.")],
    workspace: options.WorkspaceOption = options.HERE,
    together: Annotated[bool, Option(help="All photos show one animal, in one encounter.")] = False,
    report: Annotated[Path | None, Option(help="Also write the page with the evidence to this file.")] = None,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Who is this? Compare some photos with the known animals, at once."""
    from resight.flows.identify import identify as job

    result = job(workspace, photos, options.overrides(settings), together=together, report=report, quiet=as_json)
    print_result(result, as_json, _show_candidates)


@nights_app.command(rich_help_panel=Panel.NIGHTS)
def report(
    run_id: Annotated[str | None, Argument(help="Run to draw again; the newest accepted one if not given.")] = None,
    workspace: options.WorkspaceOption = options.HERE,
    out: Annotated[Path | None, Option(help="File to write; report-RUN.html in the workspace if not given.")] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Draw the report of a run again, e.g. with more candidates (RESIGHT_REPORT__CANDIDATES=6), and its accuracy page."""
    from resight.flows.redraw import redraw_report

    with machine_errors_at(options.absolute(workspace)):
        pages = redraw_report(workspace, run_id, out, quiet=as_json)

    def show(console: Console, result: dict[str, Any]) -> None:
        for page in pages:
            line(console, f"Wrote {place(page)}")

    print_result({"report": pages[0], "accuracy_page": pages[1] if len(pages) > 1 else None}, as_json, show)


@nights_app.command(rich_help_panel=Panel.NIGHTS)
def serve(workspace: options.WorkspaceOption = options.HERE, settings: options.SetOption = None) -> None:
    """Keep running, and do the nightly and accuracy work on schedule (on one machine; deploy/ shows more)."""
    from resight.flows.serving import serve_flows

    serve_flows(options.absolute(workspace), options.overrides(settings))


@nights_app.command(rich_help_panel=Panel.MODELS)
def rebuild(
    workspace: options.WorkspaceOption = options.HERE,
    night: options.NightOption = None,
    settings: options.SetOption = None,
    accept_unmeasured: Annotated[
        bool, Option(help="Accept the new model even if there are too few confirmed labels to compare the two.")
    ] = False,
    accept: options.AcceptOption = False,
    as_json: options.JsonOption = False,
    plain: options.PlainOption = False,
    record: options.RecordOption = False,
) -> None:
    """Compute everything again with the settings as they are now; accepted if not worse than the accepted model."""
    from resight.flows import rebuild as flows
    from resight.flows.lazy import as_asked

    job = as_asked(flows, "rebuild", plain=plain, record=record)
    where, changed = options.absolute(workspace), options.overrides(settings)
    choices = {"accept_unmeasured": accept_unmeasured, "accept": accept, "quiet": as_json}
    _end(lambda: job(where, night, changed, **choices), as_json)


def _show_nights(console: Console, result: dict[str, Any]) -> None:
    from resight.cli.screen.run import show_run

    for night in result.get("nights", [result]):
        show_run(console, night)


def _end(job: Callable[[], dict[str, Any]], as_json: bool) -> None:
    """Run and show it; exit code 3 where the run is kept aside, 5 where a new model is refused."""
    from resight.cli.screen.run import show_run
    from resight.store.attempts import EXIT_CODES, outcome_of

    try:
        result = job()
    except KeptAside as kept:
        result = kept.summary
    print_result(result, as_json, show_run)
    if code := EXIT_CODES[outcome_of(result)]:
        raise typer.Exit(code)


def _show_candidates(console: Console, result: dict[str, Any]) -> None:
    """Candidates of each query, best first."""
    for query in result["queries"]:
        table = Table("rank", "individual", "score", "probability", title=_named(query["photos"]), title_justify="left")
        for candidate in query["candidates"]:
            probability = candidate["probability"]
            table.add_row(
                str(candidate["rank"]), escape(candidate["individual_id"]), f"{candidate['score']:.4g}",
                "-" if probability is None else f"{100 * probability:.0f} %",
            )  # fmt: skip
        console.print(table)
        line(console, f"[bold]{query['decision'].replace('_', ' ')}[/]: {escape(query['evidence'])}")
    print_notes(console, result)
    if result["report"]:
        line(console, f"Report  {place(result['report'])}")


def _named(photos: list[dict[str, str]]) -> str:
    """The photos of a query, each linked, and what is wrong with them."""
    return ", ".join(linked(p["uri"], p["link"]) + escape(p["problem"]) for p in photos)
