"""Which run was accepted last, and which run a table is of, as the tables themselves tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resight.errors import DamagedError
from resight.store.listing import matching
from resight.store.selective import opened
from resight.store.workspace import Workspace


def newest_accepted(workspace: Workspace) -> tuple[str, str] | None:
    """Name and model of the newest accepted run; damaged ones are passed over."""
    accepted = []
    for file in matching(workspace.runs, "[!.]*/runs.parquet"):
        columns = [_column(file, name) for name in ("status", "ended_at", "model_fingerprint")]
        if columns[0] == ["accepted"] and all(columns):
            accepted.append((columns[1][0], file.parent.name, str(columns[2][0])))
    return max(accepted)[1:] if accepted else None


def run_of(workspace: Workspace, file: Path) -> str | None:
    """The run that a table is of, where that run is there."""
    ids = _column(file, "run_id")
    return str(ids[0]) if ids and (workspace.runs / str(ids[0])).is_dir() else None


def _column(file: Path, name: str) -> list[Any]:
    """Values of a column; none where the file is missing or damaged."""
    try:
        values: list[Any] = opened(file).read([name])[name].to_pylist()
    except (DamagedError, FileNotFoundError):
        return []
    return values
