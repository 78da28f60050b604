"""`resight status`: how a workspace stands, for people and for whatever watches it. Reads, and changes nothing."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from resight.errors import ResightError
from resight.run.models import current_model, list_models, weight_names, weights_of, with_model
from resight.runner.handshake import Needs
from resight.runner.runner import Runner
from resight.settings import Settings, load_settings
from resight.status import Decision
from resight.store.attempts import Outcome, read_attempts
from resight.store.generations import Generation, current_generation
from resight.store.runs import run_record
from resight.store.workspace import Workspace

TO_LOOK_AT = (Decision.LIKELY, Decision.LIKELY_NEW, Decision.UNSURE)
NIGHTLY = "nightly"
LEAST_FREE_GB = 2.0


def overview(workspace: Workspace, missing_after_h: float | None = None) -> dict[str, Any]:
    """How the workspace stands.

    Args:
        missing_after_h: A night is missing if the last one that was published is older, in hours; None: never.

    Returns:
        ``published`` (the last night that was; None before the first), ``last`` (the last attempt at one), ``under_way`` and
        ``failed_since`` (attempts), ``missing``, ``to_look_at``, ``accuracy``, ``model``, ``workers``, ``disk``.
    """
    settings, generation, now = load_settings(workspace.root), current_generation(workspace), datetime.now(UTC)
    attempts = [_attempt(row) for row in read_attempts(workspace)]
    nights = [row for row in attempts if row["command"] == NIGHTLY]
    published = _published(nights, generation, now)
    since = published["at"] if published else ""
    age_h = published["hours_ago"] if published else None
    return {
        "workspace": str(workspace.root),
        "published": published,
        "last": nights[-1] if nights else None,
        "under_way": [row for row in attempts if row["outcome"] == Outcome.UNDER_WAY],
        "failed_since": [row for row in attempts if row["began_at"] > since and _is_bad(row)],
        "missing": missing_after_h is not None and (age_h is None or age_h > missing_after_h),
        "to_look_at": _to_look_at(generation),
        "accuracy": _accuracy(generation),
        "model": _model(workspace, settings),
        "workers": _workers(workspace, settings),
        "disk": _disk(workspace),
    }


def _attempt(row: dict[str, Any]) -> dict[str, Any]:
    names = (
        "attempt",
        "command",
        "night",
        "began_at",
        "ended_at",
        "outcome",
        "exit_code",
        "sentence",
        "run_id",
        "host",
    )
    return {name: row.get(name) for name in names}


def _is_bad(row: dict[str, Any]) -> bool:
    return row["outcome"] not in (Outcome.DONE, Outcome.UNDER_WAY)


def _published(nights: list[dict[str, Any]], generation: Generation | None, now: datetime) -> dict[str, Any] | None:
    """The last night that went well, be it that nothing was new; of a workspace from before the log, what its run says."""
    done = [row for row in nights if row["outcome"] == Outcome.DONE]
    if done:
        found = {"night": done[-1]["night"], "run_id": done[-1]["run_id"], "at": done[-1]["ended_at"]}
    elif generation and generation.run_id and generation.has("runs"):
        record = run_record(generation.table("runs"))
        at = record["ended_at"].astimezone(UTC).isoformat(timespec="milliseconds")
        found = {"night": str(record["night"]), "run_id": generation.run_id, "at": at}
    else:
        return None
    return found | {"hours_ago": (now - datetime.fromisoformat(found["at"])).total_seconds() / 3600}


def _to_look_at(generation: Generation | None) -> dict[str, int]:
    """Encounters on which a person has not yet had the last word, by verdict."""
    table = generation.table("novelty") if generation and generation.has("novelty") else None
    found = Counter(table["decision"].to_pylist()) if table is not None else Counter()
    return {decision.value: found[decision.value] for decision in TO_LOOK_AT}


def _accuracy(generation: Generation | None) -> dict[str, Any] | None:
    """How often the first candidate is right per encounter, as it was last measured."""
    if generation is None or not generation.has("accuracy"):
        return None
    rows = [row for row in generation.table("accuracy").to_pylist() if row["stratum"] == "all"]
    found = next((row for row in rows if row["metric"] == "top1_encounter"), None)
    names = ("value", "ci_low", "ci_high", "n")
    return None if found is None else {"run_id": generation.accuracy_run_id} | {name: found[name] for name in names}


def _model(workspace: Workspace, settings: Settings) -> dict[str, Any]:
    accepted = current_model(workspace)
    if accepted is None:
        return {"accepted": None, "describe": "none accepted yet", "registered": 0, "as_set": True}
    as_set = with_model(settings, accepted).model_part() == settings.model_part()
    describe = {"accepted": accepted.fingerprint, "describe": accepted.describe()}
    return describe | {"registered": len(list_models(workspace)), "as_set": as_set}


def _workers(workspace: Workspace, settings: Settings) -> dict[str, Any]:
    """Workers that would get work now; those of this machine are started by a run."""
    address = settings.dask.address
    if not address:
        return {"address": "", "ready": None, "says": f"started by each run on this machine ({settings.dask.mode})"}
    needs = Needs(workspace.store, weights_of(workspace, settings), tuple(sorted(weight_names(settings))), alone=False)
    try:
        with Runner(settings.dask, settings.device, quiet=True, needs=needs) as runner:
            differences = runner.differences()
    except (ResightError, OSError) as error:
        return {"address": address, "ready": 0, "says": str(error)}
    ready = sum(not told for told in differences.values())
    return {"address": address, "ready": ready, "says": f"{ready} of {len(differences)} at {address} may work"}


def _disk(workspace: Workspace) -> dict[str, Any]:
    usage = shutil.disk_usage(workspace.root)
    free_gb = usage.free / 1e9
    return {"free_gb": round(free_gb, 1), "total_gb": round(usage.total / 1e9, 1), "ok": free_gb >= LEAST_FREE_GB}
