"""After an attempt: what people should know of it, told on the ways that section ``notify`` sets.

Nothing here makes a night fail: a way that does not work is said and written into the log.
"""

from __future__ import annotations

import logging
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from resight.errors import ResightError
from resight.evaluate.worse import worse_metrics
from resight.notify.events import Event, accuracy_worse, disk_nearly_full, met_again, night_done
from resight.notify.params import Kind, NotifyParams
from resight.run.metrics import write_metrics
from resight.run.publishing import publish_after
from resight.settings import SETTINGS_FILE, load_settings
from resight.store.attempts import Attempt, Outcome, append_line, attempt, log_lines
from resight.store.lines import lines_kept
from resight.store.runs import read_run, run_tables
from resight.store.tables import empty_table
from resight.store.workspace import Workspace

log = logging.getLogger("resight")


@contextmanager
def attempted(workspace: Workspace, command: str, **about: Any) -> Iterator[Attempt]:
    """As `store.attempts.attempt`; afterwards the results are published, where that is wanted, and people are told."""
    tried: Attempt | None = None
    try:
        with attempt(workspace, command, **about) as tried, lines_kept(workspace, tried.name):
            yield tried
    finally:
        if tried is not None:
            _measure(workspace)
        if tried is not None and tried.outcome != Outcome.STOPPED:
            publish_and_tell(tried)


def publish_and_tell(tried: Attempt) -> None:
    """After an attempt that has ended: publish its results, where that is wanted, and tell people what they should know of it."""
    not_published = publish_after(tried)
    _tell_of(tried, [not_published] if not_published else [])


def tell(
    workspace: Workspace,
    events: Sequence[Event],
    params: NotifyParams,
    run_id: str | None = None,
    link: str | None = None,
) -> dict[str, str]:
    """Tell what was chosen and has not been told yet.

    Returns:
        By way, '' where the last message was taken, else why not.
    """
    from resight.notify.send import send  # mail and TLS, which most nights need none of

    answers: dict[str, str] = {}
    for event in events:
        if event.kind not in params.events or not params.ways or (event.once and _was_told(workspace, event)):
            continue
        answers = send(params, _message(workspace, event, run_id, link))
        taken = any(not why for why in answers.values())
        line = {"event": "told", "kind": event.kind, "text": event.text, "ways": answers}
        append_line(workspace, line | ({"once": event.once} if taken and event.once else {}))
        for way, why in answers.items():
            if why:
                log.warning("Nobody could be told by %s: %s", way, why)
    return answers


def notify_params(workspace: Workspace) -> NotifyParams:
    """Section ``notify`` of the settings, also where another section is wrong: that is what people must be told of then.

    Raises:
        ResightError: It is wrong itself, or the file is no TOML.
    """
    try:
        return load_settings(workspace.root).notify
    except ResightError:
        file = workspace.root / SETTINGS_FILE
        try:
            return NotifyParams.model_validate(tomllib.loads(file.read_text(encoding="utf-8")).get("notify", {}))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError, OSError):
            pass
        raise


def site_of(workspace: Workspace) -> str:
    """The site's name as the settings have it, else that of the folder; also where the settings are wrong."""
    try:
        return load_settings(workspace.root).site or workspace.root.name
    except ResightError:
        return workspace.root.name


def _measure(workspace: Workspace) -> None:
    """Write the numbers for Prometheus, where that is wanted."""
    try:
        settings = load_settings(workspace.root)
        if settings.metrics:
            write_metrics(workspace, Path(settings.metrics).expanduser(), settings.site or workspace.root.name)
    except Exception as error:  # whatever it is, the night is done
        log.warning("The numbers for Prometheus could not be written: %s", error)


def _tell_of(tried: Attempt, also: Sequence[Event]) -> None:
    try:
        params = notify_params(tried.workspace)
        if params.ways:
            summary = tried.summary
            tell(tried.workspace, [*_events(tried, params), *also], params, summary.get("run_id"), summary.get("link"))
    except Exception as error:  # whatever it is, the night is done
        log.warning("Nobody could be told of this: %s", error)
        log.debug("Where it happened:", exc_info=True)


def _events(tried: Attempt, params: NotifyParams) -> Iterator[Event]:
    workspace, night = tried.workspace, str(tried.about.get("night") or date.today())
    what = f"{tried.command} {night}"
    if tried.outcome == Outcome.FAILED:
        yield Event(Kind.FAILED, f"{what} failed: {tried.sentence}", {"exit_code": tried.exit_code})
    elif tried.outcome == Outcome.REFUSED:
        yield Event(Kind.REFUSED, f"{what}: the new model is refused. {tried.sentence}")
    elif tried.outcome == Outcome.KEPT_ASIDE:
        yield Event(Kind.KEPT_ASIDE, f"{what}: {tried.sentence}")
    elif tried.command == "nightly":
        run_id = tried.summary["run_id"]
        photos = read_run(workspace, run_id, "photos")
        has_verdicts = "novelty" in run_tables(workspace, run_id)
        novelty = read_run(workspace, run_id, "novelty") if has_verdicts else empty_table("novelty")
        yield night_done(night, photos, novelty)
        yield from met_again(photos, novelty, params.years)
    elif tried.command == "accuracy" and (worse := worse_metrics(tried.summary.get("differences", []))):
        yield accuracy_worse(night, worse, str(tried.summary["against"]))
    free_gb = shutil.disk_usage(workspace.root).free / 1e9
    if free_gb < params.disk_free_gb:
        yield disk_nearly_full(free_gb, params.disk_free_gb, str(workspace.root), str(date.today()))


def _message(workspace: Workspace, event: Event, run_id: str | None, link: str | None) -> dict[str, Any]:
    place = site_of(workspace)
    return {
        "event": event.kind, "title": f"Resight {place}: {event.kind.replace('_', ' ')}", "text": event.text,
        "workspace": str(workspace.root), "run_id": run_id, "link": link, "time": datetime.now(UTC).isoformat(timespec="seconds"), **event.facts,
    }  # fmt: skip


def _was_told(workspace: Workspace, event: Event) -> bool:
    told: Iterator[Mapping[str, Any]] = (line for line in log_lines(workspace) if line.get("event") == "told")
    return any(line.get("kind") == event.kind and line.get("once") == event.once for line in told)
