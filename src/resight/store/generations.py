"""What is current: one generation, a folder that holds everything that was accepted together.

``generations/<number>/`` holds the tables, the pages and ``generation.json``, which names the run of the identifications, the
run that measured accuracy, the accepted model, and each file with its digest. ``current`` is a symbolic link to one of them.
Where no links can be made, ``generations/current.json`` names it, and ``current/`` holds copies. Whoever asks here once and
reads from `Generation.folder` alone never mixes two runs. `store.publication` writes them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from resight.errors import DamagedError, WorkspaceError
from resight.store import sealed
from resight.store.accepted_runs import newest_accepted, run_of
from resight.store.damage import MISSING, set_aside
from resight.store.digests import agrees, digest_of
from resight.store.durable import make_folder
from resight.store.listing import matching
from resight.store.pages import copy_again
from resight.store.table_files import NO_PART, named_files, table_of
from resight.store.tables import read_table
from resight.store.workspace import Workspace

MANIFEST = "generation.json"
POINTER = "current.json"  # where no links can be made; in ``models`` of a workspace of before, the accepted model
NAMED_BY = ("photos", "crops", "features", "novelty", "runs")  # rows of ``pairs`` may be of earlier runs
MEASURED = ("accuracy", "outcomes", "accuracy_curves", "accuracy_differences", "changes")  # of the accuracy flow
ACCURACY_FILE = "accuracy.html"
OF_ACCURACY = {ACCURACY_FILE, *(f"{name}.parquet" for name in MEASURED)}


@dataclass(frozen=True)
class Generation:
    """Tables, pages and the accepted model that became current together; `open_generation` gives the current one.

    Attributes:
        workspace: Where it lies.
        folder: Its own folder, which stays as it is whatever is published later.
        number: The newest has the highest; 0 for what was current before there were generations.
        run_id: The run of the identifications; None before the first night.
        accuracy_run_id: The run that measured accuracy; None if none has.
        model: Fingerprint of the accepted model; None before the first night.
        files: SHA-256 by file name; empty where none were written down.
        created_at: UTC, ISO; '' where it was not written down.
    """

    workspace: Workspace
    folder: Path
    number: int
    run_id: str | None
    accuracy_run_id: str | None
    model: str | None
    files: Mapping[str, str]
    created_at: str = ""

    @property
    def tables(self) -> list[str]:
        """Names of its tables."""
        return sorted({table for name in self.files or named_files(self.folder) if (table := table_of(name))})

    def has(self, name: str) -> bool:
        """Whether it has that table, be it damaged."""
        file = f"{name}.parquet"
        return (
            bool(self._files_of(name))
            or (self.folder / file).exists()
            or (not self.files and self.origin(file) is not None)
        )

    def table(self, name: str) -> pa.Table:
        """One of its tables, with the columns that the catalog describes. A file of it that is damaged or gone is copied from its run.

        Raises:
            WorkspaceError: It has no such table.
            DamagedError: That of the run is damaged too.
        """
        path = self.folder / f"{name}.parquet"
        try:
            damages = self._damages(name)
            if not damages:
                return read_table(path, name)
        except FileNotFoundError:
            damages = [DamagedError(path, MISSING)]
        except DamagedError as error:
            damages = [error]
        if not self.has(name):
            raise WorkspaceError(
                f"There is no current table '{name}'; there are {', '.join(self.tables) or 'none yet'}."
            )
        for damage in damages:
            if not self.repair(damage):
                cure = "no run has a copy; put the file back from a backup, or delete it"
                raise DamagedError(damage.path, damage.why, damage.cure if damage.why == NO_PART else cure)
        return read_table(path, name)

    def _files_of(self, table: str) -> list[str]:
        """Names of the files of one of its tables, where they were written down."""
        return sorted(name for name in self.files if table_of(name) == table)

    def _damages(self, table: str) -> list[DamagedError]:
        """Files of a table that are not what was written down."""
        found = []
        for name in self._files_of(table):
            file = self.folder / name
            try:
                if digest_of(file) != self.files[name]:
                    found.append(DamagedError(file, sealed.DIFFERS))
            except FileNotFoundError:
                found.append(DamagedError(file, MISSING))
        return found

    def origin(self, name: str) -> Path | None:
        """The file of a run that a file here is a copy of, to the last bit where it is a part of a table: a run that was made again may have
        other rows in it. None without one.
        """
        run = self.workspace.runs / str((self.accuracy_run_id if name in OF_ACCURACY else self.run_id) or "")
        file = run / name
        if run in (self.workspace.runs, self.folder) or not file.is_file():
            return None
        is_the_same = "/" not in name or name not in self.files or agrees(file, self.files[name])
        return file if is_the_same else None

    def repair(self, damage: DamagedError) -> bool:
        """Copy a file again from its run; False where that has no copy.

        Raises:
            DamagedError: That of the run is damaged too.
        """
        origin = self.origin(damage.path.relative_to(self.folder).as_posix())
        if origin is None:
            return False
        if origin.suffix == ".parquet":
            sealed.check_or_read(origin)
        then = f"it was copied again from {self.workspace.relative(origin.parent)}"
        if damage.path.parent.is_file():
            set_aside(DamagedError(damage.path.parent, "it is a file where a folder was"), then)
        set_aside(damage, then)
        make_folder(damage.path.parent)
        copy_again(origin, damage.path, read_only=bool(self.files))
        return True

    def manifest(self) -> dict[str, Any]:
        """What ``generation.json`` says."""
        return {
            "generation": self.folder.name,
            "folder": self.folder.relative_to(self.workspace.root).as_posix(),
            "number": self.number,
            "run_id": self.run_id,
            "accuracy_run_id": self.accuracy_run_id,
            "model": self.model,
            "files": dict(self.files),
            "created_at": self.created_at,
        }


def current_generation(workspace: Workspace) -> Generation | None:
    """What is current now, or None before anything was accepted. Ask once, and read all tables from the answer.

    A workspace of before, whose ``current`` is a folder without a manifest, has generation 0. Where ``current`` is lost, the
    newest generation is the current one, or else the newest accepted run: it was complete before it was to be shown.
    """
    current = workspace.current
    if current.is_symlink():
        linked = workspace.root / os.readlink(current)
        if linked.is_dir():
            return read_generation(workspace, linked)
    pointed = _pointed(workspace)
    if current.is_dir() and not current.is_symlink():
        own = _copied(workspace)
        if pointed is None or (own is not None and own.number > pointed.number):
            return own or _of_before(workspace)
    if pointed is not None:
        return pointed
    folders = generation_folders(workspace)
    return read_generation(workspace, folders[-1]) if folders else _of_run(workspace)


def generation_folders(workspace: Workspace) -> list[Path]:
    """All generations that are kept, the oldest first."""
    found = matching(workspace.generations, "[0-9]*")
    return sorted(
        (folder for folder in found if folder.is_dir() and folder.name.isdecimal()), key=lambda f: int(f.name)
    )


def read_generation(workspace: Workspace, folder: Path) -> Generation:
    """The generation in a folder; a manifest that is damaged or gone is made again from its tables and their run."""
    path = folder / MANIFEST
    try:
        return open_manifest(workspace, folder)
    except FileNotFoundError:
        damage = DamagedError(path, MISSING)
    except DamagedError as error:
        damage = error
    again = told_by_tables(workspace, folder)
    set_aside(
        damage,
        f"it was made again from its tables; the accepted model is that of the newest accepted run, {again.model}",
    )
    sealed.write_json(path, again.manifest())
    return again


def told_by_tables(workspace: Workspace, folder: Path) -> Generation:
    """The generation in a folder whose manifest is damaged or gone; nothing is written."""
    number = int(folder.name) if folder.name.isdecimal() else max(1, highest_number(workspace))
    return _from_tables(workspace, folder, number, _model_of_newest(workspace))


def broken_manifest(workspace: Workspace) -> DamagedError | None:
    """What is wrong with the file that says which tables and which model are current."""
    current = workspace.current
    folder = workspace.root / os.readlink(current) if current.is_symlink() else current
    named = current.is_symlink() and folder.is_dir()
    try:
        with suppress(*(() if named else (FileNotFoundError,))):
            open_manifest(workspace, folder)
        for pointer in (workspace.generations / POINTER, workspace.models / POINTER):
            with suppress(FileNotFoundError):
                sealed.read_json(pointer)
    except FileNotFoundError:
        return DamagedError(folder / MANIFEST, MISSING)
    except DamagedError as damage:
        return damage
    return None


def highest_number(workspace: Workspace) -> int:
    """Number of the newest generation that ever was, as far as anything tells; 0 without any."""
    numbers = [int(folder.name) for folder in generation_folders(workspace)]
    for file in (workspace.current / MANIFEST, workspace.generations / POINTER):
        with suppress(FileNotFoundError, DamagedError, KeyError):
            numbers.append(int(sealed.read_json(file)["number"]))
    return max(numbers, default=0)


def open_manifest(workspace: Workspace, folder: Path) -> Generation:
    """The generation in a folder, as its manifest says.

    Raises:
        DamagedError: The manifest is not what was written.
        FileNotFoundError: There is none.
    """
    values = sealed.read_json(folder / MANIFEST)
    names = ("number", "run_id", "accuracy_run_id", "model", "files", "created_at")
    try:
        return Generation(workspace, folder, **{name: values[name] for name in names})
    except KeyError as error:
        raise DamagedError(folder / MANIFEST, f"it has no {error}") from None


def _pointed(workspace: Workspace) -> Generation | None:
    """The generation that the pointer names, where there is one."""
    pointer = workspace.generations / POINTER
    try:
        folder = workspace.generations / str(sealed.read_json(pointer)["generation"])
    except FileNotFoundError:
        return None
    except (DamagedError, KeyError) as error:
        set_aside(
            DamagedError(pointer, getattr(error, "why", "it names no generation")), "the newest generation is current"
        )
        return None
    return read_generation(workspace, folder) if folder.is_dir() else None


def _copied(workspace: Workspace) -> Generation | None:
    """The generation in ``current`` itself, where copying a workspace has made a folder of the link."""
    folder = workspace.current
    try:
        return open_manifest(workspace, folder)
    except FileNotFoundError:
        if not generation_folders(workspace) or (workspace.models / POINTER).exists():
            return None  # it is of before
    except DamagedError:
        pass
    return None if (workspace.generations / POINTER).exists() else read_generation(workspace, folder)


def _of_before(workspace: Workspace) -> Generation:
    """What was current in a workspace of before: a plain folder, and the name of the model in ``models``."""
    return _from_tables(workspace, workspace.current, 0, _model_of_before(workspace))


def _model_of_before(workspace: Workspace) -> str | None:
    """What ``models/current.json`` names; one that is damaged or gone is written again."""
    pointer = workspace.models / POINTER
    try:
        return str(sealed.read_json(pointer)["fingerprint"])
    except FileNotFoundError:
        damage = DamagedError(pointer, MISSING)
    except KeyError:
        damage = DamagedError(pointer, "it names no model")
    except DamagedError as error:
        damage = error
    model = _model_of_newest(workspace)
    if model:
        set_aside(damage, f"it names the model of the newest accepted run again, {model}")
        sealed.write_json(pointer, {"fingerprint": model})
    return model


def _of_run(workspace: Workspace) -> Generation | None:
    """The newest accepted run in the place of a generation; without one, what an earlier version accepted by hand."""
    newest, named = newest_accepted(workspace), (workspace.models / POINTER).exists()
    if newest is not None:
        model = _model_of_before(workspace) if named else newest[1]
        return Generation(workspace, workspace.runs / newest[0], 0, newest[0], None, model, {})
    return _of_before(workspace) if named else None


def _from_tables(workspace: Workspace, folder: Path, number: int, model: str | None) -> Generation:
    """A generation as its tables tell it."""
    named = (run_of(workspace, folder / f"{name}.parquet") for name in NAMED_BY)
    newest = newest_accepted(workspace)
    run_id = next((ids for ids in named if ids), newest[0] if newest else None)
    accuracy = run_of(workspace, folder / "accuracy.parquet")
    files = {}
    if number:
        files = {name: digest_of(file) for name, file in named_files(folder).items() if _is_whole(file)}
        origin = Generation(workspace, folder, number, run_id, accuracy, model, {}).origin
        for name, file in named_files(workspace.runs / run_id).items() if run_id else ():
            if table_of(name) and name not in files and origin(name) and _is_whole(file):
                files[name] = digest_of(file)
    return Generation(workspace, folder, number, run_id, accuracy, model, files)


def _is_whole(file: Path) -> bool:
    if file.suffix == ".parquet":
        try:
            return sealed.check(file) or bool(sealed.read(file, pq.read_schema))
        except DamagedError:
            return False
    return file.suffix != ".json" and file.is_file()


def _model_of_newest(workspace: Workspace) -> str | None:
    """Model of the newest accepted run, else the only one that is registered."""
    newest = newest_accepted(workspace)
    registered = [file.stem for file in matching(workspace.models, "*.json") if file.name != POINTER]
    return newest[1] if newest else registered[0] if len(registered) == 1 else None
