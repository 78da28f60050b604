"""A run's immutable folder, and the copy of the newest accepted one that analysts open."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from resight.catalog import TABLES
from resight.errors import WorkspaceError
from resight.store.parts import write_bytes
from resight.store.tables import read_table, write_table
from resight.store.workspace import Workspace, checked_run_id

STAGING_PREFIX = ".staging-"
REPORT_FILE, ACCURACY_FILE = "report.html", "accuracy.html"


class Staging:
    """A run folder that is being written. Nobody reads it until `commit` renames it into place."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.path = workspace.runs / f"{STAGING_PREFIX}{uuid.uuid4().hex[:12]}"
        self.path.mkdir(parents=True)

    def write(self, name: str, table: pa.Table) -> None:
        """Write a conformed table."""
        write_table(self.path, name, table)

    def write_report(self, html: str, name: str = REPORT_FILE) -> Path:
        """Write a page beside the tables."""
        path = self.path / name
        path.write_text(html, encoding="utf-8")
        return path

    def commit(self, run_id: str, instead: bool = False) -> Path:
        """Rename into place. A run that is already there stays as it is: same inputs, same tables.

        Args:
            instead: It was kept aside, and this one takes its place.
        """
        target = self.workspace.runs / run_id
        if target.exists() and instead:
            os.rename(target, self.path.with_name(f"{self.path.name}-replaced"))  # cleared as left over
        if target.exists():
            self.discard()
        else:
            os.rename(self.path, target)
        return target

    def discard(self) -> None:
        """Throw the unfinished folder away, and a run that it has replaced."""
        for folder in (self.path, self.path.with_name(f"{self.path.name}-replaced")):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def staging(workspace: Workspace) -> Iterator[Staging]:
    """A staging folder that disappears when the run fails; leftovers of killed runs are cleared first."""
    for left_over in workspace.runs.glob(f"{STAGING_PREFIX}*") if workspace.runs.exists() else ():
        shutil.rmtree(left_over, ignore_errors=True)
    stage = Staging(workspace)
    try:
        yield stage
    finally:
        stage.discard()


def promote_run(workspace: Workspace, run_id: str) -> None:
    """Make a run's tables the current ones: each file is replaced in one rename, so a reader sees old or new, whole.

    All tables carry ``run_id``; a reader that opens two of them while they change can tell.
    """
    folder = workspace.runs / run_id
    workspace.current.mkdir(parents=True, exist_ok=True)
    for source in sorted(folder.iterdir()):
        temporary = workspace.current / f".{source.name}.{uuid.uuid4().hex}.tmp"
        try:
            _link_or_copy(source, temporary)
            os.replace(temporary, workspace.current / source.name)
        finally:
            temporary.unlink(missing_ok=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def run_exists(workspace: Workspace, run_id: str) -> bool:
    """Whether the run's folder is there; a folder that is there is whole."""
    return (workspace.runs / run_id / "runs.parquet").exists()


def read_run(workspace: Workspace, run_id: str, name: str) -> pa.Table:
    """A table of one run.

    Raises:
        WorkspaceError: There is no such run, or it has no such table.
    """
    path = workspace.runs / checked_run_id(run_id) / f"{name}.parquet"
    if not path.exists():
        known = sorted(p.name for p in workspace.runs.glob("[!.]*")) if workspace.runs.exists() else []
        raise WorkspaceError(
            f"{path} is not there; the runs of this workspace are {known or 'none yet: start with `resight nightly`'}."
        )
    return read_table(path, name)


def read_current(workspace: Workspace, name: str) -> pa.Table | None:
    """A table of the newest accepted run, or None before the first one."""
    path = workspace.current / f"{name}.parquet"
    return read_table(path, name) if path.exists() else None


def run_record(table: pa.Table) -> dict[str, Any]:
    """The one row of a `runs` table with its JSON columns parsed."""
    row = table.to_pylist()[0]
    return {
        k: json.loads(v) if k in {"fingerprints", "weights", "settings", "versions", "counts", "work"} else v
        for k, v in row.items()
    }


def run_tables(workspace: Workspace, run_id: str) -> list[str]:
    """Names of the catalog's tables that the run has."""
    return [t.name for t in TABLES if (workspace.runs / run_id / f"{t.name}.parquet").exists()]


def write_json(path: Path, value: Any) -> None:
    """Write JSON in one rename."""
    write_bytes(path, json.dumps(value, indent=2, sort_keys=True).encode() + b"\n")
