"""What an operator sees of a run on Prefect's page: names, log lines, a page with the results, and the state that it deserves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from resight.errors import KeptAside, Refused
from resight.evaluate.worse import worse_metrics
from resight.settings import load_settings
from resight.store.attempts import Outcome, outcome_of
from resight.store.runs import read_run, run_tables
from resight.store.workspace import Workspace, open_workspace

log = logging.getLogger("resight")
SHOWN = 50
EARLIER = 6


def run_name(flow: str) -> Callable[[], str]:
    """How a flow run is called: its deployment (which has the site in it) and its night."""

    def name() -> str:
        from prefect.runtime import deployment, flow_run

        of = flow_run.parameters.get
        night = f"as of {of('as_of')}" if of("as_of") else of("night") or scheduled_night()
        return f"{deployment.name or flow}-{night}"

    return name


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
    """Do the work of a flow, with its log lines and a page of its results in Prefect.

    Returns:
        The summary, or a state with it: KeptAside and Refused count as failed, Worse as completed. Whoever calls the flow as a
        function gets the exception of that name with the summary for the first two.
    """
    with _log_lines():
        result = work()
        _leave_page(workspace, result)
        return state_of(result)


def state_of(result: dict[str, Any]) -> Any:
    """What a flow gives back for a summary: the summary, or a state that an operator must see."""
    from prefect.states import Completed, Failed

    outcome = outcome_of(result)
    if outcome == Outcome.REFUSED:
        return Failed(name="Refused", message=result["reason"], data=Refused(result))
    if outcome == Outcome.KEPT_ASIDE:
        return Failed(name="KeptAside", message=result["reason"], data=KeptAside(result))
    worse = worse_metrics(result.get("differences", []))
    if worse and result["flow"] == "accuracy":
        return Completed(name="Worse", message=f"Worse by more than chance: {'; '.join(worse)}.", data=result)
    return result


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
    try:
        create_markdown_artifact(page_of(place, result, title), key=key, description=title)
    except Exception as error:  # Prefect's and httpx's, of which there are many
        log.warning("The page with the results could not be left on the Prefect server: %s", error)


def page_of(place: Workspace, result: Mapping[str, Any], title: str) -> str:
    """The page in Markdown: how it ended, links, verdicts or accuracy, and the counts of the stages."""
    lines = [f"# {title}", "", _ending(result), ""]
    lines += [f"> {note}" for note in result["notes"] if note != result["reason"]]
    report = result.get("link")
    lines += ["", f"Report: <{report}>" if report else "", "", f"Tables: `{result['folder']}`", ""]
    if result.get("accuracy"):
        lines += [*_accuracy(place, result), ""]
    elif result["run_id"] and "novelty" in run_tables(place, result["run_id"]):
        lines += [*_verdicts(read_run(place, result["run_id"], "novelty").to_pylist()), ""]
    lines += ["| stage | in | out |", "| --- | --- | --- |"]
    lines += [f"| {name} | {c['in']} | {_counted(c['out'])} |" for name, c in result["counts"].items()]
    return "\n".join(lines)


def _ending(result: Mapping[str, Any]) -> str:
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
    return "Nothing was new: what was computed before is current." if nothing_new else _counted(result["decisions"])


def _verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """Those that wait for a person first."""
    order = ["new", "likely_new", "likely", "unsure", "known", "not_compared"]
    rows = sorted(rows, key=lambda row: (order.index(row["decision"]), row["encounter_id"]))
    lines = [
        "| encounter | photos | verdict | best candidate | probability | new? |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows[:SHOWN]:
        cells = (row["encounter_id"], row["n_photos"], row["decision"].replace("_", " "), row["individual_id"] or "-")
        lines.append(
            f"| {' | '.join(_cell(c) for c in cells)} | {_percent(row['probability'])} | {_percent(row['p_new'])} |"
        )
    return [*lines, *([f"| and {len(rows) - SHOWN} more | | | | | |"] if len(rows) > SHOWN else [])]


def _accuracy(place: Workspace, result: Mapping[str, Any]) -> list[str]:
    """The headline with its interval, and how it was before."""
    lines = ["| measure | value | 95 % interval | queries |", "| --- | --- | --- | --- |"]
    for row in result["accuracy"]:
        if row["stratum"] == "all" and row["metric"] in (
            "top1_encounter",
            "top1_photo",
            "top5_photo",
            "novelty_accuracy",
        ):
            interval = f"{_percent(row['ci_low'])} to {_percent(row['ci_high'])}"
            lines.append(f"| {row['metric']} | {_percent(row['value'])} | {interval} | {row['n']} |")
    trend = [
        f"{night}: {_percent(value)}"
        for night, value in _trend(place, "accuracy" if result["flow"] == "rebuild" else result["flow"])
    ]
    return [*lines, "", f"Right at once per encounter, run by run: {', '.join(trend)}."]


def _trend(place: Workspace, flow: str) -> list[tuple[str, float | None]]:
    found = []
    for file in place.runs.glob(f"[!.]*-{flow}-*/accuracy.parquet"):
        run_id = file.parent.name
        rows = read_run(place, run_id, "accuracy").to_pylist()
        value = next(
            (row["value"] for row in rows if row["metric"] == "top1_encounter" and row["stratum"] == "all"), None
        )
        found.append((read_run(place, run_id, "runs")["ended_at"][0].as_py(), run_id[:10], value))
    return [(night, value) for _, night, value in sorted(found)[-EARLIER:]]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items() if n)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
