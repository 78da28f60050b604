"""What an operator sees of a run on Prefect's page: names, log lines, a page with the results, and the state that it deserves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from resight.errors import KeptAside, Refused, ResightError
from resight.evaluate.worse import worse_metrics
from resight.flows.progress import progress_shown
from resight.report.page import STAGES
from resight.report.words import photo_path
from resight.settings import load_settings
from resight.store.attempts import Outcome, outcome_of
from resight.store.listing import matching
from resight.store.runs import read_run, run_tables
from resight.store.workspace import Workspace, open_workspace
from resight.tasks.publish import link_to

log = logging.getLogger("resight")
SHOWN = 50
MEASURES = {
    "top1_encounter": "right at once, encounters",
    "top1_photo": "right at once, photos",
    "top5_photo": "right among five, photos",
    "novelty_accuracy": "known called known, new called new",
}
EARLIER = 6


def run_name(flow: str) -> Callable[[], str]:
    """How a flow run is called: its deployment (which has the site in it) and its night."""

    def name() -> str:
        from prefect.runtime import deployment, flow_run

        of = flow_run.parameters.get
        night = f"as-of-{of('as_of')}" if of("as_of") else of("night") or scheduled_night()
        return f"{deployment.name or _named(flow, str(of('workspace') or '.'))}-{night}"

    return name


def _named(flow: str, workspace: str) -> str:
    """The flow and the site, as a deployment is called; the flow alone where the settings name no site or are wrong."""
    try:
        site = load_settings(Path(workspace)).site
    except ResightError:  # the run itself says so
        site = ""
    return f"{flow}-{site}" if site else flow


def scheduled_night() -> str:
    """The night that a run was scheduled for, however late it starts; today for one that was not.

    The server keeps times in UTC; a night is the date where the schedule was made for, or else where this machine is.
    """
    from prefect.runtime import flow_run

    scheduled = flow_run.scheduled_start_time
    return scheduled.astimezone(_zone()).date().isoformat() if scheduled else date.today().isoformat()


def _zone() -> ZoneInfo | None:
    """Time zone of the schedule of this flow run's deployment; None where it has none, and that is this machine's."""
    from prefect.client.orchestration import get_client
    from prefect.runtime import deployment

    if deployment.id is None:
        return None
    with get_client(sync_client=True) as client:
        schedules = client.read_deployment(deployment.id).schedules
    zones = [zone for one in schedules if (zone := getattr(one.schedule, "timezone", None))]
    return ZoneInfo(zones[0]) if zones else None


def shown(workspace: str, work: Callable[[], dict[str, Any]]) -> Any:
    """Do the work of a flow, with its log lines, the progress of long stages and a page of its results in Prefect.

    Returns:
        A state with the summary: KeptAside and Refused count as failed, Worse as completed. Whoever calls the flow as a
        function gets the summary, or the exception of that name with the summary for the first two.
    """
    return state_of(_with_page(workspace, work))


def all_shown(workspace: str, works: Sequence[Callable[[], dict[str, Any]]]) -> Any:
    """As `shown`, for several runs of one flow, each with a page; a state with all summaries."""
    from prefect.states import Completed

    results = [_with_page(workspace, work) for work in works]
    nights = ", ".join(str(result["night"]) for result in results)
    return Completed(message=f"As it was on {nights}.", data=results)


def _with_page(workspace: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    with _log_lines(), progress_shown():
        result = work()
        _leave_page(workspace, result)
        return result


def state_of(result: dict[str, Any]) -> Any:
    """What a flow gives back for a summary: a state that says how it ended, under a name of its own where an operator must act."""
    from prefect.states import Completed, Failed

    outcome = outcome_of(result)
    if outcome == Outcome.REFUSED:
        return Failed(name="Refused", message=_plain(_ending(result)), data=Refused(result))
    if outcome == Outcome.KEPT_ASIDE:
        return Failed(name="KeptAside", message=result["reason"], data=KeptAside(result))
    worse = worse_metrics(result.get("differences", []))
    if worse and result["flow"] == "accuracy":
        return Completed(name="Worse", message=f"Worse by more than chance: {'; '.join(worse)}.", data=result)
    return Completed(message=_plain(_ending(result)), data=result)


@contextmanager
def _log_lines() -> Iterator[None]:
    """Resight's log lines become those of the flow run, wherever it was started."""
    from prefect.logging.handlers import APILogHandler

    if any(isinstance(handler, APILogHandler) for handler in log.handlers):
        yield  # as PREFECT_LOGGING_EXTRA_LOGGERS does it
        return
    handler, level = APILogHandler(), log.level
    log.addHandler(handler)
    if log.getEffectiveLevel() > logging.INFO:
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _leave_page(workspace: str, result: Mapping[str, Any]) -> None:
    """An artifact with the results; a server that does not take it costs the page and nothing else."""
    from prefect.artifacts import create_markdown_artifact

    place = open_workspace(workspace)
    site = load_settings(place.root).site
    key = f"resight-{result['flow']}{f'-{site}' if site else ''}"
    title = f"{result['flow']} {result['night']}{f' of {site}' if site else ''}"
    said = f"{title}: {_plain(_ending(result))}"
    try:
        create_markdown_artifact(page_of(place, result, title), key=key, description=said)
    except Exception as error:  # Prefect's and httpx's, of which there are many
        log.warning("The page with the results could not be left on the Prefect server: %s", error)


