"""A run's immutable folder."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from resight.catalog import TABLES
from resight.catalog import table as catalog_table
from resight.errors import DamagedError, WorkspaceError
from resight.store import sealed
from resight.store.damage import set_aside
from resight.store.durable import protect_tree, put_in_place, remove_tree, sync_tree, write_bytes
from resight.store.generations import current_generation
from resight.store.listing import matching
from resight.store.table_files import files_of
from resight.store.table_parts import write_parts
from resight.store.tables import check_parts, read_table, rows_where, write_table
from resight.store.workspace import Workspace, checked_run_id

STAGING_PREFIX = ".staging-"
REPLACED = "-replaced-"
RUN_CURE = (
    "run the same night again, or `resight verify --repair`, which takes the table from current/ where that is the same run; "
    "else put it back from a backup"
)
REPORT_FILE = "report.html"


class Staging:
    """A run folder that is being written. Nobody reads it until `commit` renames it into place."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.path = workspace.runs / f"{STAGING_PREFIX}{uuid.uuid4().hex[:12]}"
        self.path.mkdir(parents=True)
        self._tables: dict[str, pa.Table] = {}

    def write(self, name: str, table: pa.Table) -> None:
        """Take a conformed table. `commit` writes it: later stages give some tables again, and each is written once."""
        self._tables[name] = table

    def write_report(self, html: str, name: str = REPORT_FILE, beside: Mapping[str, bytes] | None = None) -> Path:
        """Write a page beside the tables, and the files that it shows."""
        for file, content in (beside or {}).items():
            (self.path / file).write_bytes(content)
        path = self.path / name
        path.write_text(html, encoding="utf-8")
        return path

    def commit(self, run_id: str, instead: bool = False) -> Path:
        """Rename into place, for reading only. A run that is already there stays as it is: same inputs, same tables.

        Args:
            instead: It was kept aside, or something had failed in it, and this one takes its place.
        """
        before = _shown(self.workspace)
        for name, table in self._tables.items():
            if catalog_table(name).in_parts:
                write_parts(self.path, name, table, before)
            else:
                write_table(self.path, name, table)
        target = self.workspace.runs / run_id
        if target.exists() and instead:
            target.rename(self.path.with_name(f"{self.path.name}{REPLACED}{run_id}"))  # cleared as left over
        if run_exists(self.workspace, run_id):
            self.discard()
        else:
            sync_tree(self.path)  # first: Windows opens no read-only file for it
            protect_tree(self.path)
            put_in_place(self.path, target)
        return target

    def discard(self) -> None:
        """Throw the unfinished folder away, and a run that it has replaced."""
        _clear(self.workspace, f"{self.path.name}*")


def _shown(workspace: Workspace) -> Path | None:
    """The run whose tables are current; the next one goes on with its files."""
    generation = current_generation(workspace)
    return workspace.runs / generation.run_id if generation and generation.run_id else None


def _clear(workspace: Workspace, pattern: str) -> None:
    """Remove unfinished folders, and put back a run that was to be replaced by one that never got into its place."""
    for folder in matching(workspace.runs, pattern):
        run = workspace.runs / folder.name.partition(REPLACED)[2]
        if REPLACED in folder.name and not run.exists():
            folder.rename(run)
        else:
            remove_tree(folder)


@contextmanager
def staging(workspace: Workspace) -> Iterator[Staging]:
    """A staging folder that disappears when the run fails; leftovers of killed runs are cleared first."""
    _clear(workspace, f"{STAGING_PREFIX}*")
    stage = Staging(workspace)
    try:
        yield stage
    finally:
        stage.discard()


def run_exists(workspace: Workspace, run_id: str) -> bool:
    """Whether the run is there, whole. A run that is damaged is set aside: the same night makes it again from the store."""
    folder = workspace.runs / run_id
    if not folder.exists():
        return False
    try:
        if not (folder / "runs.parquet").exists():
            raise DamagedError(folder, "it has no runs.parquet")
        for table in matching(folder, "*.parquet"):
            for file in files_of(table):
                sealed.check_or_read(file)
            check_parts(table)
    except DamagedError as damage:
        why = damage.why if damage.path == folder else f"{damage.path.relative_to(folder).as_posix()}: {damage.why}"
        set_aside(DamagedError(folder, why), "the run was made again from the store")
        return False
    return True


def read_run(workspace: Workspace, run_id: str, name: str) -> pa.Table:
    """A table of one run.

    Raises:
        WorkspaceError: There is no such run, or it has no such table.
        DamagedError: The table is not what was written.
    """
    return _read(workspace, run_id, name, lambda path: read_table(path, name))


def read_run_where(
    workspace: Workspace,
    run_id: str,
    name: str,
    column: str,
    values: Sequence[str],
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """The rows of a run's table whose ``column`` is one of ``values``, see `store.tables.rows_where`.

    Raises:
        WorkspaceError: There is no such run, or it has no such table.
        DamagedError: What was read is not what was written.
    """
    return _read(workspace, run_id, name, lambda path: rows_where(path, name, column, values, columns))


def _read(workspace: Workspace, run_id: str, name: str, read: Callable[[Path], pa.Table]) -> pa.Table:
    path = workspace.runs / checked_run_id(run_id) / f"{name}.parquet"
    if not path.exists():
        known = [p.name for p in matching(workspace.runs, "[!.]*")]
        raise WorkspaceError(
            f"{path} is not there; the runs of this workspace are {known or 'none yet: start with `resight nightly`'}."
        )
    try:
        return read(path)
    except DamagedError as damage:
        raise DamagedError(damage.path, damage.why, RUN_CURE) from None


def read_current(workspace: Workspace, name: str) -> pa.Table | None:
    """A table of what is current, or None without one; for several tables ask `current_generation` once.

    Raises:
        DamagedError: It is damaged, and that of its run is damaged too.
    """
    generation = current_generation(workspace)
    return generation.table(name) if generation and generation.has(name) else None


def run_record(table: pa.Table) -> dict[str, Any]:
    """The one row of a `runs` table with its JSON columns parsed, and its night as ISO text: it is part of names and pages."""
    row = table.to_pylist()[0]
    row["night"] = row["night"].isoformat()
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
