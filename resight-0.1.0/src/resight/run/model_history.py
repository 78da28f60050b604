"""Which models there are, how they differ, when and by whom each was accepted, and how good each was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from resight.errors import DamagedError, WorkspaceError
from resight.run.models import Model, current_model, list_models, load_model, promote
from resight.store.attempts import read_attempts
from resight.store.listing import matching
from resight.store.runs import run_record
from resight.store.tables import read_table
from resight.store.workspace import Workspace

Difference = dict[str, Any]  # setting, accepted, here


def model_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """All registered models, the accepted one first, then those that were used last.

    Returns:
        ``fingerprint, current, describe, weights``; ``first_run`` and ``last_run`` (nights; None without one); ``accepted``
        (when, by whom and how, the newest first); ``accuracy`` (the last measurement; None without one); ``differences``, what
        it has otherwise than the accepted one.
    """
    current, records, history = current_model(workspace), _records(workspace), acceptances(workspace)
    rows = [_row(workspace, model, current, records, history) for model in list_models(workspace)]
    return sorted(rows, key=lambda row: (row["current"], row["last_run"] or "", row["fingerprint"]), reverse=True)


def model_row(workspace: Workspace, name: str) -> dict[str, Any]:
    """One of `model_rows`, by (the beginning of) its fingerprint, with all of its settings.

    Raises:
        WorkspaceError: None or several fit.
    """
    model = load_model(workspace, name)
    row = _row(workspace, model, current_model(workspace), _records(workspace), acceptances(workspace))
    return row | {"settings": model.part}


def acceptances(workspace: Workspace) -> list[dict[str, Any]]:
    """Which model was accepted when, by whom and by which command, the newest first; as far back as the log goes."""
    rows = [row for row in read_attempts(workspace) if row.get("accepted_model")]
    return [
        {"model": row["accepted_model"], "when": row["ended_at"], "user": row.get("user"), "command": row["command"]}
        for row in reversed(rows)
    ]


def roll_back(workspace: Workspace) -> Model:
    """Accept again the model that was accepted before the current one. Call it with the workspace locked.

    Raises:
        WorkspaceError: There was none, or it is not registered any more.
    """
    current = current_model(workspace)
    earlier = [name for name in _accepted_in_order(workspace) if current and name != current.fingerprint]
    if not earlier:
        raise WorkspaceError(
            f"No model was accepted in {workspace.root} before this one; `resight models list` shows all."
        )
    model = load_model(workspace, earlier[0])
    promote(workspace, model)
    return model


def remove(workspace: Workspace, name: str) -> Model:
    """Forget a model; runs that it made stay. Call it with the workspace locked.

    Raises:
        WorkspaceError: It is the accepted one, or none or several fit.
    """
    model = load_model(workspace, name)
    current = current_model(workspace)
    if current is not None and current.fingerprint == model.fingerprint:
        raise WorkspaceError(
            f"{model.fingerprint} is the accepted model; promote another one first (`resight models promote`)."
        )
    (workspace.models / f"{model.fingerprint}.json").unlink()
    return model


def differences(model: Model, accepted: Model) -> list[Difference]:
    """Settings and weights that a model has otherwise than the accepted one."""
    here, there = (
        dict(_flat(m.part)) | {f"weights {n}": d[:12] for n, d in m.weights.items()} for m in (model, accepted)
    )
    return [
        {"setting": name, "accepted": there.get(name), "here": here.get(name)}
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]


def _row(
    workspace: Workspace,
    model: Model,
    current: Model | None,
    records: list[dict[str, Any]],
    history: list[dict[str, Any]],
) -> dict[str, Any]:
    own = [record for record in records if record["model_fingerprint"] == model.fingerprint]
    accepted = [row for row in history if row["model"] == model.fingerprint]
    return {
        "fingerprint": model.fingerprint,
        "current": current is not None and model.fingerprint == current.fingerprint,
        "describe": model.describe(),
        "weights": model.weights,
        "first_run": own[0]["night"] if own else None,
        "last_run": own[-1]["night"] if own else None,
        "accepted": [{name: row[name] for name in ("when", "user", "command")} for row in accepted],
        "accuracy": _accuracy(workspace, own),
        "differences": differences(model, current) if current else [],
    }


def _accuracy(workspace: Workspace, records: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The last measurement on the workspace's own labels, right at once per encounter."""
    for record in reversed(records):
        file = workspace.runs / record["run_id"] / "accuracy.parquet"
        if record["flow"] != "accuracy" or not file.exists():
            continue
        with suppress(DamagedError):
            for row in read_table(file, "accuracy").to_pylist():
                if row["stratum"] == "all" and row["metric"] == "top1_encounter":
                    return {"run_id": record["run_id"]} | {
                        name: row[name] for name in ("value", "ci_low", "ci_high", "n")
                    }
    return None


def _accepted_in_order(workspace: Workspace) -> list[str]:
    """Names of accepted models, the newest first: as the log has it, and before the log as the runs have it."""
    logged = [row["model"] for row in acceptances(workspace)]
    by_runs = [r["model_fingerprint"] for r in reversed(_records(workspace)) if r["status"] == "accepted"]
    return list(dict.fromkeys([*logged, *by_runs]))


def _records(workspace: Workspace) -> list[dict[str, Any]]:
    """What runs say of themselves, the oldest first; damaged ones are left out."""
    records = []
    for file in matching(workspace.runs, "[!.]*/runs.parquet"):
        with suppress(DamagedError):
            records.append(run_record(read_table(file, "runs")))
    return sorted(records, key=lambda record: record["ended_at"])


def _flat(part: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