def page_of(place: Workspace, result: Mapping[str, Any], title: str) -> str:
    """The page in Markdown: how it ended, links, verdicts or accuracy, and the counts of the stages."""
    lines = [f"# {title}", "", _ending(result), ""]
    lines += [f"> {note}" for note in result["notes"] if note != result["reason"]]
    report, accuracy = result.get("link"), result.get("accuracy_page")
    pages = {
        "Report": report,
        "Accuracy": link_to(load_settings(place.root).links, Path(accuracy)) if accuracy else None,
    }
    lines += ["", *(f"{name}: <{page}>\n" for name, page in pages.items() if page), f"Tables: `{result['folder']}`", ""]
    if result.get("accuracy"):
        lines += [*_accuracy(place, result), ""]
    elif result["run_id"] and "novelty" in run_tables(place, result["run_id"]):
        files = _first_photos(place, result["run_id"])
        lines += [*_verdicts(read_run(place, result["run_id"], "novelty").to_pylist(), files), ""]
    lines += ["| stage | in | out |", "| --- | --- | --- |"]
    counts = result["counts"]
    order = [*(stage for stage in STAGES if stage in counts), *(stage for stage in counts if stage not in STAGES)]
    lines += [f"| {name} | {counts[name]['in']} | {_counted(counts[name]['out'])} |" for name in order]
    return "\n".join(lines)


def _ending(result: Mapping[str, Any]) -> str:
    if outcome_of(result) == Outcome.REFUSED:
        return f"**The new model is not accepted.** {result['reason']}"
    if result["reason"]:
        return f"**{result['reason']}**"
    if result.get("promoted"):
        comparison = result.get("comparison")
        return f"**The new model is accepted.** {comparison['sentence'] if comparison else 'There was none before.'}"
    worse = worse_metrics(result.get("differences", []))
    if worse:
        return f"**Worse than {result['against']} by more than chance:** {'; '.join(worse)}."
    nothing_new = not any(result["work"].values()) and any(
        note.startswith("Nothing is new") for note in result["notes"]
    )
    if nothing_new:
        return "Nothing was new: what was computed before is current."
    top = [r for r in result.get("accuracy") or () if r["metric"] == "top1_encounter" and r["stratum"] == "all"]
    if top:
        interval = f"{_percent(top[0]['ci_low'])} to {_percent(top[0]['ci_high'])}"
        return f"Right at once: {_percent(top[0]['value'])} ({interval}) of {top[0]['n']} encounters."
    return _counted(result.get("decisions", {})) or "Nothing to identify."


def _plain(text: str) -> str:
    """Markdown without its stars."""
    return text.replace("**", "")


def _first_photos(place: Workspace, run_id: str) -> dict[str, str]:
    """By encounter the path of a photo: people know no other names."""
    rows = read_run(place, run_id, "photos").select(["encounter_id", "uri"]).to_pylist()
    return {r["encounter_id"]: photo_path(r["uri"]) for r in sorted(rows, key=lambda r: str(r["uri"]), reverse=True)}


def _verdicts(rows: list[dict[str, Any]], files: Mapping[str, str]) -> list[str]:
    """Those that wait for a person first; nothing where nobody had to be identified."""
    if not rows:
        return []
    order = ["new", "likely_new", "likely", "unsure", "known", "not_compared"]
    rows = sorted(rows, key=lambda row: (order.index(row["decision"]), row["encounter_id"]))
    lines = [
        "| first photo | photos | verdict | best candidate | probability | new? |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows[:SHOWN]:
        first = files.get(row["encounter_id"], row["encounter_id"])
        cells = (first, row["n_photos"], row["decision"].replace("_", " "), row["individual_id"] or "-")
        lines.append(
            f"| {' | '.join(_cell(c) for c in cells)} | {_percent(row['probability'])} | {_percent(row['p_new'])} |"
        )
    return [*lines, *([f"| and {len(rows) - SHOWN} more | | | | | |"] if len(rows) > SHOWN else [])]


def _accuracy(place: Workspace, result: Mapping[str, Any]) -> list[str]:
    """The headline with its interval, and how it was before."""
    lines = ["| measure | value | 95 % interval | queries |", "| --- | --- | --- | --- |"]
    rows = {row["metric"]: row for row in result["accuracy"] if row["stratum"] == "all"}
    for metric, words in MEASURES.items():
        if row := rows.get(metric):
            interval = f"{_percent(row['ci_low'])} to {_percent(row['ci_high'])}"
            lines.append(f"| {words} (`{metric}`) | {_percent(row['value'])} | {interval} | {row['n']} |")
    flow = "accuracy" if result["flow"] == "rebuild" else result["flow"]
    trend = ", ".join(_trend(place, flow, str(result["model"]["fingerprint"])))
    return [*lines, "", f"Right at once per encounter, run by run: {trend}."]


def _trend(place: Workspace, flow: str, model: str) -> list[str]:
    """The last measurements; those of another model than this one, which may be a refused one, say so."""
    found = []
    for file in matching(place.runs, f"[!.]*-{flow}-*/accuracy.parquet"):
        run_id = file.parent.name
        rows = read_run(place, run_id, "accuracy").to_pylist()
        value = next(
            (row["value"] for row in rows if row["metric"] == "top1_encounter" and row["stratum"] == "all"), None
        )
        run = read_run(place, run_id, "runs").to_pylist()[0]
        other = "" if run["model_fingerprint"] == model else f" (model {run['model_fingerprint'][:8]})"
        found.append((run["ended_at"], f"{run_id[:10]}: {_percent(value)}{other}"))
    return [said for _, said in sorted(found)[-EARLIER:]]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items() if n)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
