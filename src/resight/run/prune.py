"""`resight prune`: removes what nobody refers to any more, and says beforehand what that is."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from resight.errors import ResightError
from resight.evaluate.history import LAST, NOBODY
from resight.ingest.params import RetentionParams
from resight.run.models import Model, list_models
from resight.run.usage import NAMED_STAGES, Item, counted_once, generations_of, inventory, records_of, users_of
from resight.settings import Settings
from resight.store.durable import remove_tree, sync_folder
from resight.store.listing import matching
from resight.store.runs import read_run, run_tables
from resight.store.workspace import Workspace

GONE = ".pruned-"  # what is on its way out; nobody reads it
DAY_S = 86_400.0


def prune(workspace: Workspace, settings: Settings, *, remove: bool) -> dict[str, Any]:
    """Find what retention lets go, and remove it if asked.

    What stays, whatever its age: runs, models and results that a kept generation refers to (the current one, and those before
    it that still lie there), runs and models that a decision names, the run that `evaluate.against` names, the newest runs of each kind, and results that any kept
    run or model uses. Models themselves stay: they are small, and can be promoted again.

    A folder leaves its place in one rename before any of it is removed. Whoever is killed in between leaves a whole
    workspace, and the next call removes the rest.

    Args:
        workspace: Whose runs and results.
        settings: Section ``retention`` says for how long.
        remove: False: say only what would go.

    Returns:
        ``items`` (each with ``why``), ``files`` and ``bytes`` (what that frees) together, ``kept_bytes``, ``removed`` (whether they are gone)
        and ``notes``.

    Raises:
        WorkspaceError: Another run is at work, where something is to be removed.
    """
    if not remove:
        return _prune(workspace, settings, remove=False)
    with workspace.lock():
        return _prune(workspace, settings, remove=True)


def _prune(workspace: Workspace, settings: Settings, *, remove: bool) -> dict[str, Any]:
    left_over = [folder for parent in (workspace.store, workspace.runs) for folder in matching(parent, f"{GONE}*")]
    records, silent = records_of(workspace)
    kept = _kept_runs(workspace, records, settings)
    models = _kept_models(workspace, {name: records[name] for name in kept})
    users = users_of(workspace, settings, models, [records[name] for name in sorted(kept)])
    users.unknown += [
        f"runs/{name} stays, and it cannot be told what it uses: it has no record of itself; `resight verify` says why."
        for name in silent
    ]
    items = inventory(workspace, users, {name: str(record["flow"]) for name, record in records.items()})
    reasons = {item.path: _why(item, records, kept, settings.retention, not users.unknown) for item in items}
    # What those that stay have too is not freed; what several that go share counts for the newest of them.
    staying, going = ([item for item in items if bool(reasons[item.path]) is goes] for goes in (False, True))
    items = counted_once([*reversed(staying), *reversed(going)])[::-1]
    chosen = [(item, why) for item in items if (why := reasons[item.path])]
    if remove:
        for folder in left_over:
            remove_tree(folder)
        for item, _ in chosen:
            _remove(workspace, item)
    notes = [*users.unknown, *(["So no results are removed."] if users.unknown else [])]
    freed = sum(item.bytes for item, _ in chosen)
    return {
        "items": [item.row(workspace) | {"why": why} for item, why in chosen],
        "files": sum(item.files for item, _ in chosen),
        "bytes": freed,
        "kept_bytes": sum(item.bytes for item in items) - freed,
        "removed": remove,
        "notes": notes,
    }


def _kept_runs(workspace: Workspace, records: Mapping[str, Mapping[str, Any]], settings: Settings) -> set[str]:
    """Runs that stay."""
    how, against = settings.retention, settings.evaluate.against
    generations = generations_of(workspace)
    kept = {run for g in generations for run in (g.run_id, g.accuracy_run_id) if run} & records.keys()
    kept |= {run for name in tuple(kept) for run in _compared_with(workspace, name)} & records.keys()
    decided = _decisions(workspace)
    kept |= {name for name in records if name.encode() in decided}
    if against not in ("", NOBODY, LAST):  # the beginning of a run's name
        kept |= {name for name in records if name.startswith(against)}
    oldest = datetime.now(UTC) - timedelta(days=how.runs_days)
    by_flow: dict[str, list[str]] = {}
    for name in sorted(records, key=lambda name: records[name]["ended_at"], reverse=True):
        by_flow.setdefault(str(records[name]["flow"]), []).append(name)
        if not how.runs_days or records[name]["ended_at"] > oldest:
            kept.add(name)
    return kept.union(*(names[: how.runs_kept] for names in by_flow.values()))


def _compared_with(workspace: Workspace, run_id: str) -> set[str]:
    """Earlier runs that the pages of a run show beside it."""
    if "accuracy_differences" not in run_tables(workspace, run_id):
        return set()
    try:
        rows = read_run(workspace, run_id, "accuracy_differences")
    except ResightError:
        return set()
    return set(rows["against_run_id"].to_pylist())


def _kept_models(workspace: Workspace, records: Mapping[str, Mapping[str, Any]]) -> list[Model]:
    """Models of kept runs and generations, and those that a decision names."""
    names = {str(record["model_fingerprint"]) for record in records.values()}
    names |= {generation.model for generation in generations_of(workspace) if generation.model}
    decided = _decisions(workspace)
    return [m for m in list_models(workspace) if m.fingerprint in names or m.fingerprint.encode() in decided]


def _decisions(workspace: Workspace) -> bytes:
    """All that people have decided, as it lies on the disk: a run or model that stands anywhere in it stays."""
    folder = workspace.decisions
    return b"\n".join(file.read_bytes() for file in matching(folder, "*") if file.is_file()) if folder.is_dir() else b""


def _why(
    item: Item, records: Mapping[str, Mapping[str, Any]], kept: set[str], how: RetentionParams, is_certain: bool
) -> str:
    """Why it goes; '' where it stays."""
    if item.where == "runs":
        if item.name in kept or item.name not in records:
            return ""
        return f"nothing refers to it, and it ended {records[item.name]['ended_at']:%Y-%m-%d}, more than {how.runs_days} days ago"
    if item.where != "store" or item.stage not in NAMED_STAGES or item.used_by or not is_certain:
        return ""
    days = (time.time() - item.written) / DAY_S
    if days <= how.stores_days:
        return ""
    return f"no kept run or model uses it, and nothing was written into it for {days:.0f} days"


def _remove(workspace: Workspace, item: Item) -> None:
    """Take it out of its place in one step, then remove it."""
    parent = workspace.runs if item.where == "runs" else workspace.store
    gone: Path = parent / f"{GONE}{uuid.uuid4().hex[:12]}"
    os.replace(item.path, gone)
    sync_folder(item.path.parent)
    remove_tree(gone)
