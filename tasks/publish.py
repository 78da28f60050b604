"""The last stage: the run's own record, the rename into place, and the one step by which all of it becomes current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from resight.evaluate.accuracy import headline
from resight.run.calibration import used_by
from resight.run.gate import reason_to_keep_aside
from resight.run.models import Model, register
from resight.run.run import Run
from resight.run.state import Ingested
from resight.settings.init import correct_views
from resight.status import ACCEPTED, FAILED, KEPT_ASIDE, PAST, Decision
from resight.store.damage import is_set_aside_since
from resight.store.generations import ACCURACY_FILE, current_generation
from resight.store.publication import publish_generation
from resight.store.runs import REPORT_FILE, read_run, run_exists, run_record
from resight.store.workspace import Workspace

NIGHTLY = "nightly"


def may_publish(run: Run, ingested: Ingested, overrule: bool) -> bool:
    """Whether the photos of the run are as whole as those of the current one; otherwise says why not, in `Run.reason` too.

    Args:
        overrule: A person says that it is as it should be.
    """
    reason = reason_to_keep_aside(run.workspace, ingested.photos, run.sources, run.settings.gate, run.not_read)
    if reason and overrule:
        reason = "Published by --accept, overruling this: " + reason
    run.reason = reason
    run.note(reason)
    return overrule or not reason


def publish(run: Run, *, accept: bool, model: bool = False) -> dict[str, Any]:
    """Write the record, rename the run into place.

    Args:
        accept: Make its tables the current ones; never those of a view of the past.
        model: Make its model the accepted one in the same step (the first night, a rebuild).
    """
    run.add("runs", [run.record(PAST if run.then else ACCEPTED if accept else KEPT_ASIDE)])
    run.staging.commit(run.run_id, instead=run.made_again)
    register(run.workspace, run.model)
    if accept:
        _make_current(run, model)
    return run_summary(run)


def _make_current(run: Run, model: bool) -> None:
    """Tables, names of unknown animals and the accepted model become current in one step."""
    correct_views(run.workspace.root)
    publish_generation(run.workspace, run_id=run.run_id, model=run.model.fingerprint if model else None)


def already_there(run: Run, *, accept: bool, model: bool = False) -> dict[str, Any] | None:
    """The summary of an earlier run with the same inputs, settings and night, or None if there is none.

    A night of another date on which all is as in the run that is current has no run of its own: that run stays current, and the log
    of attempts says that somebody looked.

    One that was kept aside and is accepted now is made again from what is in the store: names of unknown animals go on from
    the run that is current now. So is one in which something had failed, as its rows promise: what failed is tried again.

    Args:
        accept, model: As of `publish`.
    """
    if not run_exists(run.workspace, run.run_id):
        before = _as_before(run) if accept and not run.reason else None
        if before is None:
            return None
        run.run_id = before
    record = run_record(read_run(run.workspace, run.run_id, "runs"))
    if accept and record["status"] == KEPT_ASIDE:
        run.made_again = True
        return None
    failed = _failed(record["counts"]) if accept or record["status"] == KEPT_ASIDE else ""
    if failed:  # a run that is current is replaced by none that is kept aside
        run.made_again = True
        run.note(f"Run {run.run_id} is made again: {failed} had failed in it.")
        return None
    if accept:
        register(run.workspace, run.model)
        _make_current(run, model)
    stages = {
        "photos_decoded",
        "crops_cut",
        "features_computed",
        "queries_shortlisted",
        "pairs_matched",
        *record["work"],
    }
    run.work = dict.fromkeys(sorted(stages), 0) | {"photos_decoded": run.work.get("photos_decoded", 0)}
    if run.reason and not accept:
        run.note(f"Nothing is new since run {run.run_id}, which stays aside.")
    else:
        is_current = record["status"] == ACCEPTED
        run.note(f"Nothing is new since run {run.run_id}{'; its tables stay current' if is_current else ''}.")
    summary = run_summary(run) | {"night": run.night}
    return summary | {"status": KEPT_ASIDE, "reason": run.reason} if run.reason and not accept else summary


def _as_before(run: Run) -> str | None:
    """The run that is current, where a night of a later date would say the same: photos, names, decisions, model and all settings are as in it, and nothing failed in it."""
    generation = current_generation(run.workspace)
    if generation is None or not generation.run_id or run.flow != NIGHTLY:
        return None
    if run.damage or run.work.get("photos_decoded"):  # what was computed from these photos may be gone too
        return None
    of_inputs, before = run.run_id.removeprefix(run.night), generation.run_id
    if not before.endswith(of_inputs) or before >= run.run_id or not run_exists(run.workspace, before):
        return None
    record = run_record(read_run(run.workspace, before, "runs"))
    if is_set_aside_since(run.workspace.store, record["started_at"]):  # and waits to be made again
        return None
    calibrating = used_by(run.workspace, record)
    if calibrating is not None and calibrating.about is None:  # gone or damaged; a run of its own makes them again
        return None
    is_same = record["settings"] == json.loads(str(run.record(ACCEPTED)["settings"]))
    return before if is_same and record["status"] == ACCEPTED and not _failed(record["counts"]) else None


def _failed(counts: dict[str, Any]) -> str:
    """How many of what have failed, by the first stage that says so; '' if none. Later stages only pass it on."""
    ways = ((stage, count["out"].get(FAILED, 0)) for stage, count in counts.items())
    return next((f"{n} of {counts[stage]['in']} ({stage})" for stage, n in ways if n), "")


def run_summary(run: Run) -> dict[str, Any]:
    """What the command line shows and `--json` prints."""
    workspace, run_id = run.workspace, run.run_id
    record = run_record(read_run(workspace, run_id, "runs"))
    novelty = workspace.runs / run_id / "novelty.parquet"
    report = workspace.runs / run_id / REPORT_FILE
    result = {
        "run_id": run_id,
        "flow": record["flow"],
        "night": record["night"],
        "status": record["status"],
        "reason": record.get("reason") or "",
        "model": {
            "fingerprint": record["model_fingerprint"],
            "weights": record["weights"],
            "describe": _describe(record),
        },
        "counts": record["counts"],
        "work": run.work,
        "decisions": _decisions(workspace, run_id) if novelty.exists() else {},
        "seconds": {k: round(v, 2) for k, v in run.seconds.items()},
        "notes": run.notes,
        "folder": str(workspace.runs / run_id),
        "report": str(report) if report.exists() else None,
        "link": link_to(run.settings.links, report) if report.exists() else None,
    }
    if (workspace.runs / run_id / "accuracy.parquet").exists():
        result |= _measured(workspace, run_id)
    return result


def without_run(run: Run) -> dict[str, Any]:
    """The summary where a run is not made, because its model is not accepted; the model can be promoted by hand all the same."""
    register(run.workspace, run.model)
    model = {"fingerprint": run.model.fingerprint, "weights": run.model.weights, "describe": run.model.describe()}
    return {
        "run_id": None, "flow": run.flow, "night": run.night, "status": KEPT_ASIDE, "reason": run.reason, "model": model,
        "counts": run.counts, "work": run.work, "decisions": {}, "seconds": {k: round(v, 2) for k, v in run.seconds.items()},
        "notes": run.notes, "folder": str(run.workspace.runs), "report": None, "link": None,
    }  # fmt: skip


def link_to(base: str, page: Path) -> str:
    """Where people can open a page of a run: below ``base`` (setting ``links``), else the file itself."""
    inside = "/".join(page.parts[-3:])  # runs/RUN/PAGE
    return f"{base.rstrip('/')}/{quote(inside)}" if base else page.resolve().as_uri()


def _measured(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """The headline, every metric, what changed, and the page."""
    rows = read_run(workspace, run_id, "accuracy").drop_columns("run_id").to_pylist()
    page = workspace.runs / run_id / ACCURACY_FILE
    rows_of = {name: read_run(workspace, run_id, name).drop_columns("run_id").to_pylist()
             for name in ("accuracy_differences", "changes") if (workspace.runs / run_id / f"{name}.parquet").exists()}  # fmt: skip
    return {
        "metrics": headline(rows),
        "accuracy": rows,
        "protocol": rows[0]["protocol"] if rows else None,
        "against": next((r["against_run_id"] for r in rows_of.get("accuracy_differences", [])), None),
        "differences": rows_of.get("accuracy_differences", []),
        "changes": rows_of.get("changes", []),
        "accuracy_page": str(page) if page.exists() else None,
    }


def _describe(record: dict[str, Any]) -> str:
    return Model(record["model_fingerprint"], record["settings"], record["weights"]).describe()


def _decisions(workspace: Workspace, run_id: str) -> dict[str, int]:
    decisions = read_run(workspace, run_id, "novelty")["decision"].to_pylist()
    return {decision.value: decisions.count(decision.value) for decision in Decision}


def publish_accuracy(run: Run) -> None:
    """Make the accuracy tables and page of the run the current ones, in one step; the identifications stay as they are."""
    publish_generation(run.workspace, accuracy_run_id=run.run_id)
